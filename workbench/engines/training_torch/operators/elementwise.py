"""Operators that work element by element: arithmetic, comparison, logic, activations, casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from workbench.engines.training_torch.operators.registry import (
    Context,
    Function,
    operator,
    rounded,
    simple,
    torch_type,
    type_name,
)

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs, "Neg": torch.neg, "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal, "Floor": torch.floor, "Ceil": torch.ceil, "Round": torch.round,
    "Sign": torch.sign, "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Asin": torch.asin,
    "Acos": torch.acos, "Atan": torch.atan, "Sinh": torch.sinh, "Cosh": torch.cosh, "Asinh": torch.asinh,
    "Acosh": torch.acosh, "Atanh": torch.atanh, "Erf": torch.erf, "Not": torch.logical_not, "IsNaN": torch.isnan,
    "BitwiseNot": torch.bitwise_not, "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh,
    "Softplus": F.softplus, "Softsign": F.softsign, "HardSwish": F.hardswish, "Mish": F.mish,
}  # fmt: skip
for _name, _function in _UNARY.items():
    simple(_name, _function)
simple("Identity", lambda x: x)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    """Divide as ONNX does: integers are truncated."""
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": _divide, "Pow": _power,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor, "Equal": torch.eq,
    "Greater": torch.gt, "Less": torch.lt, "GreaterOrEqual": torch.ge, "LessOrEqual": torch.le,
    "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
}  # fmt: skip
for _name, _function2 in _BINARY.items():
    simple(_name, _function2, scalars_fixed=True)
simple("PRelu", lambda x, slope: torch.where(x >= 0, x, x * slope))


@operator("Where", fixed=(0,), scalars_fixed=True)
def _where(context: Context) -> Function:
    return lambda condition, a, b: torch.where(condition.bool(), a, b)


@operator("Mod", scalars_fixed=True)
def _mod(context: Context) -> Function:
    return torch.fmod if context.attribute("fmod", 0) else torch.remainder


@operator("BitShift")
def _bit_shift(context: Context) -> Function:
    shift = torch.bitwise_left_shift if context.attribute("direction") == "LEFT" else torch.bitwise_right_shift
    return lambda a, b: shift(a, b).to(a.dtype)


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    def run(first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return run


simple("Max", _fold(torch.maximum), scalars_fixed=True)
simple("Min", _fold(torch.minimum), scalars_fixed=True)
simple("Sum", _fold(torch.add), scalars_fixed=True)


@operator("Mean", scalars_fixed=True)
def _mean(context: Context) -> Function:
    add, count = _fold(torch.add), len(context.node.inputs)
    return lambda *values: add(*values) / count


@operator("IsInf")
def _is_inf(context: Context) -> Function:
    negative, positive = context.attribute("detect_negative", 1), context.attribute("detect_positive", 1)

    def run(x: Tensor) -> Tensor:
        found = torch.zeros_like(x, dtype=torch.bool)
        if negative:
            found = found | torch.isneginf(x)
        return found | torch.isposinf(x) if positive else found

    return run


@operator("Elu")
def _elu(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.0)
    return lambda x: F.elu(x, alpha)


@operator("Celu")
def _celu(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.0)
    return lambda x: F.celu(x, alpha)


@operator("Selu")
def _selu(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.67326319217681884765625)
    gamma = context.attribute("gamma", 1.05070102214813232421875)
    return lambda x: gamma * F.elu(x, alpha)


@operator("LeakyRelu")
def _leaky_relu(context: Context) -> Function:
    alpha = context.attribute("alpha", 0.01)
    return lambda x: F.leaky_relu(x, alpha)


@operator("ThresholdedRelu")
def _thresholded_relu(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.0)
    return lambda x: F.threshold(x, alpha, 0.0)


@operator("HardSigmoid")
def _hard_sigmoid(context: Context) -> Function:
    alpha, beta = context.attribute("alpha", 0.2), context.attribute("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


@operator("Shrink")
def _shrink(context: Context) -> Function:
    bias, limit = context.attribute("bias", 0.0), context.attribute("lambd", 0.5)

    def run(x: Tensor) -> Tensor:
        zero = torch.zeros_like(x)
        return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, zero)).to(x.dtype)

    return run


@operator("Gelu")
def _gelu(context: Context) -> Function:
    approximate = context.attribute("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximate)


@operator("Swish")
def _swish(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.0)
    return lambda x: x * torch.sigmoid(alpha * x)


@operator("Clip")
def _clip_attributes(context: Context) -> Function:
    low, high = context.attribute("min"), context.attribute("max")
    if low is None and high is None:
        return lambda x: x
    return lambda x: torch.clamp(x, low, high)


@operator("Clip", since=11, fixed=(1, 2))
def _clip_inputs(context: Context) -> Function:
    bounds = [context.constant(1), context.constant(2)]
    if all(bound is not None or not context.has(index + 1) for index, bound in enumerate(bounds)):
        low, high = (None if bound is None else bound.item() for bound in bounds)
        if low is None and high is None:
            return lambda x, *bounds: x
        if low == 0 and high == 6:
            return lambda x, *bounds: F.relu6(x) if x.is_floating_point() else torch.clamp(x, 0, 6)
        return lambda x, *bounds: torch.clamp(x, low, high)

    def run(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        x = x if low is None else torch.maximum(x, low.reshape(()))
        return x if high is None else torch.minimum(x, high.reshape(()))

    return run


@operator("Dropout", fixed=(1, 2), pure=False)
def _dropout(context: Context) -> Function:
    mode, ratio = context.mode, float(context.attribute("ratio", 0.5))
    if context.opset >= 12:
        given = context.constant(1)
        ratio = 0.5 if given is None else float(given)
    with_mask = len(context.node.outputs) > 1 and bool(context.node.outputs[1])

    def run(x: Tensor, *settings: Any) -> Any:
        kept = F.dropout(x, ratio, training=True) if mode.dropout and 0 < ratio < 1 else x
        return (kept, torch.ones_like(x, dtype=torch.bool)) if with_mask else kept

    return run


_NARROW = {"int4": (4, True), "uint4": (4, False), "int2": (2, True), "uint2": (2, False)}


def cast(x: Tensor, target: str) -> Tensor:
    """Cast to an element type; half precision keeps its rounding but is held in float32.

    A float that reaches an integer type is truncated by way of int64, so that it wraps as the runtimes do.
    """
    dtype = torch_type(target)
    if target in ("float16", "bfloat16"):
        return rounded(x.to(torch.float32), target)
    if target in _NARROW:
        bits, signed = _NARROW[target]
        offset = 1 << (bits - 1) if signed else 0
        return (((x.to(torch.int64) + offset) & ((1 << bits) - 1)) - offset).to(dtype)
    if x.is_floating_point() and dtype in (torch.uint8, torch.int8, torch.int16):
        return x.to(torch.int64).to(dtype)
    return x.to(dtype)


@operator("Cast")
def _cast(context: Context) -> Function:
    target = type_name(context.attribute("to"))
    if torch_type(target) is None or target is None:
        raise context.refuse(f"there is no torch type for element type {target or context.attribute('to')}")
    return lambda x: cast(x, target)


@operator("CastLike", since=15)
def _cast_like(context: Context) -> Function:
    target = context.type_of(1)
    if target is not None and torch_type(target) is not None:
        return lambda x, like=None: cast(x, target)
    return lambda x, like: x.to(like.dtype)
