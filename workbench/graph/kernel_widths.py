"""Says how a layer's kernel would look with fewer channels, so that it can be timed before any are removed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

from workbench.graph.kernel_graphs import KernelShape, channel_axis

Side = Literal["in", "out"]


@dataclass(frozen=True)
class Narrowing:
    """What loses channels together on one kernel: its output channels, its input channels, or both.

    Attributes:
        shape: Before any are removed.
        sides: "in" and "out", sorted.
    """

    shape: KernelShape
    sides: tuple[Side, ...]

    @property
    def key(self) -> str:
        """The same as text."""
        return json.dumps([self.sides, self.shape.key])

    @property
    def channels(self) -> int | None:
        """How many channels there are; None where their number can't be changed by itself."""
        counts = {output_channels(self.shape) if side == "out" else input_channels(self.shape) for side in self.sides}
        return counts.pop() if len(counts) == 1 else None

    def at(self, channels: int) -> KernelShape:
        """Return the kernel with so many channels, at least 1, where their number can be changed."""
        shape = self.shape
        if "out" in self.sides:
            shape = with_channels(shape, channels)
        return with_input_channels(shape, channels) if "in" in self.sides else shape


def narrowing(shape: KernelShape, *sides: Side) -> Narrowing:
    """Return what loses channels; a depthwise kernel loses them on both sides, which counts as its output."""
    if _depthwise(shape):
        return Narrowing(shape, ("out",))
    return Narrowing(shape, tuple(sorted(set(sides))))


def output_channels(shape: KernelShape) -> int | None:
    """Return how many output channels a kernel has; None where their number can't be changed by itself."""
    axis = channel_axis(shape)
    if axis is None or (_groups(shape) > 1 and not _depthwise(shape)):
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
    weight = _with(shape.weight, axis, channels)
    if _groups(shape) == 1:
        return replace(shape, weight=weight)
    attributes = dict(shape.attributes) | {"group": channels}
    data = _with(shape.data, 1, channels)
    return replace(shape, weight=weight, data=data, attributes=tuple(sorted(attributes.items())))


def input_channels(shape: KernelShape) -> int | None:
    """Return how many input channels a kernel has; None where their number can't be changed by itself."""
    axes = _input_axes(shape)
    return None if axes is None else shape.weight[axes[0]]


def with_input_channels(shape: KernelShape, channels: int) -> KernelShape:
    """Return a kernel that reads so many channels.

    Args:
        shape: One of which `input_channels` knows the number.
        channels: At least 1.
    """
    axes = _input_axes(shape)
    assert axes is not None
    return replace(shape, weight=_with(shape.weight, axes[0], channels), data=_with(shape.data, axes[1], channels))


def _input_axes(shape: KernelShape) -> tuple[int, int] | None:
    """Return the axes of the input channels in the weight and in the data."""
    axis = channel_axis(shape)
    if axis is None or _groups(shape) > 1:
        return None
    if shape.op == "Conv":
        return 1, 1
    if shape.position != 1 or dict(shape.attributes).get("transA", 0):
        return None
    return 1 - axis, len(shape.data) - 1


def _with(sizes: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*sizes[:axis], size, *sizes[axis + 1 :])


def _groups(shape: KernelShape) -> int:
    return int(dict(shape.attributes).get("group", 1)) if shape.op == "Conv" else 1


def _depthwise(shape: KernelShape) -> bool:
    return _groups(shape) > 1 and shape.weight[0] == _groups(shape) and shape.weight[1] == 1
