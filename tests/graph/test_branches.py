from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import open_session
from workbench.engines.inference_ort.sample_inputs import random_inputs
from workbench.graph.branches import branch_of_layers, find_branches
from workbench.graph.passes.remove_branches import remove_branches
from workbench.graph.storage import open_model


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def residual(graph_from):
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,8,8] x) => (float[n,6] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            r = Relu (a)
            c = Conv <pads = [1,1,1,1]> (r, w2)
            d = Relu (c)
            e = Conv <pads = [1,1,1,1]> (d, w3)
            s = Add (e, r)
            t = Relu (s)
            f = Conv <strides = [2,2], pads = [1,1,1,1]> (t, w4)
            h = Relu (f)
            i = Conv <pads = [1,1,1,1]> (h, w5)
            j = Conv <strides = [2,2]> (t, w6)
            k = Add (j, i)
            g = GlobalAveragePool (k)
            y = Flatten (g)
        }""",
        weights(w1=(4, 3, 3, 3), w2=(5, 4, 3, 3), w3=(4, 5, 3, 3), w4=(6, 4, 3, 3), w5=(6, 6, 3, 3), w6=(6, 4, 1, 1)),
    )


def test_the_longer_side_of_every_addition_is_a_branch(residual):
    first, second = find_branches(residual)
    assert (first.id, first.kind, first.layers) == ("Add_5", "residual", ("Conv_2", "Conv_4"))
    assert first.nodes == ("Conv_2", "Relu_3", "Conv_4")
    assert (first.output, first.replacement, first.end) == ("s", "r", "e")
    assert (second.layers, second.replacement) == (("Conv_7", "Conv_9"), "j")
    assert branch_of_layers((first, second))["Conv_4"] is first


def test_without_a_branch_the_shortcut_is_left(residual):
    x = random_inputs(residual.inputs, batch=2, seed=1)
    values = open_session(residual.with_outputs(["r", "j"])).run(x)
    without = remove_branches(residual, ["Add_5"])
    np.testing.assert_array_equal(open_session(without.with_outputs(["r"])).run(x)["r"], values["r"])
    assert [node.name for node in without.nodes][:3] == ["Conv_0", "Relu_1", "Relu_6"]
    shortcut = remove_branches(residual, ["Add_11"])
    expected = values["j"].mean((2, 3))
    np.testing.assert_allclose(open_session(shortcut).run(x)["y"], expected, rtol=1e-5, atol=1e-6)
    both = remove_branches(residual, ["Add_11", "Add_5"])
    assert {node.name for node in both.nodes} & {"Conv_2", "Conv_4", "Conv_7", "Conv_9"} == set()
    assert {"w2", "w3", "w4", "w5"} & set(both.initializers) == set()
    open_session(both).run(x)


def test_branches_one_after_the_other_go_together(graph_from):
    lines = ["h0 = Conv <pads = [1,1,1,1]> (x, w)"]
    for number in range(3):
        lines.append(f"c{number} = Conv <pads = [1,1,1,1]> (h{number}, v{number})")
        lines.append(f"h{number + 1} = Add (h{number}, c{number})")
    graph = graph_from(
        '<ir_version: 9, opset_import: ["" : 17]>\nnet (float[n,2,5,5] x) => (float[n,4,5,5] y) {'
        + "\n".join(lines)
        + "\ny = Relu (h3)}",
        weights(w=(4, 2, 3, 3), v0=(4, 4, 3, 3), v1=(4, 4, 3, 3), v2=(4, 4, 3, 3)),
    )
    ids = [branch.id for branch in find_branches(graph)]
    assert len(ids) == 3
    bare = remove_branches(graph, ids[::-1])
    assert [node.op for node in bare.nodes] == ["Conv", "Relu"]


def test_runs_of_layers_that_keep_their_shape(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,8,8] x) => (float[n,4,8,8] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            b = Relu (a)
            c = Conv <pads = [1,1,1,1]> (b, w2)
            d = Relu (c)
            e = Conv (d, w3)
            f = Relu (e)
            g = Conv (f, w4)
            h = Relu (g)
            y = Conv <pads = [1,1,1,1]> (h, w2)
        }""",
        weights(w1=(4, 3, 3, 3), w2=(4, 4, 3, 3), w3=(9, 4, 1, 1), w4=(4, 9, 1, 1)),
    )
    found = find_branches(graph)
    assert [(branch.kind, branch.layers) for branch in found] == [
        ("run", ("Conv_2",)),
        ("run", ("Conv_4", "Conv_6")),
    ]
    assert found[0].nodes == ("Conv_2", "Relu_3")
    x = random_inputs(graph.inputs, batch=1, seed=0)
    assert open_session(remove_branches(graph, [found[1].id])).run(x)["y"].shape == (1, 4, 8, 8)


def test_what_cannot_be_left_out_is_no_branch(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4] x, float[n,4] z) => (float[n,4] y, float[n,4] u) {
            a = MatMul (x, w)
            b = Add (a, bias)
            c = MatMul (z, v)
            s = Add (b, c)
            d = MatMul (s, w)
            e = Add (d, small)
            t = Add (s, e)
            y = Relu (t)
            u = Add (t, d)
        }""",
        weights(w=(4, 4), v=(4, 4), bias=(4,), small=(1, 4)),
    )
    # Two inputs that meet have no shortcut; d is read twice; u is an output, whose name must stay.
    assert [branch.kind for branch in find_branches(graph) if branch.kind == "residual"] == []


def test_unknown_branches_are_refused(residual):
    with pytest.raises(KeyError):
        remove_branches(residual, ["Conv_0"])


@pytest.mark.parametrize(("name", "count"), [("resnet20_cifar10_folded", 9), ("resnet56_cifar10_folded", 27)])
def test_every_block_of_the_shared_networks_is_a_branch(shared, name, count):
    graph = open_model(shared / "data" / "models" / f"{name}.onnx")
    found = find_branches(graph)
    assert len(found) == count
    assert all(branch.kind == "residual" and len(branch.layers) == 2 for branch in found)
    bare = remove_branches(graph, [branch.id for branch in found])
    assert open_session(bare).run(random_inputs(bare.inputs, batch=1, seed=0))["logits"].shape == (1, 10)
