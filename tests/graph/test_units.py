from __future__ import annotations

import numpy as np

from workbench.graph.trial_graph import trial_graph
from workbench.graph.units import find_units


def test_a_block_ends_where_one_value_goes_on(small_cnn):
    first, block, last = find_units(small_cnn, "block")
    assert (first.inputs, first.outputs) == (("x",), ("r1",))
    assert (block.inputs, block.outputs) == (("r1",), ("r2",))
    assert len(block.layers) == 1
    assert (last.inputs, last.outputs) == (("r2",), ("y",))


def test_a_layer_takes_its_activation_along(small_cnn):
    first, second, last = find_units(small_cnn, "layer")
    assert first.outputs == ("r1",)
    assert second.outputs == ("c2",)
    assert set(last.inputs) == {"c2", "r1"}


def test_every_layer_lies_in_one_unit():
    graph = trial_graph()
    for kind in ("layer", "block"):
        layers = [name for unit in find_units(graph, kind) for name in unit.layers]
        assert layers == ["conv1", "conv2", "conv3", "conv4", "fc"]


def test_long_blocks_are_divided_after_layers(small_cnn):
    (first, _, last) = find_units(small_cnn, "block", most_layers=0)
    assert first.outputs == ("r1",)
    assert last.inputs == ("r2",)


def test_what_is_transparent_is_computed_again(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,4] x) => (float[batch,4] y) {
            a = MatMul (x, w)
            shape = Shape (a)
            r = Reshape (a, shape)
            y = MatMul (r, w)
        }""",
        {"w": np.eye(4, dtype=np.float32)},
    )
    moved = graph.producer("r").name
    first, second = find_units(graph, "layer", {moved})
    assert first.outputs == second.inputs == ("a",)
    assert [unit.inputs for unit in find_units(graph, "layer")] == [("x",), ("a",)]
