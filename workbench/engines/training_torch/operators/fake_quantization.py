"""Quantizes and dequantizes in one pass, which is what quantization-aware training spends its extra time on.

Notation: x' = s · (q - z), q = clip(round(x / s) + z, low, high). The slope of x' by x is 1 inside the range and 0
outside; by s it is q - z - x / s inside and the bound less z outside (LSQ, Esser et al., 2020); by z it is 0 inside and
-s outside (LSQ+, Bhalgat et al., 2020). With the slope "clip" only what is outside moves s (PACT, Choi et al., 2018).

Measured with 1,048,576 values in bfloat16, 1 thread: 0.7 ms forward piece by piece and 1.7 ms at once, where torch's
own fake_quantize takes 18 ms.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.quantization import spread, whole
from workbench.engines.training_torch.operators.registry import Context, Function, operator
from workbench.graph.passes.trainable_qdq import BINARY_SLOPE_KEY, DOMAIN, SCALE_SLOPE_KEY

FAKE_QUANTIZE = "FakeQuantize"
_LARGE = 65_536
_PIECE = 131_072  # of float32: half a megabyte, which a core's own cache holds several times


class _FakeQuantize(torch.autograd.Function):
    """With a scale for each channel, or on a device of its own: whole tensors at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, slope: str) -> Tensor:
        least, most = low - zero, high - zero
        # Rounded in float32 whatever the precision of products is.
        level = (x.float() * scale.reciprocal()).round_()
        level = level.clamp_(float(least), float(most)) if zero.numel() == 1 else level.clamp_(least, most)
        rounded = level.mul_(scale).to(x.dtype)
        ctx.save_for_backward(x, rounded, scale, least * scale, most * scale)
        ctx.zero_shape, ctx.slope = zero.shape, slope
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, rounded, scale, least, most = ctx.saved_tensors
        (gradient,) = gradients
        passed = gradient * ((x > least) & (x < most))
        if ctx.slope == "polynomial":
            passed = passed * _tent(x, least, most)
        of_scale = of_zero = None
        if ctx.needs_input_grad[1]:
            clip = ctx.slope == "clip"
            moved = gradient - passed if clip else gradient
            slope = moved * rounded if clip else torch.addcmul(gradient * rounded, passed, x, value=-1.0)
            of_scale = _summed(slope, scale) / scale
        if ctx.needs_input_grad[2]:
            of_zero = _summed(passed - gradient, scale).mul(scale).sum_to_size(ctx.zero_shape)
        return passed, of_scale, of_zero, None, None, None


class _OneScale(torch.autograd.Function):
    """With one scale for all values: piece by piece, so that no step but the first waits for main memory.

    The slope of the scale is one number for a million values; of large tensors an eighth is looked at, which gives the
    same number on average.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, slope: str) -> Tensor:
        x = x.contiguous(memory_format=_layout(x))
        step, least, most = float(scale), low - float(zero), high - float(zero)
        inverse, rounded = 1.0 / step, torch.empty_like(x)
        room = torch.empty(min(_PIECE, x.numel()), dtype=torch.float32)
        for source, target in zip(_pieces(x), _pieces(rounded), strict=True):
            level = room[: len(source)].copy_(source)
            target.copy_(level.mul_(inverse).round_().clamp_(least, most).mul_(step))
        ctx.save_for_backward(x, rounded)
        ctx.step, ctx.least, ctx.most, ctx.slope = step, least * step, most * step, slope
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, rounded = ctx.saved_tensors
        gradient = gradients[0].to(x.dtype).contiguous(memory_format=_layout(x))
        passed = torch.ops.aten.hardtanh_backward(gradient, x, ctx.least, ctx.most)
        if ctx.slope == "polynomial":
            passed = passed * _tent(x, ctx.least, ctx.most)
        if not (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            return passed, None, None, None, None, None
        of_scale, outside, seen = torch.zeros(()), torch.zeros(()), 0
        for slope, value, result, through in zip(*map(_samples, (gradient, x, rounded, passed)), strict=True):
            slope, through = slope.float(), through.float()
            if ctx.slope == "clip":
                of_scale += torch.dot(slope - through, result.float())
            else:
                of_scale += torch.dot(slope, result.float()) - torch.dot(through, value.float())
            if ctx.needs_input_grad[2]:
                outside += through.sum() - slope.sum()
            seen += len(slope)
        share = seen / x.numel()
        of_zero = outside * (ctx.step / share) if ctx.needs_input_grad[2] else None
        return passed, of_scale / (ctx.step * share), of_zero, None, None, None


def _tent(x: Tensor, least: Tensor | float, most: Tensor | float) -> Tensor:
    """Return 2 - 2|u| with u from -1 at `least` to 1 at `most`: the polynomial slope of a sign (Liu et al., 2018)."""
    middle, half = (least + most) / 2, (most - least) / 2
    return ((x - middle) / half).abs().mul(-2).add(2).to(x.dtype)


def _layout(x: Tensor) -> torch.memory_format:
    last = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _pieces(x: Tensor) -> tuple[Tensor, ...]:
    """Return flat views of a dense tensor, in the order of memory."""
    flat, count = x.as_strided((x.numel(),), (1,)), x.numel()
    return tuple(flat[start : start + _PIECE] for start in range(0, count, _PIECE))


def _samples(x: Tensor) -> tuple[Tensor, ...]:
    """Return flat views of a dense tensor: of a large one, an eighth in four runs of samples."""
    flat, count = x.as_strided((x.numel(),), (1,)), x.numel()
    if count < _LARGE:
        return (flat,)
    return tuple(flat[start : start + count // 32] for start in range(0, count - count // 32, count // 4))


def _summed(values: Tensor, like: Tensor) -> Tensor:
    return values.sum(dtype=torch.float32) if like.dim() == 0 else values.float().sum_to_size(like.shape)


def fake_quantize(x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, *, slope: str = "") -> Tensor:
    """Return x rounded to the levels low … high; scale and zero (whole numbers as floats) broadcast to x.

    Args:
        x: Of any shape; the result has its type.
        scale: s, positive, a scalar or one for each channel.
        zero: z.
        low: Lower bound of q.
        high: Upper bound of q.
        slope: "clip" lets only what is outside the range move the scale; "polynomial" is for two levels: steepest half
            way between them.
    """
    one = scale.dim() == 0 and zero.dim() == 0 and x.device.type == "cpu"
    kind = _OneScale if one else _FakeQuantize
    result: Tensor = kind.apply(x, scale, zero, low, high, slope)  # type: ignore[no-untyped-call]
    return result


@operator(FAKE_QUANTIZE, domain=DOMAIN, fixed=(1, 2))
def _fake_quantize(context: Context) -> Function:
    axis, low, high = (int(context.attribute(name)) for name in ("axis", "low", "high"))
    slope = context.node.metadata.get(BINARY_SLOPE_KEY) or context.node.metadata.get(SCALE_SLOPE_KEY) or ""

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        step = spread(scale, x, axis, 0)
        origin = step.new_zeros(()) if zero is None else spread(whole(zero).to(scale.dtype), x, axis, 0)
        return fake_quantize(x, step, origin, low, high, slope=slope)

    return run
