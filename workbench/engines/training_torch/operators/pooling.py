"""Pooling, with the paddings, ceilings and counts of ONNX, which torch's own pooling covers only in part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.convolution import same_padding, torch_padding
from workbench.engines.training_torch.operators.registry import Context, Function, operator

_MAX: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class _Window:
    """Kernel, strides, dilations and padding of a pooling node.

    Attributes:
        kernel, strides, dilations: One number per spatial axis.
        pads: Begins then ends, or None for auto_pad.
        auto_pad: ONNX's word.
        ceil: Whether a last, partial window counts.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str
    ceil: bool

    @staticmethod
    def of(context: Context) -> _Window:
        kernel = tuple(context.attribute("kernel_shape"))
        ones = (1,) * len(kernel)
        return _Window(
            kernel,
            tuple(context.attribute("strides") or ones),
            tuple(context.attribute("dilations") or ones),
            tuple(context.attribute("pads") or (0,) * (2 * len(kernel))),
            context.attribute("auto_pad", "NOTSET"),
            bool(context.attribute("ceil_mode", 0)),
        )

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def native(self) -> tuple[int, ...] | None:
        """Padding that torch's own pooling can do, or None."""
        begins, ends = self.pads[: self.rank], self.pads[self.rank :]
        halved = all(pad <= width // 2 for pad, width in zip(begins, self.kernel, strict=True))
        return begins if self.auto_pad == "NOTSET" and begins == ends and halved else None

    def padding(self, sizes: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
        """Return begins, ends, and the further ends that only a ceiling asks for."""
        rank = self.rank
        begins, ends = list(self.pads[:rank]), list(self.pads[rank:])
        if self.auto_pad not in ("NOTSET", ""):
            begins, ends = same_padding(self.auto_pad, sizes, self.kernel, self.strides, self.dilations)
        further = []
        for axis in range(rank):
            width = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            room = sizes[axis] + begins[axis] + ends[axis] - width
            steps = math.ceil(room / self.strides[axis]) if self.ceil else room // self.strides[axis]
            if self.ceil and steps * self.strides[axis] >= sizes[axis] + begins[axis]:
                steps -= 1  # a window that starts in the padding behind the data does not count
            further.append(max(steps * self.strides[axis] - room, 0))
        return begins, ends, further


@operator("MaxPool")
def _max_pool(context: Context) -> Function:
    window = _Window.of(context)
    pool, native = _MAX[window.rank], window.native
    with_indices = len(context.node.outputs) > 1 and bool(context.node.outputs[1])
    if with_indices:
        if native is None or context.attribute("storage_order", 0):
            raise context.refuse("indices are asked for with uneven padding or column-major order")
        return _max_pool_with_indices(window, native)

    def run(x: Tensor) -> Tensor:
        dtype = x.dtype
        if not x.is_floating_point():
            x = x.to(torch.float32)
        if native is not None:
            result: Tensor = pool(x, window.kernel, window.strides, native, window.dilations, window.ceil)
        else:
            begins, ends, further = window.padding(x.shape[2:])
            ends = [end + more for end, more in zip(ends, further, strict=True)]
            padded = F.pad(x, torch_padding(begins, ends), value=-math.inf)
            result = pool(padded, window.kernel, window.strides, 0, window.dilations)
        return result if result.dtype == dtype else result.to(dtype)

    return run


def _max_pool_with_indices(window: _Window, padding: tuple[int, ...]) -> Function:
    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = _MAX[window.rank](
            x.to(torch.float32), window.kernel, window.strides, padding, window.dilations, window.ceil, True
        )
        # torch counts within one channel, ONNX within the whole tensor.
        plane = math.prod(x.shape[2:])
        starts = torch.arange(x.shape[0] * x.shape[1], device=x.device) * plane
        return values.to(x.dtype), indices + starts.reshape(x.shape[0], x.shape[1], *[1] * window.rank)

    return run


@operator("AveragePool")
def _average_pool(context: Context) -> Function:
    window = _Window.of(context)
    counted = bool(context.attribute("count_include_pad", 0))
    native = window.native if set(window.dilations) == {1} else None
    pool = _AVERAGE[window.rank]
    if native is not None:
        return lambda x: pool(x, window.kernel, window.strides, native, window.ceil, counted)

    def run(x: Tensor) -> Tensor:
        begins, ends, further = window.padding(x.shape[2:])
        sizes = x.shape[2:]
        inside = x.new_ones((1, 1, *sizes))
        inside = F.pad(inside, torch_padding(begins, ends), value=1.0 if counted else 0.0)
        outside = torch_padding([0] * window.rank, further)
        total = _window_sum(F.pad(F.pad(x, torch_padding(begins, ends)), outside), window)
        return total / _window_sum(F.pad(inside, outside), window)

    return run


def _window_sum(x: Tensor, window: _Window) -> Tensor:
    """Sum over each window by a convolution with ones (torch's pooling has no dilation)."""
    planes = x.reshape(-1, 1, *x.shape[2:])
    ones = x.new_ones((1, 1, *window.kernel))
    summed = _CONV[window.rank](planes, ones, None, window.strides, 0, window.dilations)
    return summed.reshape(*x.shape[:2], *summed.shape[2:])


@operator("LpPool")
def _lp_pool(context: Context) -> Function:
    window, power = _Window.of(context), float(context.attribute("p", 2))

    def run(x: Tensor) -> Tensor:
        begins, ends, further = window.padding(x.shape[2:])
        ends = [end + more for end, more in zip(ends, further, strict=True)]
        return _window_sum(F.pad(x.abs() ** power, torch_padding(begins, ends)), window) ** (1 / power)

    return run


@operator("GlobalAveragePool")
def _global_average(context: Context) -> Function:
    return lambda x: x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool")
def _global_max(context: Context) -> Function:
    return lambda x: x.amax(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("GlobalLpPool")
def _global_lp(context: Context) -> Function:
    power = float(context.attribute("p", 2))
    return lambda x: (x.abs() ** power).sum(dim=tuple(range(2, x.dim())), keepdim=True) ** (1 / power)
