"""Says how a layer's kernel would look with fewer output channels, so that it can be timed before any are removed."""

from __future__ import annotations

from dataclasses import replace

from workbench.graph.kernel_graphs import KernelShape, channel_axis


def output_channels(shape: KernelShape) -> int | None:
    """Return how many output channels a kernel has; None where their number can't be changed by itself."""
    axis = channel_axis(shape)
    if axis is None:
        return None
    groups = int(dict(shape.attributes).get("group", 1)) if shape.op == "Conv" else 1
    if groups > 1 and not _depthwise(shape, groups):
        return None
    return shape.weight[axis]


def with_channels(shape: KernelShape, channels: int) -> KernelShape:
    """Return a kernel with so many output channels; a depthwise one reads as many.

    Args:
        shape: One of which `output_channels` knows the number.
        channels: At least 1.
    """
    axis = channel_axis(shape)
    assert axis is not None
    weight = (*shape.weight[:axis], channels, *shape.weight[axis + 1 :])
    attributes = dict(shape.attributes)
    if shape.op != "Conv" or int(attributes.get("group", 1)) == 1:
        return replace(shape, weight=weight)
    attributes["group"] = channels
    data = (shape.data[0], channels, *shape.data[2:])
    return replace(shape, weight=weight, data=data, attributes=tuple(sorted(attributes.items())))


def _depthwise(shape: KernelShape, groups: int) -> bool:
    return shape.weight[0] == groups and shape.weight[1] == 1
