"""Operators that rearrange values without computing: shapes, axes, slices, padding, joining and splitting."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, axis_of, integers, operator


@operator("Reshape", host=(1,))
def _reshape(context: Context) -> Function:
    keep_zeros = bool(context.attribute("allowzero", 0))
    target = context.ints(1)
    if target is not None and (keep_zeros or 0 not in target):
        return lambda x, shape: x.reshape(target)

    def run(x: Tensor, shape: Tensor) -> Tensor:
        sizes = integers(shape) if target is None else target
        if keep_zeros:
            return x.reshape(sizes)
        return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])

    return run


@operator("Flatten")
def _flatten(context: Context) -> Function:
    axis = context.attribute("axis", 1)

    def run(x: Tensor) -> Tensor:
        rows = math.prod(x.shape[: axis_of(axis, x.dim())])
        return x.reshape(rows, math.prod(x.shape) // rows if rows else math.prod(x.shape[axis_of(axis, x.dim()) :]))

    return run


@operator("Transpose")
def _transpose(context: Context) -> Function:
    order = context.attribute("perm")
    return lambda x: x.permute(order if order is not None else tuple(range(x.dim()))[::-1])


@operator("Squeeze", host=(1,))
def _squeeze(context: Context) -> Function:
    given = context.attribute("axes") if context.opset < 13 else context.ints(1)

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = given if given is not None or axes is None else integers(axes)
        return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))

    return run


@operator("Unsqueeze", host=(1,))
def _unsqueeze(context: Context) -> Function:
    given = context.attribute("axes") if context.opset < 13 else context.ints(1)

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = given if given is not None or axes is None else integers(axes)
        rank = x.dim() + len(chosen or ())
        for axis in sorted(axis_of(axis, rank) for axis in chosen or ()):
            x = x.unsqueeze(axis)
        return x

    return run


@operator("Expand", host=(1,))
def _expand(context: Context) -> Function:
    def run(x: Tensor, shape: Tensor) -> Tensor:
        return x.expand(torch.broadcast_shapes(x.shape, integers(shape)))  # type: ignore[no-untyped-call]

    return run


@operator("Tile", host=(1,))
def _tile(context: Context) -> Function:
    return lambda x, repeats: x.repeat(integers(repeats)) if x.dim() else x


@operator("Concat")
def _concat(context: Context) -> Function:
    axis = context.attribute("axis", 1)
    return lambda *values: torch.cat(values, axis)


@operator("Split", host=(1,))
def _split(context: Context) -> Function:
    axis, count = context.attribute("axis", 0), len(context.node.outputs)
    given = context.attribute("split") if context.opset < 13 else context.ints(1)

    def run(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        chosen = given if given is not None or sizes is None else integers(sizes)
        if chosen is None:
            # Equal parts, the last one smaller where the size does not divide.
            part = -(-x.shape[axis] // count)
            chosen = [part] * (count - 1) + [x.shape[axis] - part * (count - 1)]
        return torch.split(x, list(chosen), axis)

    return run


@operator("Slice")
def _slice_attributes(context: Context) -> Function:
    starts, ends = context.attribute("starts"), context.attribute("ends")
    axes = context.attribute("axes") or tuple(range(len(starts)))
    return lambda x: take_slices(x, starts, ends, axes, (1,) * len(starts))


@operator("Slice", since=10, host=(1, 2, 3, 4))
def _slice_inputs(context: Context) -> Function:
    given = [context.ints(index) for index in range(1, 5)]

    def run(x: Tensor, *bounds: Tensor | None) -> Tensor:
        starts, ends, axes, steps = (
            given[index] if given[index] is not None else _host(bounds, index) for index in range(4)
        )
        starts, ends = starts or (), ends or ()
        axes = tuple(range(len(starts))) if axes is None else axes
        return take_slices(x, starts, ends, axes, (1,) * len(starts) if steps is None else steps)

    return run


def _host(values: Sequence[Tensor | None], index: int) -> tuple[int, ...] | None:
    value = values[index] if index < len(values) else None
    return None if value is None else integers(value)


def take_slices(
    x: Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]
) -> Tensor:
    """Return x[start:end:step] on each axis; torch itself knows no negative steps."""
    selection: list[slice] = [slice(None)] * x.dim()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        if step > 0:
            selection[axis] = slice(start, end, step)
            continue
        stop = None if end < -size else end
        begin, last, _ = slice(start, stop, step).indices(size)
        x = x.index_select(axis, torch.arange(begin, last, step, device=x.device))
    return x[tuple(selection)]


@operator("Pad", fixed=(2,), host=(1, 3))
def _pad(context: Context) -> Function:
    mode = context.attribute("mode", "constant")
    old = context.opset < 11
    given = context.attribute("pads") if old else context.ints(1)
    fill = float(context.attribute("value", 0.0))

    def run(x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
        flat = given if given is not None or pads is None else integers(pads)
        assert flat is not None
        chosen = tuple(range(x.dim())) if axes is None else tuple(axis_of(axis, x.dim()) for axis in integers(axes))
        begins, ends = [0] * x.dim(), [0] * x.dim()
        for position, axis in enumerate(chosen):
            begins[axis], ends[axis] = flat[position], flat[len(chosen) + position]
        if mode == "constant":
            filler = fill if value is None else value.item()
            return F.pad(x, [pad for pair in zip(begins[::-1], ends[::-1], strict=True) for pad in pair], value=filler)
        for axis, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            if begin or end:
                x = x.index_select(axis, _border(mode, x.shape[axis], begin, end).to(x.device))
        return x

    return run


def _border(mode: str, size: int, begin: int, end: int) -> Tensor:
    """Return the source index of every padded position for edge, reflect and wrap."""
    positions = torch.arange(-begin, size + end)
    if mode == "edge":
        return positions.clamp(0, size - 1)
    if mode == "wrap":
        return positions.remainder(size)
    period = max(2 * (size - 1), 1)
    folded = positions.remainder(period)
    return torch.minimum(folded, period - folded) if size > 1 else torch.zeros_like(positions)


@operator("Shape")
def _shape(context: Context) -> Function:
    start, end = context.attribute("start", 0), context.attribute("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


@operator("Size")
def _size(context: Context) -> Function:
    return lambda x: torch.tensor(x.numel(), dtype=torch.int64)


@operator("DepthToSpace")
def _depth_to_space(context: Context) -> Function:
    block, mode = context.attribute("blocksize"), context.attribute("mode", "DCR")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if mode == "CRD":
            return F.pixel_shuffle(x, block)
        split = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return split.reshape(n, c // block**2, h * block, w * block)

    return run


@operator("SpaceToDepth")
def _space_to_depth(context: Context) -> Function:
    block, mode = context.attribute("blocksize"), context.attribute("mode", "DCR")

    def run(x: Tensor) -> Tensor:
        if mode == "CRD":
            return F.pixel_unshuffle(x, block)
        n, c, h, w = x.shape
        split = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return split.reshape(n, c * block**2, h // block, w // block)

    return run


@operator("Crop")
def _crop(context: Context) -> Function:
    """Crop the image by a border; an experimental operator of early exporters."""
    left, top, right, bottom = context.attribute("border")
    size = context.attribute("scale")

    def run(x: Tensor) -> Tensor:
        height, width = size or (x.shape[2] - top - bottom, x.shape[3] - left - right)
        return x[:, :, top : top + height, left : left + width]

    return run


@operator("ImageScaler")
def _image_scaler(context: Context) -> Function:
    """Scale the image and add a bias per channel; an experimental operator of early exporters."""
    scale, bias = context.attribute("scale", 1.0), context.attribute("bias", ())

    def run(x: Tensor) -> Tensor:
        scaled: Tensor = x * scale + x.new_tensor(bias).reshape(1, -1, 1, 1)
        return scaled

    return run


@operator("Affine")
def _affine(context: Context) -> Function:
    """Scale and shift by two numbers; an experimental operator of early exporters."""
    alpha, beta = context.attribute("alpha", 1.0), context.attribute("beta", 0.0)
    return lambda x: x * alpha + beta
