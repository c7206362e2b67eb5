"""Layers, costs, weights seen through quantization, and what compression changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from workbench.domain.errors import BadInputError
from workbench.graph.cost import graph_cost
from workbench.graph.diff import layer_changes
from workbench.graph.inspection import layer_detail
from workbench.graph.layers import find_layers, knobs_of, layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.repairs import repair_model
from workbench.graph.storage import open_model
from workbench.graph.weights import weight_of, weight_values


def graph_of(body: str, opset: int = 17) -> ModelGraph:
    model = ir.from_proto(parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{body}'))
    repair_model(model, "text")
    return ModelGraph(model)


def test_resnet20_has_the_published_costs(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_bnclean.onnx")
    cost = graph_cost(graph)
    assert cost.params == 269_722  # 0.27 M in He et al. (2016), counted without running statistics
    assert cost.macs == 40_551_040
    assert cost.uncounted_ops == ()
    layers = find_layers(graph)
    assert len(layers) == 20
    first = layers[0]
    assert (first.op, first.weight_shape) == ("Conv", (16, 3, 3, 3))
    assert first.input_shape == ("batch", 3, 32, 32)
    assert first.output_shape == ("batch", 16, 32, 32)
    assert first.params == 16 * 3 * 9
    assert first.macs == 16 * 3 * 9 * 32 * 32
    assert first.weight_bytes == first.params * 4
    assert first.activation_bytes == (3 + 16) * 32 * 32 * 4
    assert first.arithmetic_intensity == first.macs / (first.weight_bytes + first.activation_bytes)
    own = ("prune_ratio", "weight_bits", "activation_bits", "rank_ratio", "sparsity", "sparsity_pattern")
    assert first.knobs == knobs_of("Conv") == own
    assert layers[-1].op == "Gemm"
    assert layers[-1].macs == 640


def test_the_module_hierarchy_comes_from_the_exporter(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    paths = {layer.path for layer in find_layers(graph)}
    assert ("conv1",) in paths
    assert any("layer2" in part for path in paths for part in path)


@pytest.mark.parametrize(
    ("body", "macs"),
    [
        ("g (float[n, 4, 8, 8] x) => (float[n, 4, 6, 6] y) <float[4, 1, 3, 3] w = {%36}> {"
         "y = Conv<group = 4>(x, w) }", 4 * 36 * 9),
        ("g (float[n, 4, 8, 8] x) => (float[n, 2, 9, 9] y) <float[4, 2, 2, 2] w = {%32}> { y = ConvTranspose(x, w) }",
         4 * 64 * 2 * 4),
        ("g (float[n, 4] x) => (float[n, 3] y) <float[3, 4] w = {%12}> { y = Gemm<transB = 1>(x, w) }", 12),
        ("g (float[n, 5, 4] x) => (float[n, 5, 3] y) <float[4, 3] w = {%12}> { y = MatMul(x, w) }", 60),
        ("g (float[n, 5, 4] x) => (float[n, 5, 5] y) { t = Transpose<perm = [0, 2, 1]>(x) y = MatMul(x, t) }", 100),
        ("g (float[7, n, 4] x) => (float[7, 1, n, 2] y) <float[1, 8, 4] w = {%32}, float[1, 8, 2] r = {%16}> {"
         "y = LSTM<hidden_size = 2>(x, w, r) }", 7 * 48),
        ("g (float[n, 5, 4] x, float[n, 4, 3] z) => (float[n, 5, 3] y) {"
         "y = Einsum<equation = \"bij,bjk->bik\">(x, z) }", 60),
        ("g (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }", 0),
    ],
)  # fmt: skip
def test_multiply_accumulates_of_one_sample(body: str, macs: int) -> None:
    text = body
    while "%" in text:
        head, tail = text.split("%", 1)
        count = int(tail.split("}", 1)[0])
        text = head + ",".join(["1.0"] * count) + tail[len(str(count)) :]
    graph = graph_of(text)
    # A recurrent layer has time first, so here the open second axis is the batch.
    given_batch = {"n": 1} if "LSTM" in body else None
    assert graph_cost(graph, given_batch).macs == macs
    for batch in (2, 3):
        fixed = graph_of(text.replace("[n,", f"[{batch},"))
        if "LSTM" not in body:
            assert graph_cost(fixed).macs == macs


def test_unknown_operators_and_sizes_count_as_zero_and_are_listed(shared: Path) -> None:
    candy = graph_cost(open_model(shared / "data" / "zoo" / "style_candy_op7.onnx"))
    assert "ImageScaler" in candy.uncounted_ops
    face = open_model(shared / "data" / "zoo" / "yunet_n_dynamic.onnx")
    assert graph_cost(face).uncounted_ops == ("Conv",)
    assert all(not entry.counted for entry in graph_cost(face).nodes if entry.op == "Conv")
    assert graph_cost(face, {"height": 320, "width": 320}).macs > 1e8
    with pytest.raises(BadInputError, match="no dimension 'hight'"):
        graph_cost(face, {"hight": 320})


def test_a_shared_weight_is_counted_once() -> None:
    graph = graph_of("""g (float[n, 2] x) => (float[n, 2] y) <float[2, 2] w = {1., 2., 3., 4.}> {
        a = MatMul(x, w)
        y = MatMul(a, w)
    }""")
    assert graph_cost(graph).params == 4
    assert [layer.params for layer in find_layers(graph)] == [4, 0]


def test_layers_of_every_kind_are_found(shared: Path) -> None:
    zoo = shared / "data" / "zoo"
    kinds = {
        name: {node.op for node, _ in layer_nodes(open_model(zoo / f"{name}.onnx"))}
        for name in ("byte_sb_bidi_lstm", "gtcrn_stream_simple", "mnist_quantized", "tbefn_lowlight", "mnist_burn")
    }
    assert kinds["byte_sb_bidi_lstm"] == {"Gather", "LSTM", "MatMul"}
    assert {"GRU", "Conv", "ConvTranspose", "MatMul"} <= kinds["gtcrn_stream_simple"]
    assert kinds["mnist_quantized"] == {"ConvInteger", "MatMulInteger"}
    assert kinds["tbefn_lowlight"] == {"Conv", "ConvTranspose"}
    assert kinds["mnist_burn"] == {"Conv", "Gemm"}


def quantized(weight: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> ModelGraph:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], name="dq", axis=axis),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weight.shape[1], 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (("q", weight), ("s", scale), ("z", zero))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return ModelGraph(ir.from_proto(model))


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 5),
    signed=st.booleans(),
    axis=st.sampled_from([None, 0, 1]),
    seed=st.integers(0, 1000),
)
def test_a_weight_behind_dequantize_is_seen_as_the_layer_sees_it(
    channels: int, signed: bool, axis: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = np.int8 if signed else np.uint8
    limits = np.iinfo(kind)
    weight = rng.integers(limits.min, limits.max + 1, (channels, 3, 2, 2)).astype(kind)
    count = () if axis is None else (weight.shape[axis],)
    scale = rng.uniform(0.01, 1, count).astype(np.float32)
    zero = rng.integers(limits.min, limits.max + 1, count).astype(kind)
    graph = quantized(weight, scale, zero, 1 if axis is None else axis)
    ((node, found),) = layer_nodes(graph)
    assert (node.name, found.name, found.bits, found.nbytes) == ("conv", "q", 8, weight.size)
    expected = ReferenceEvaluator(graph.with_outputs(["w"]).proto()).run(
        None, {"x": np.zeros((1, 3, 8, 8), np.float32)}
    )[0]
    np.testing.assert_allclose(weight_values(graph, found), expected, rtol=1e-6)
    (layer,) = find_layers(graph)
    assert layer.params == weight.size
    assert layer.weight_bytes == weight.size + scale.nbytes + zero.nbytes


def test_changes_are_joined_by_layer_and_read_the_noted_bits() -> None:
    before = graph_of("""g (float[n, 3, 8, 8] x) => (float[n, 2, 7, 7] y) <float[2, 3, 2, 2] w = {
        1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.}> { y = Conv(x, w) }""")
    model = before.edit()
    next(iter(model.graph)).name = "conv"
    before = ModelGraph(model)
    integers = np.ones((1, 3, 2, 2), np.int8)
    after = quantized(integers, np.float32(0.5), np.int8(0), 0)
    (change,) = layer_changes(before, after)
    assert (change.before.weight_shape, change.before.bits, change.before.activation_bits) == ((2, 3, 2, 2), 32, 32)
    assert change.after is not None
    assert (change.after.weight_shape, change.after.bits) == ((1, 3, 2, 2), 8)
    edited = after.edit()
    for node in edited.graph:
        if node.name == "conv":
            node.metadata_props.update({"workbench.weight_bits": "3", "workbench.activation_bits": "4"})
    (change,) = layer_changes(before, ModelGraph(edited))
    assert change.after is not None
    assert (change.after.bits, change.after.activation_bits) == (3, 4)
    (gone,) = layer_changes(before, graph_of("g (float[n] x) => (float[n] y) { y = Relu(x) }"))
    assert gone.after is None


def test_half_precision_counts_as_sixteen_bits(shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / "squeezenet_fp16.onnx")
    states = layer_changes(graph, graph)
    assert {(change.before.bits, change.before.activation_bits) for change in states} == {(16, 16)}


def test_real_quantized_files_show_their_bits(shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / "edge_qdq_conv_perchannel.onnx")
    (change,) = layer_changes(graph, graph)
    assert (change.before.bits, change.before.activation_bits) == (8, 8)
    ((node, weight),) = layer_nodes(graph)
    assert weight.quantized
    assert weight_of(graph, node) == weight


def test_the_detail_of_a_layer(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    layer = find_layers(graph)[0]
    detail = layer_detail(graph, layer.name)
    weight = graph.constant(layer.weight)
    assert len(detail.counts) == 101
    assert len(detail.edges) == 102
    assert sum(detail.counts) == weight.size
    assert detail.minimum == weight.min()
    assert detail.std == pytest.approx(weight.std(), rel=1e-4)
    np.testing.assert_allclose(detail.channel_l1, np.abs(weight).sum(axis=(1, 2, 3)), rtol=1e-5)
    with pytest.raises(BadInputError, match="no layer 'nothing'"):
        layer_detail(graph, "nothing")
