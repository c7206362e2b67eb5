"""Quantize and dequantize nodes: per-channel scales lose the channels that the tensor loses."""

from __future__ import annotations

from workbench.graph.channels.flow import Flow
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads("QuantizeLinear", "DequantizeLinear")
@spreads("QuantizeLinear", "DequantizeLinear", domain="com.microsoft")
def scale(node: Node, flow: Flow) -> None:
    """Scale and zero point are scalars or vectors along `axis`; block-wise scales are not followed."""
    axes = flow.axes(node, 0)
    if axes is None or node.attribute("block_size", 0):
        flow.give_up(node)
        return
    for index in (1, 2):
        vector = flow.axes(node, index)
        if vector is not None and len(vector) == 1 and vector[0] is not None and axes:
            axis = node.attribute("axis", 1) % len(axes)
            flow.unify(node, axes[axis], vector[0])
    if node.op == "QuantizeLinear":
        # Behind it a zero is the zero point, which a mask could not put there.
        flow.contract(node, 0)
    flow.give(node, axes)
