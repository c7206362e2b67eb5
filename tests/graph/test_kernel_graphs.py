"""Models of one layer are those of the layer's sizes, and the runtime fuses their quantizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from workbench.engines.inference_ort import open_session
from workbench.engines.inference_ort.sample_inputs import random_inputs
from workbench.graph.kernel_graphs import KernelShape, kernel_forms, kernel_graph, kernel_shapes
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model

SHAPES = {
    "QLinearConv": KernelShape(
        "Conv", (1, 8, 10, 10), (4, 2, 3, 3), 1, True, (("group", 4), ("pads", (1, 1, 1, 1)), ("strides", (2, 2)))
    ),
    "QGemm": KernelShape("Gemm", (2, 6), (3, 6), 1, True, (("transB", 1),)),
    "QLinearMatMul": KernelShape("MatMul", (1, 5, 6), (6, 3), 1, False, ()),
}


def executed(graph: ModelGraph, folder: Path) -> list[str]:
    save_model(graph, folder / "kernel.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(folder / "kernel.onnx", options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


@pytest.mark.parametrize("op", SHAPES)
def test_integer_kernels_are_fused(op: str, tmp_path: Path) -> None:
    ops = executed(kernel_graph(SHAPES[op], "uint8"), tmp_path)
    assert op in ops
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(ops)


@pytest.mark.parametrize("op", SHAPES)
def test_all_forms_have_the_same_sizes(op: str) -> None:
    shapes = set()
    for form in ("float32", "uint8", "int8"):
        graph = kernel_graph(SHAPES[op], form)
        (result,) = open_session(graph).run(random_inputs(graph.inputs)).values()
        assert result.dtype == np.dtype(form)
        shapes.add(result.shape)
    assert len(shapes) == 1


@pytest.mark.parametrize("form", ["packed8", "packed4"])
@pytest.mark.parametrize("op", ["QGemm", "QLinearMatMul"])
def test_packed_kernels_read_and_make_floats(op: str, form: str, tmp_path: Path) -> None:
    graph = kernel_graph(SHAPES[op], form)
    assert "MatMulNBits" in executed(graph, tmp_path)
    plain = kernel_graph(SHAPES[op], "float32")
    results = [open_session(each).run(random_inputs(each.inputs))["y"] for each in (graph, plain)]
    assert results[0].shape == results[1].shape
    assert results[0].dtype == np.float32


def test_what_can_be_packed_is_known() -> None:
    assert [len(kernel_forms(shape)) for shape in SHAPES.values()] == [3, 5, 5]
    turned = KernelShape("Gemm", (6, 2), (3, 6), 1, True, (("transA", 1), ("transB", 1)))
    stacked = KernelShape("MatMul", (2, 5, 6), (2, 6, 3), 1, False, ())
    first = KernelShape("MatMul", (6, 5), (3, 6), 0, False, ())
    assert [len(kernel_forms(shape)) for shape in (turned, stacked, first)] == [3, 3, 3]


def test_layers_are_described_by_what_they_read(small_cnn: ModelGraph) -> None:
    layers = {node.name: weight for node, weight in layer_nodes(small_cnn)}
    found = list(kernel_shapes(small_cnn, layers, batch=2).values())
    assert [(shape.op, shape.data, shape.weight, shape.biased) for shape in found] == [
        ("Conv", (2, 3, 8, 8), (8, 3, 3, 3), True),
        ("Conv", (2, 8, 8, 8), (8, 8, 3, 3), True),
        ("Gemm", (2, 8), (5, 8), True),
    ]
    assert found[0].attributes == (("pads", (1, 1, 1, 1)),)
    assert found[0].key != found[1].key


def test_what_has_no_integer_kernel_or_no_known_size_is_left_out(graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,m,4] x, float[n,2,4,4] z) => (float[n,m,3] y, float[n,3,4,4] t) {
            y = MatMul (x, w)
            t = ConvTranspose (z, v)
        }""",
        {"w": np.zeros((4, 3), np.float32), "v": np.zeros((2, 3, 1, 1), np.float32)},
    )
    layers = {node.name: weight for node, weight in layer_nodes(graph)}
    assert kernel_shapes(graph, layers, batch=1) == {}
    (known,) = kernel_shapes(graph, layers, batch=1, dimensions={"m": 7}).values()
    assert known.data == (1, 7, 4)
