from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.passes.cut_out import cut_out
from workbench.graph.passes.insert_qdq import Placement, insert_qdq
from workbench.graph.passes.join_quantizers import ROUND_TO_SCALE, join_quantizers
from workbench.graph.quantization import ActivationQuantization


def test_a_part_computes_what_the_whole_does(small_cnn):
    x = np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)
    inner = open_session(small_cnn.with_outputs(["r1", "r2"]), threads=1).run({"x": x})
    part = cut_out(small_cnn, ["r1", "w2"], ["r2"])
    assert [info.name for info in part.inputs] == ["r1", "w2"]
    assert "w1" not in part.initializers
    found = open_session(part, threads=1).run({"r1": inner["r1"], "w2": small_cnn.constant("w2")})
    np.testing.assert_allclose(found["r2"], inner["r2"], atol=1e-5)
    assert "w2" in small_cnn.initializers


def test_an_input_of_the_model_that_is_needed_stays_one(small_cnn):
    part = cut_out(small_cnn, ["w1"], ["r1"])
    assert [info.name for info in part.inputs] == ["w1", "x"]


def test_a_value_of_unknown_shape_can_be_fed(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17, "own" : 1]>
        net (float[batch,4] x) => (float[batch,4] y) {
            a = own.Unknown (x)
            y = Relu (a)
        }"""
    )
    assert graph.value("a").shape is None
    part = cut_out(graph, ["a"], ["y"], {"a": 2})
    assert part.inputs[0].dtype == "float32"
    assert open_session(part, threads=1).run({"a": -np.ones((3, 4), np.float32)})["y"].shape == (3, 4)


def test_an_unknown_name_is_refused(small_cnn):
    with pytest.raises(KeyError):
        cut_out(small_cnn, ["nowhere"], ["r1"])


@pytest.mark.parametrize("bits", [8, 4])
def test_joined_quantizers_round_as_the_file_does(graph_from, bits):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,4,6,6] x) => (float[batch,4,8,8] y, float[batch,4,3,3] m) {
            p = Pad (x, pads)
            y = Relu (p)
            m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)
        }""",
        {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    )
    moves = tuple(node.name for node in graph.nodes if node.op != "Relu")
    quantizer = ActivationQuantization.from_range(-1.0, 2.0, bits)
    deployed = insert_qdq(graph, {"x": quantizer}, {}, Placement(integer_nodes=moves))
    joined = join_quantizers(deployed)
    ops = [node.op for node in joined.nodes]
    assert ops.count(ROUND_TO_SCALE) == 1
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(ops)
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)
    wanted = open_session(deployed, threads=1).run({"x": x})
    found = TorchEngine(1).run(joined, {"x": x})
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6)


def test_inputs_have_the_type_and_axes_of_what_will_be_fed(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[1,3] x) => (float[1,3] y) { a = Neg (x)  b = Cast <to = 6> (a)  y = Cast <to = 1> (b) }""",
        {},
    )
    part = cut_out(graph, ["b"], ["y"], like={"b": np.zeros((5, 3), np.int32)})
    # A size in which file and array agree lets the runtime choose its fast layouts; the first axis counts samples.
    assert [(info.dtype, info.shape) for info in part.inputs] == [("int32", (None, 3))]
    other = cut_out(graph, ["b"], ["y"], like={"b": np.zeros((5, 4), np.int32)})
    assert other.inputs[0].shape == (None, None)
    (found,) = open_session(part, threads=1).run({"b": np.ones((5, 3), np.int32)}).values()
    assert found.tolist() == np.ones((5, 3)).tolist()
