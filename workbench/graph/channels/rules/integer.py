"""Integer products: channels run through them as through their float originals; zero points go with their channels.

What a removed channel holds in front of them is the zero point, since the mask sits in front of the quantizer.
"""

from __future__ import annotations

from workbench.graph.channels.flow import Flow
from workbench.graph.channels.registry import shrinks, spreads
from workbench.graph.channels.rules.convolution import convolve, fewer_groups
from workbench.graph.channels.rules.matrix import multiply
from workbench.graph.model import Node


@spreads("ConvInteger")
def conv_integer(node: Node, flow: Flow) -> None:
    """Inputs x, weight (out, in / group, k…), zero point of x, zero point(s) of the weight (out,)."""
    convolve(node, flow, weight_at=1, bias_at=None)
    _along(node, flow, 3, 1)


@spreads("MatMulInteger")
def matmul_integer(node: Node, flow: Flow) -> None:
    """Inputs a, b, zero point(s) of a, zero point(s) of b (columns,)."""
    multiply(node, flow, 0, 1)
    _along(node, flow, 3, -1)


@spreads("QLinearConv")
def qlinear_conv(node: Node, flow: Flow) -> None:
    """Inputs x, its scale and zero point, weight, its scale(s) and zero point(s) (out,), y's, bias (out,)."""
    convolve(node, flow, weight_at=3, bias_at=8)
    for index in (4, 5):
        _along(node, flow, index, 1)


@spreads("QLinearMatMul")
def qlinear_matmul(node: Node, flow: Flow) -> None:
    """Inputs a, its scale and zero point, b, its scale(s) and zero point(s), y's."""
    multiply(node, flow, 0, 3)
    for index in (4, 5):
        _along(node, flow, index, -1)


def _along(node: Node, flow: Flow, index: int, axis: int) -> None:
    """Couple a vector with an axis of the output."""
    vector, out = flow.axes(node, index), flow.values.get(node.outputs[0])
    if vector is not None and len(vector) == 1 and vector[0] is not None and out is not None:
        flow.unify(node, out[axis], vector[0])


shrinks("ConvInteger", "QLinearConv")(fewer_groups)
