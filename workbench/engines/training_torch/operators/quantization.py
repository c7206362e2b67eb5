"""Quantize and dequantize, with gradients that pass straight through the rounding.

Notation: q = clamp(round(x / scale) + zero); x' = (q - zero) · scale. Where a gradient is wanted, q is a float tensor
that holds whole numbers, since torch's integers carry no gradient. A zero point that is trained is a float as well and
rounded where it is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.convolution import convolution
from workbench.engines.training_torch.operators.registry import (
    Context,
    Function,
    axis_of,
    operator,
    torch_type,
    type_name,
)

RANGES = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535),
    "int32": (-(2**31), 2**31 - 1), "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3),
}  # fmt: skip


class StraightThrough(torch.autograd.Function):
    """Round to the quantized grid; the gradient passes where the value was inside the range (Bengio et al., 2013).

    Together with the product in DequantizeLinear, a scale's slope becomes round(x / s) - x / s inside the range and the
    bound less the zero point outside (LSQ, Esser et al., 2020), a zero point's 0 inside and -s outside (LSQ+, Bhalgat
    et al., 2020).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
        """Return whole numbers as floats; scale and zero broadcast to x."""
        level = torch.round(x / scale) + zero
        inside = (level >= low) & (level <= high)
        needs_scale = ctx.needs_input_grad[1]
        ctx.save_for_backward(inside, x if needs_scale else None, scale)
        ctx.zero_shape = zero.shape
        return level.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and, where they are trained, of scale and zero."""
        inside, x, scale = ctx.saved_tensors
        passed = gradients[0] * inside
        slope = passed / scale
        of_scale = -(slope * x / scale).sum_to_size(scale.shape) if ctx.needs_input_grad[1] else None
        of_zero = passed.sum_to_size(ctx.zero_shape) if ctx.needs_input_grad[2] else None
        return slope, of_scale, of_zero, None, None


def whole(zero: Tensor) -> Tensor:
    """Return a zero point as it will be stored: one that is trained is rounded, and its gradient passes through."""
    return zero + (torch.round(zero) - zero).detach() if zero.is_floating_point() else zero


def spread(setting: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Shape a scale or zero point so that it broadcasts to x: per tensor, per channel or per block."""
    if setting.numel() == 1:
        return setting.reshape(())
    position = axis_of(axis, x.dim())
    if setting.dim() == 1 and not block:
        return setting.reshape([-1 if k == position else 1 for k in range(x.dim())])
    return setting.repeat_interleave(block, position).narrow(position, 0, x.shape[position])


@operator("QuantizeLinear", since=10, fixed=(1, 2))
@operator("QuantizeLinear", domain="com.microsoft", fixed=(1, 2))
def _quantize(context: Context) -> Function:
    axis, block = context.attribute("axis", 1), context.attribute("block_size", 0)
    name = context.type_of(2) if context.has(2) else None
    if name is None:
        zero_known = context.constant(2)
        name = type_name(context.attribute("output_dtype", 0)) or (
            "uint8" if zero_known is None else str(zero_known.dtype).removeprefix("torch.")
        )
    if name not in RANGES:
        raise context.refuse(f"element type {name} can't be held")
    low, high = RANGES[name]
    dtype = torch_type(name)

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        x = x.to(scale.dtype)
        step = spread(scale, x, axis, block)
        origin = torch.zeros_like(step) if zero is None else spread(whole(zero).to(scale.dtype), x, axis, block)
        if torch.is_grad_enabled() and (x.requires_grad or step.requires_grad or origin.requires_grad):
            return StraightThrough.apply(x, step, origin, low, high)  # type: ignore[no-any-return, no-untyped-call]
        # In place: these are bound by memory.
        return (x / step).round_().add_(origin).clamp_(low, high).to(dtype)

    return run


@operator("DequantizeLinear", since=10, fixed=(1, 2))
@operator("DequantizeLinear", domain="com.microsoft", fixed=(1, 2))
def _dequantize(context: Context) -> Function:
    axis, block = context.attribute("axis", 1), context.attribute("block_size", 0)

    def run(q: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        # The difference is taken before the product so that wide integers stay exact.
        step = spread(scale, q, axis, block)
        if q.is_floating_point():
            level = q if zero is None else q - spread(whole(zero).to(q.dtype), q, axis, block)
            return level.to(scale.dtype) * step
        level = q.to(torch.float64 if q.dtype == torch.int32 else scale.dtype)
        if zero is not None:
            level = level.sub_(spread(whole(zero).to(level.dtype), q, axis, block))
        level = level.to(scale.dtype)
        return level * step if step.requires_grad else level.mul_(step)

    return run


@operator("DynamicQuantizeLinear", since=11)
def _dynamic_quantize(context: Context) -> Function:
    def run(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
        scale = (high - low) / 255
        zero = torch.round(-low / torch.where(scale == 0, torch.ones_like(scale), scale)).clamp(0, 255)
        level = (torch.round(x / scale) + zero).clamp(0, 255)
        return level.to(torch.uint8), scale, zero.to(torch.uint8)

    return run


@operator("QLinearConv", since=10, fixed=(1, 2, 4, 5, 6, 7))
def _qlinear_conv(context: Context) -> Function:
    convolve = convolution(context)

    def run(x: Tensor, x_scale: Tensor, x_zero: Tensor, w: Tensor, *rest: Tensor) -> Tensor:
        w_scale, w_zero, y_scale, y_zero = rest[:4]
        shape = [-1] + [1] * (w.dim() - 1)
        weight = w.to(torch.float64) - w_zero.to(torch.float64).reshape(shape if w_zero.numel() > 1 else ())
        level = convolve(x.to(torch.float64) - x_zero.to(torch.float64), weight)
        if len(rest) > 4:
            level = level + rest[4].to(torch.float64).reshape(-1, *[1] * (w.dim() - 2))
        factor = (x_scale * w_scale / y_scale).to(torch.float64)
        return _requantize(level * (factor.reshape(-1, *[1] * (w.dim() - 2)) if factor.numel() > 1 else factor), y_zero)

    return run


@operator("QLinearMatMul", since=10, fixed=(1, 2, 4, 5, 6, 7))
def _qlinear_matmul(context: Context) -> Function:
    def run(
        a: Tensor, a_scale: Tensor, a_zero: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor, *rest: Tensor
    ) -> Tensor:
        y_scale, y_zero = rest
        left = a.to(torch.float64) - a_zero.to(torch.float64)
        right = b.to(torch.float64) - b_zero.to(torch.float64)
        return _requantize(torch.matmul(left, right) * (a_scale * b_scale / y_scale).to(torch.float64), y_zero)

    return run


def _requantize(level: Tensor, zero: Tensor) -> Tensor:
    low, high = RANGES[str(zero.dtype).removeprefix("torch.")]
    return (torch.round(level) + zero.to(level.dtype)).clamp(low, high).to(zero.dtype)
