"""Cleaning: what is known is worked out, what does nothing goes, and the graph computes the same as before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from workbench.graph.check import check
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_constants import fold_constants
from workbench.graph.repairs import repair_model
from workbench.graph.storage import open_model


def graph_of(body: str, opset: int = 17) -> ModelGraph:
    model = ir.from_proto(parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{body}'))
    repair_model(model, "text")
    return ModelGraph(model)


def run(graph: ModelGraph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"]).run(None, feeds)


def test_the_clutter_of_an_exporter_goes(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_bn.onnx")
    before = graph.to_bytes()
    clean = fold_constants(graph)
    check(clean)
    assert graph.to_bytes() == before
    assert Counter(node.op for node in clean.nodes) == {
        "Conv": 19,
        "BatchNormalization": 19,
        "Relu": 19,
        "Add": 9,
        "Slice": 6,
        "Pad": 2,
        "AveragePool": 1,
        "Reshape": 1,
        "Gemm": 1,
    }
    assert [node.name for node, _ in layer_nodes(clean)] == [node.name for node, _ in layer_nodes(graph)]
    assert clean.inputs == graph.inputs
    assert clean.outputs == graph.outputs
    for batch in (1, 3):
        feeds = {"input": np.random.default_rng(batch).random((batch, 3, 32, 32), np.float32)}
        np.testing.assert_array_equal(run(clean, feeds)[0], run(graph, feeds)[0])


@pytest.mark.parametrize(
    "name",
    ["edge_if_mul", "edge_loop_sub_one", "edge_scan_1", "edge_nested_subgraph3", "edge_optional_inputs_ir3",
     "stock_lstm", "byte_sb_bidi_lstm", "magika_standard_v3_3", "gtcrn_stream", "mnist_quantized",
     "edge_qdq_conv_perchannel", "squeezenet_fp16"],
)  # fmt: skip
def test_real_files_compute_the_same(name: str, shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / f"{name}.onnx")
    clean = fold_constants(graph)
    check(clean)
    rng = np.random.default_rng(0)
    feeds = {}
    for info in graph.inputs:
        shape = [size if isinstance(size, int) else 2 if axis == 0 else 8 for axis, size in enumerate(info.shape or ())]
        real = (info.dtype or "").startswith("float")
        feeds[info.name] = rng.random(shape).astype(info.dtype) if real else np.ones(shape, info.dtype)
    for before, after in zip(run(graph, feeds), run(clean, feeds), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_a_reshape_keeps_the_batch_open() -> None:
    graph = graph_of("""g (float[batch, 8, 2] x) => (float[n, m] y)
    <int64 zero = {0}, int64[1] axis = {0}, int64[1] minus = {-1}> {
        s = Shape(x)
        b = Gather(s, zero)
        b1 = Unsqueeze(b, axis)
        target = Concat<axis = 0>(b1, minus)
        y = Reshape(x, target)
    }""")
    clean = fold_constants(graph)
    (reshape,) = clean.nodes
    assert clean.constant(reshape.inputs[1]).tolist() == [-1, 16]


def test_nodes_that_do_nothing_go_unless_they_name_an_output() -> None:
    graph = graph_of("""g (float[2, 3] x) => (float[2, 3] y, float[2, 3] z)
    <int64[2] shape = {2, 3}> {
        a = Identity(x)
        b = Cast<to = 1>(a)
        c, mask = Dropout(b)
        d = Reshape(c, shape)
        y = Relu(d)
        unused = Neg(d)
        z = Identity(y)
    }""")
    assert [(node.op, node.inputs) for node in fold_constants(graph).nodes] == [("Relu", ("x",)), ("Identity", ("y",))]


def test_quantized_and_half_precision_weights_stay_as_small_as_they_are() -> None:
    graph = graph_of("""g (float[1, 64] x) => (float[1, 64] y) <float scale = {0.5}> {
        q = Constant<value_ints = [1, 2]>()
        y = Identity(x)
    }""")
    model = graph.edit()
    half = ir.Value(name="half", const_value=ir.tensor(np.ones((64, 64), np.float16), name="half"))
    byte = ir.Value(name="byte", const_value=ir.tensor(np.ones((64, 64), np.int8), name="byte"))
    for value in (half, byte):
        value.shape, value.type = ir.Shape((64, 64)), ir.TensorType(value.const_value.dtype)
        model.graph.register_initializer(value)
    cast = ir.node("Cast", [half], attributes={"to": 1}, name="cast")
    dequantize = ir.node("DequantizeLinear", [byte, model.graph.initializers["scale"]], name="dq")
    first = ir.node("MatMul", [model.graph.inputs[0], cast.outputs[0]], name="first")
    second = ir.node("MatMul", [first.outputs[0], dequantize.outputs[0]], name="second")
    model.graph.extend([cast, dequantize, first, second])
    model.graph.outputs.append(second.outputs[0])
    ir.passes.common.NameFixPass()(model)
    clean = fold_constants(ModelGraph(model))
    assert {"Cast", "DequantizeLinear"} <= {node.op for node in clean.nodes}


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    index=st.integers(0, 3),
    start=st.integers(0, 3),
    length=st.integers(1, 3),
)
def test_shape_arithmetic_agrees_with_the_runtime(sizes: list[int], index: int, start: int, length: int) -> None:
    rank = len(sizes)
    index, start = index % rank, start % rank
    declared = ", ".join(["n", *(str(size) for size in sizes[1:])])
    graph = graph_of(f"""g (float[{declared}] x) => (int64[k] y, int64 v)
    <int64 i = {{{index}}}, int64[1] i1 = {{{index}}}, int64[1] a = {{0}}, int64[1] b = {{{start}}},
     int64[1] e = {{{start + length}}}, int64[1] two = {{2}}> {{
        s = Shape(x)
        g0 = Gather(s, i)
        g1 = Unsqueeze(g0, a)
        part = Slice(s, b, e)
        twice = Mul(part, two)
        y = Concat<axis = 0>(g1, twice)
        p = Squeeze(g1, a)
        v = Sub(p, g0)
    }}""")
    feeds = {"x": np.zeros(sizes, np.float32)}
    for before, after in zip(run(graph, feeds), run(fold_constants(graph), feeds), strict=True):
        np.testing.assert_array_equal(before, after)
