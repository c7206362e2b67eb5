"""Integer products: channels run through them as through their float originals; zero points go with their channels.

What a removed channel holds in front of them is the zero point, since the mask sits in front of the quantizer.
Operators that also give quantized numbers (QLinearConv and its like) are not followed: their zero is not a zero.
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
    convolve(node, flow, integer=True)
    _along(node, flow, 3, 1)


@spreads("MatMulInteger")
def matmul_integer(node: Node, flow: Flow) -> None:
    """Inputs a, b, zero point(s) of a, zero point(s) of b (columns,)."""
    multiply(node, flow, 0, 1)
    _along(node, flow, 3, -1)


def _along(node: Node, flow: Flow, index: int, axis: int) -> None:
    """Couple a vector with an axis of the output."""
    vector, out = flow.axes(node, index), flow.values.get(node.outputs[0])
    if vector is not None and len(vector) == 1 and vector[0] is not None and out is not None:
        flow.unify(node, out[axis], vector[0])


shrinks("ConvInteger")(fewer_groups)
