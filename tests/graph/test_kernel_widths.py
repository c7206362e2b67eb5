"""Kernels at other widths are kernels that the runtime takes."""

from __future__ import annotations

import pytest

from workbench.engines.inference_ort.sample_inputs import random_inputs
from workbench.engines.inference_ort.session import open_session
from workbench.graph.kernel_graphs import KernelShape, kernel_graph
from workbench.graph.kernel_widths import input_channels, narrowing, output_channels, with_channels, with_input_channels

PADS = (("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1)))
PLAIN = KernelShape("Conv", (1, 8, 6, 6), (16, 8, 3, 3), 1, True, PADS)
DEPTHWISE = KernelShape("Conv", (1, 16, 6, 6), (16, 1, 3, 3), 1, True, (("group", 16), ("pads", (1, 1, 1, 1))))
GEMM = KernelShape("Gemm", (1, 32), (16, 32), 1, True, (("transB", 1),))
MATMUL = KernelShape("MatMul", (1, 4, 32), (32, 16), 1, False, ())


@pytest.mark.parametrize("form", ["float32", "uint8"])
@pytest.mark.parametrize("shape", [PLAIN, DEPTHWISE, GEMM, MATMUL], ids=["conv", "depthwise", "gemm", "matmul"])
def test_fewer_channels_come_out(shape: KernelShape, form: str) -> None:
    assert output_channels(shape) == 16
    narrow = with_channels(shape, 5)
    assert output_channels(narrow) == 5
    graph = kernel_graph(narrow, form)  # type: ignore[arg-type]
    (found,) = open_session(graph).run_exactly(random_inputs(graph.inputs)).values()
    assert found.shape[1 if shape.op == "Conv" else -1] == 5
    assert with_channels(narrow, 16) == shape


@pytest.mark.parametrize("form", ["float32", "uint8"])
@pytest.mark.parametrize("shape", [PLAIN, GEMM, MATMUL], ids=["conv", "gemm", "matmul"])
def test_fewer_channels_are_read(shape: KernelShape, form: str) -> None:
    before = input_channels(shape)
    assert before == (8 if shape.op == "Conv" else 32)
    narrow = with_input_channels(shape, 3)
    graph = kernel_graph(narrow, form)  # type: ignore[arg-type]
    assert graph.inputs[0].shape[1 if shape.op == "Conv" else -1] == 3
    open_session(graph).run_exactly(random_inputs(graph.inputs))
    assert with_input_channels(narrow, before) == shape


def test_both_sides_can_lose_the_same_channels() -> None:
    square = KernelShape("Conv", (1, 16, 6, 6), (16, 16, 3, 3), 1, True, PADS)
    both = narrowing(square, "out", "in")
    assert both.channels == 16
    assert both.at(5).weight == (5, 5, 3, 3)
    assert both.key != narrowing(square, "out").key
    assert narrowing(PLAIN, "in", "out").channels is None, "8 in and 16 out are not the same channels"
    assert narrowing(DEPTHWISE, "in", "out").at(5).data == (1, 5, 6, 6)


def test_widths_that_depend_on_others_are_left_alone() -> None:
    grouped = KernelShape("Conv", (1, 16, 6, 6), (16, 4, 3, 3), 1, False, (("group", 4),))
    stacked = KernelShape("MatMul", (2, 4, 8), (2, 8, 16), 1, False, ())
    assert output_channels(grouped) is None
    assert output_channels(stacked) is None
