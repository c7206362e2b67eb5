"""Convolutions in 1, 2 and 3 dimensions, with every way of padding that ONNX knows.

Notation: x (N, C, d1 …), weight (out, in / groups, k1 …), or (in, out / groups, k1 …) when transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, operator

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def same_padding(
    auto_pad: str, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return (begin, end) padding per axis for auto_pad SAME_UPPER, SAME_LOWER or VALID."""
    begins, ends = [], []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = 0
        if auto_pad != "VALID":
            total = max((-(-size // stride) - 1) * stride + dilation * (width - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if auto_pad == "SAME_UPPER" else large)
        ends.append(large if auto_pad == "SAME_UPPER" else small)
    return begins, ends


def torch_padding(begins: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Return paddings per axis in the order of torch's `pad`: last axis first."""
    return [pad for pair in zip(reversed(begins), reversed(ends), strict=True) for pad in pair]


@operator("Conv")
def _conv(context: Context) -> Function:
    return convolution(context)


def convolution(context: Context) -> Function:
    """Return the function (x, weight, bias) of a convolution node; also the core of the integer kinds."""
    groups, auto_pad = context.attribute("group", 1), context.attribute("auto_pad", "NOTSET")
    strides, dilations = context.attribute("strides"), context.attribute("dilations")
    pads = context.attribute("pads")

    if auto_pad == "NOTSET" and (pads is None or pads[: len(pads) // 2] == pads[len(pads) // 2 :]):
        symmetric = 0 if pads is None else pads[: len(pads) // 2]
        steps, spacing = strides or 1, dilations or 1

        def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            return _CONV[weight.dim() - 2](x, weight, bias, steps, symmetric, spacing, groups)

        return run

    def run_padded(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rank = weight.dim() - 2
        steps, spacing = strides or (1,) * rank, dilations or (1,) * rank
        if auto_pad == "NOTSET":
            begins, ends = list(pads[:rank]), list(pads[rank:])
        else:
            begins, ends = same_padding(auto_pad, x.shape[2:], weight.shape[2:], steps, spacing)
        if begins != ends:
            x, begins = F.pad(x, torch_padding(begins, ends)), [0] * rank
        return _CONV[rank](x, weight, bias, steps, begins, spacing, groups)

    return run_padded


@operator("ConvInteger", since=10)
def _conv_integer(context: Context) -> Function:
    convolve = convolution(context)

    def run(x: Tensor, weight: Tensor, x_zero: Tensor | None = None, weight_zero: Tensor | None = None) -> Tensor:
        x, weight = x.to(torch.float64), weight.to(torch.float64)
        if x_zero is not None:
            x = x - x_zero.to(torch.float64)
        if weight_zero is not None:
            zero = weight_zero.to(torch.float64)
            weight = weight - (zero if zero.numel() == 1 else zero.reshape(-1, *[1] * (weight.dim() - 1)))
        result: Tensor = convolve(x, weight)
        return result.to(torch.int32)

    return run


@operator("ConvTranspose")
def _conv_transpose(context: Context) -> Function:
    groups, auto_pad = context.attribute("group", 1), context.attribute("auto_pad", "NOTSET")
    strides, dilations = context.attribute("strides"), context.attribute("dilations")
    pads, extra = context.attribute("pads"), context.attribute("output_padding")
    wanted = context.attribute("output_shape")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rank = weight.dim() - 2
        steps, spacing = strides or (1,) * rank, dilations or (1,) * rank
        grown = list(extra or (0,) * rank)
        begins, ends = list(pads[:rank]) if pads else [0] * rank, list(pads[rank:]) if pads else [0] * rank
        if wanted or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            sizes = wanted[-rank:] if wanted else [size * step for size, step in zip(x.shape[2:], steps, strict=True)]
            for axis in range(rank):
                full = (x.shape[2 + axis] - 1) * steps[axis] + (weight.shape[2 + axis] - 1) * spacing[axis] + 1
                total = full + grown[axis] - sizes[axis]
                shared = max(total, 0)  # a total below zero means rows to add at the end
                begins[axis] = shared // 2 if auto_pad == "SAME_UPPER" else shared - shared // 2
                ends[axis] = total - begins[axis]
        transposed = _TRANSPOSED[rank]
        native = all(grow < max(step, space) for grow, step, space in zip(grown, steps, spacing, strict=True))
        if begins == ends and native and min(begins, default=0) >= 0:
            return transposed(x, weight, bias, steps, begins, grown, groups, spacing)
        # The full result is cropped, which leaves room for paddings that differ between the two ends.
        full_result = transposed(x, weight, None, steps, 0, 0, groups, spacing)
        ends = [grow - end for grow, end in zip(grown, ends, strict=True)]
        cropped = F.pad(full_result, torch_padding([-begin for begin in begins], ends))
        return cropped if bias is None else cropped + bias.reshape(-1, *[1] * rank)

    return run
