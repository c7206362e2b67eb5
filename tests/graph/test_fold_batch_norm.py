"""Folding batch norm changes the graph and not what it computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.fold_constants import fold_constants
from workbench.graph.storage import open_model


def run(graph: ModelGraph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.mark.parametrize(("name", "clean"), [("bnclean", False), ("bn", True)])
def test_a_real_network_computes_the_same_without_its_batch_norm(name: str, clean: bool, shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / f"resnet20_cifar10_{name}.onnx")
    graph = fold_constants(graph) if clean else graph
    before = graph.to_bytes()
    folded = fold_batch_norm(graph)
    check(folded)
    assert graph.to_bytes() == before
    assert not any(node.op == "BatchNormalization" for node in folded.nodes)
    assert not any("running" in weight for weight in folded.initializers)
    x = np.load(shared / "data" / "cifar10" / "test.npz")["x"][:32].astype(np.float32) / 255
    x = ((x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(0, 3, 1, 2).astype(np.float32)
    old, new = run(graph, {"input": x})[0], run(folded, {"input": x})[0]
    assert np.abs(new - old).max() <= 1e-5 * max(1.0, np.abs(old).max())
    written = {value for node in graph.nodes if node.op == "BatchNormalization" for value in node.outputs[:1]}
    assert written == {node.outputs[0] for node in folded.nodes if node.op == "Conv"}


def normalised(kind: str, channels: int, groups: int, bias: bool, opset: int, rng: np.random.Generator) -> ModelGraph:
    """Return input → layer `kind` → BatchNormalization → output with random numbers."""
    weights: dict[str, np.ndarray] = {
        "scale": rng.normal(1, 0.5, channels),
        "shift": rng.normal(0, 1, channels),
        "mean": rng.normal(0, 1, channels),
        "variance": rng.uniform(0.1, 2, channels),
    }
    attributes: dict[str, object] = {}
    image = [2, 4, 5, 5]
    if kind == "Conv":
        weights["w"] = rng.normal(size=(channels, 4 // groups, 3, 3))
        attributes = {"group": groups}
    elif kind == "ConvTranspose":
        weights["w"] = rng.normal(size=(4, channels // groups, 3, 3))
        attributes = {"group": groups}
    elif kind == "Gemm":
        image = [2, 4]
        weights["w"] = rng.normal(size=(channels, 4))
        attributes = {"transB": 1, "alpha": 0.5, "beta": 2.0}
    else:
        image = [2, 4]
        weights["w"] = rng.normal(size=(4, channels))
    if bias:
        weights["b"] = rng.normal(size=channels)
    inputs = ["x", "w", "b"] if bias and kind != "MatMul" else ["x", "w"]
    nodes = [helper.make_node(kind, inputs, ["a"], name="layer", **attributes)]
    last = "a"
    if kind == "MatMul" and bias:
        nodes.append(helper.make_node("Add", ["b", "a"], ["c"], name="bias"))
        last = "c"
    nodes.append(
        helper.make_node("BatchNormalization", [last, "scale", "shift", "mean", "variance"], ["y"], name="norm")
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *image[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list("nabc")[: len(image)])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return ModelGraph(ir.from_proto(model))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["Conv", "ConvTranspose", "Gemm", "MatMul"]),
    groups=st.sampled_from([1, 2, 4]),
    width=st.integers(1, 3),
    bias=st.booleans(),
    opset=st.sampled_from([7, 9, 13, 15, 17]),
    seed=st.integers(0, 1000),
)
def test_every_kind_of_layer_takes_its_normalisation_in(
    kind: str, groups: int, width: int, bias: bool, opset: int, seed: int
) -> None:
    if kind == "Gemm" and opset < 11:
        bias = True
    rng = np.random.default_rng(seed)
    graph = normalised(kind, 4 * width, groups, bias, opset, rng)
    folded = fold_batch_norm(graph)
    check(folded)
    assert not any(node.op == "BatchNormalization" for node in folded.nodes)
    assert [info.name for info in folded.outputs] == ["y"]
    x = rng.normal(size=(2, 4, 5, 5) if "Conv" in kind else (2, 4)).astype(np.float32)
    np.testing.assert_allclose(run(folded, {"x": x})[0], run(graph, {"x": x})[0], rtol=1e-4, atol=1e-4)


def test_a_layer_that_others_read_keeps_its_normalisation() -> None:
    graph = normalised("Conv", 4, 1, True, 17, np.random.default_rng(0))
    shown = graph.with_outputs(["y", "a"])
    assert any(node.op == "BatchNormalization" for node in fold_batch_norm(shown).nodes)


def test_a_weight_that_two_layers_share_is_not_changed_for_the_other() -> None:
    graph = normalised("Conv", 4, 1, False, 17, np.random.default_rng(0))
    model = graph.edit()
    other = ir.node("Conv", [model.graph.inputs[0], model.graph.initializers["w"]], name="other")
    other.outputs[0].name = "z"
    model.graph.append(other)
    model.graph.outputs.append(other.outputs[0])
    shared_weight = ModelGraph(model)
    x = np.random.default_rng(1).normal(size=(1, 4, 5, 5)).astype(np.float32)
    for before, after in zip(run(shared_weight, {"x": x}), run(fold_batch_norm(shared_weight), {"x": x}), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
