"""Recurrent layers: both of their weights take bits, the file computes what both engines say, and every method can."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.data.dataset import open_split
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import UnsupportedGraphError
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine, open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.storage import open_model, save_model
from workbench.graph.weights import weights_of
from workbench.methods.method import Tools
from workbench.methods.preparation import RecipeData
from workbench.methods.truth_ladder import Ladder

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, READ, CLASSES = 16, 8, 3


@pytest.fixture(params=GATES)
def network(request, graph_from):
    """Five steps of eight numbers through a bidirectional layer; its last states are told apart in three classes."""
    rng = np.random.default_rng(0)
    gates = GATES[request.param]

    def weight(*shape):
        return rng.normal(size=shape).astype(np.float32) / 2

    return graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,5,{READ}] x) => (float[n,{CLASSES}] y) {{
            t = Transpose <perm = [1,0,2]> (x)
            all, last = {request.param} <hidden_size = {HIDDEN}, direction = "bidirectional"> (t, w, r, b)
            turned = Transpose <perm = [1,0,2]> (last)
            flat = Reshape (turned, target)
            y = Gemm (flat, k, c)
        }}""",
        {
            "w": weight(2, HIDDEN * gates, READ),
            "r": weight(2, HIDDEN * gates, HIDDEN),
            "b": weight(2, 2 * HIDDEN * gates),
            "target": np.array([0, 2 * HIDDEN]),
            "k": weight(2 * HIDDEN, CLASSES),
            "c": weight(CLASSES),
        },
    )


def recurrent(graph):
    return next(node for node, _ in layer_nodes(graph) if node.op in GATES)


def sqnr_db(graph, result, inputs):
    exact, found = (open_session(each, threads=1).run(inputs)["y"].astype(np.float64) for each in (graph, result))
    return 10 * np.log10(np.square(exact).sum() / np.square(found - exact).sum())


@pytest.mark.parametrize(("bits", "least_db"), [(8, 35), (4, 10), (3, 4)])
def test_both_weights_get_the_bits_with_a_scale_for_every_gates_output(quantize, network, bits, least_db):
    result = quantize(network, {"weight_bits": bits}, tools=quantize.tools(network, data=None)).graph
    node = recurrent(result)
    gates = GATES[node.op]
    read, step_before = weights_of(result, node)
    for weight, columns in ((read, READ), (step_before, HIDDEN)):
        assert (weight.dtype, weight.shape) == ("int8", (2, HIDDEN * gates, columns))
        integers = result.constant(weight.name)
        assert -(2 ** (bits - 1)) <= integers.min() < 0 < integers.max() < 2 ** (bits - 1)
        (dequantizer,) = weight.through
        assert result.constant(dequantizer.inputs[1]).shape == (HIDDEN * gates,)
    inputs = quantize.tools(network).data.inputs
    assert sqnr_db(network, result, inputs) > least_db
    trained = TorchEngine(threads=1).run(result, inputs)["y"]
    literal = open_session(result, threads=1, optimize=False).run(inputs)["y"]
    np.testing.assert_allclose(literal, trained, atol=1e-5)


def test_sizes_count_both(quantize, network, tmp_path):
    def saved(name, **parameters):
        made = quantize(network, {"weight_bits": 4}, tools=quantize.tools(network, data=None), **parameters).graph
        save_model(made, tmp_path / name)
        return open_model(tmp_path / name), (tmp_path / name).stat().st_size

    fast, size = saved("fast.onnx")
    small, smaller = saved("small.onnx", storage="small")
    numbers = sum(int(np.prod(weight.shape)) for node, _ in layer_nodes(fast) for weight in weights_of(fast, node))
    assert size - packed_size_bytes(fast, size) == numbers // 2
    assert smaller < size
    # The other may be too small for it to pay.
    assert "int4" in {weight.dtype for weight in weights_of(small, recurrent(small))}


def test_half_precision_takes_both(quantize, network):
    result = quantize(network, {"weight_bits": 16}, tools=quantize.tools(network, data=None)).graph
    assert {weight.dtype for weight in weights_of(result, recurrent(result))} == {"float16"}
    assert sqnr_db(network, result, quantize.tools(network).data.inputs) > 50


@pytest.fixture
def tools(network, tmp_path):
    x = np.random.default_rng(1).normal(size=(200, 5, READ)).astype(np.float32)
    engine = OrtEngine(threads=1)
    np.savez(tmp_path / "d.npz", x=x, y=engine.open(network).run({"x": x})["y"].argmax(axis=1))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"train": split, "test": split, "folder": str(tmp_path)})
    data = RecipeData(description, network.inputs, engine, network)
    return description, Tools(network, data, engine, TorchEngine(threads=1), np.random.default_rng(0), 0)


TRAINING = {"epochs": 1, "batch_size": 32, "threads": 1, "calibration_samples": 64, "precision": "float32"}
METHODS = {
    "quantize.ptq": {"weight_scheme": "affine"},
    "quantize.gptq": {},
    "quantize.mixed": {"sensitivity_samples": 32},
    "quantize.qat": TRAINING,
}


@pytest.mark.parametrize("id", METHODS)
def test_every_method_rounds_them_and_every_execution_of_the_file_agrees(quantizers, network, tools, tmp_path, id):
    description, means = tools
    method = quantizers(id).method
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(network)}
    plan = resolve(Plan(default={"weight_bits": 4, "activation_bits": 8}), knobs, FIRST_PARTY_KNOBS)
    instance = method(method.Parameters(**METHODS[id]))
    told = instance.check(network, plan)
    assert any("compute in float" in line and recurrent(network).name in line for line in told)
    result = instance.apply(network, plan, means).graph
    assert {weight.dtype for weight in weights_of(result, recurrent(result))} == {"int8"}
    save_model(result, tmp_path / "q.onnx")
    dataset = open_split(description, "test", network.inputs)
    report = Ladder(OrtEngine(threads=1), TorchEngine(threads=1)).climb(tmp_path / "q.onnx", dataset)
    values = [rung.metric.value for rung in report.rungs if rung.metric is not None]
    assert len(values) == 3
    assert max(values) - min(values) <= 0.01  # of 200 samples two may lie on an edge
    assert min(values) > 0.7


def test_states_that_can_not_be_told_by_sample_are_not_reconstructed_and_said(quantizers, network, tools):
    method = quantizers("quantize.reconstruct").method
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(network)}
    plan = resolve(Plan(default={"weight_bits": 4, "activation_bits": 8}), knobs, FIRST_PARTY_KNOBS)
    with pytest.raises(UnsupportedGraphError, match=r"'last' has no axis that counts samples.*Use quantize\.ptq"):
        method(method.Parameters(samples=32, iterations=8, threads=1)).apply(network, plan, tools[1])
