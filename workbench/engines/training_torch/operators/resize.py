"""Resampling with all of ONNX's coordinate rules; torch's own functions only where they say exactly the same.

Per axis, every output position is a weighted sum of a few source positions ("taps"): index (out, taps) and
weight (out, taps) say which. Nearest is one tap, linear two, cubic four, with anti-aliasing more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, axis_of, integers, operator


@dataclass(frozen=True)
class _Rule:
    """Attributes of a Resize node."""

    mode: str
    coordinates: str
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    extrapolation: float = 0.0
    antialias: bool = False
    policy: str = "stretch"


@operator("Upsample")
def _upsample_attributes(context: Context) -> Function:
    scales = context.attribute("scales")
    rule = _Rule(context.attribute("mode", "nearest"), "asymmetric", "floor")
    return lambda x: _resize(x, rule, list(range(x.dim())), _floors(x, scales), list(scales), None)


@operator("Upsample", "Resize", since=9, host=(1,))
def _upsample_input(context: Context) -> Function:
    rule = _Rule(context.attribute("mode", "nearest"), "asymmetric", "floor")

    def run(x: Tensor, scales: Tensor) -> Tensor:
        factors = _floats(scales)
        return _resize(x, rule, list(range(x.dim())), _floors(x, factors), factors, None)

    return run


@operator("Resize", since=11, host=(1, 2, 3))
def _resize_node(context: Context) -> Function:
    rule = _Rule(
        context.attribute("mode", "nearest"),
        context.attribute("coordinate_transformation_mode", "half_pixel"),
        context.attribute("nearest_mode", "round_prefer_floor"),
        context.attribute("cubic_coeff_a", -0.75),
        bool(context.attribute("exclude_outside", 0)),
        context.attribute("extrapolation_value", 0.0),
        bool(context.attribute("antialias", 0)),
        context.attribute("keep_aspect_ratio_policy", "stretch"),
    )
    given_axes = context.attribute("axes")

    def run(x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None) -> Tensor:
        axes = [axis_of(axis, x.dim()) for axis in given_axes or range(x.dim())]
        if sizes is not None and sizes.numel():
            wanted = list(integers(sizes))
            factors = [size / x.shape[axis] for size, axis in zip(wanted, axes, strict=True)]
            if rule.policy != "stretch":
                factor = min(factors) if rule.policy == "not_larger" else max(factors)
                factors = [factor] * len(axes)
                wanted = [math.floor(factor * x.shape[axis] + 0.5) for axis in axes]
        else:
            factors = [] if scales is None else _floats(scales)
            wanted = [math.floor(x.shape[axis] * factor) for axis, factor in zip(axes, factors, strict=True)]
        region = _floats(roi) if roi is not None and rule.coordinates == "tf_crop_and_resize" else None
        return _resize(x, rule, axes, wanted, factors, region)

    return run


def _floats(tensor: Tensor) -> list[float]:
    return [float(value) for value in tensor.reshape(-1).tolist()]


def _floors(x: Tensor, factors: Sequence[float]) -> list[int]:
    return [math.floor(size * factor) for size, factor in zip(x.shape, factors, strict=True)]


def _resize(
    x: Tensor, rule: _Rule, axes: list[int], sizes: list[int], factors: list[float], region: list[float] | None
) -> Tensor:
    kind = x.dtype
    if not x.is_floating_point():
        x = x.to(torch.float32)
    changed = [k for k, axis in enumerate(axes) if sizes[k] != x.shape[axis] or factors[k] != 1 or region is not None]
    fast = _native(x, rule, [axes[k] for k in changed], [sizes[k] for k in changed], [factors[k] for k in changed])
    if fast is not None:
        x = fast
    else:
        for k in changed:
            bounds = (0.0, 1.0) if region is None else (region[k], region[len(axes) + k])
            x = _along(x, axes[k], *_taps(rule, x.shape[axes[k]], sizes[k], factors[k], bounds), rule)
    if x.dtype == kind:
        return x
    return (x.round() if rule.mode == "cubic" else x.trunc()).to(kind)


def _native(x: Tensor, rule: _Rule, axes: list[int], sizes: list[int], factors: list[float]) -> Tensor | None:
    """Use torch's resampling where it is the same function: both image axes, exact scales, no anti-aliasing."""
    if x.dim() != 4 or axes != [2, 3] or rule.antialias or rule.policy != "stretch":
        return None
    if any(size != x.shape[axis] * factor for size, axis, factor in zip(sizes, axes, factors, strict=True)):
        return None
    if rule.mode == "nearest" and all(factor == int(factor) for factor in factors):
        by_floor = rule.coordinates == "asymmetric" and rule.nearest == "floor"
        if by_floor or (rule.coordinates == "half_pixel" and rule.nearest.startswith("round")):
            return F.interpolate(x, size=sizes, mode="nearest")
    if rule.mode == "linear" and rule.coordinates in ("half_pixel", "align_corners"):
        corners = rule.coordinates == "align_corners"
        return F.interpolate(x, size=sizes, mode="bilinear", align_corners=corners)
    return None


def _sources(rule: _Rule, size: int, out: int, factor: float, bounds: tuple[float, float]) -> np.ndarray:
    """Return the source coordinate (out,) of every output position."""
    # In float32 like the runtime: which source is nearest may hang on the last bit.
    positions, step = np.arange(out, dtype=np.float32), np.float32(factor)
    name = rule.coordinates
    if name == "asymmetric":
        return positions / step
    if name == "align_corners":
        return positions * (size - 1) / (out - 1) if out > 1 else positions * 0
    if name == "pytorch_half_pixel" and out == 1:
        return positions * 0
    if name == "tf_half_pixel_for_nn":
        return (positions + 0.5) / step
    if name == "half_pixel_symmetric":
        adjustment = np.float32(out) / (step * np.float32(size))
        return np.float32(size / 2) * (1 - adjustment) + (positions + 0.5) / step - 0.5
    if name == "tf_crop_and_resize":
        start, end = bounds
        if out > 1:
            return start * (size - 1) + positions * (end - start) * (size - 1) / (out - 1)
        return np.full(1, 0.5 * (start + end) * (size - 1))
    return (positions + 0.5) / step - 0.5


def _taps(
    rule: _Rule, size: int, out: int, factor: float, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return source indices (out, taps), weights (out, taps) and which outputs lie outside the source (out,)."""
    source = _sources(rule, size, out, factor, bounds)
    outside = (source < 0) | (source > size - 1) if rule.coordinates == "tf_crop_and_resize" else np.zeros(out, bool)
    if rule.mode == "nearest":
        rounding: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "floor": np.floor,
            "ceil": np.ceil,
            "round_prefer_floor": lambda value: np.ceil(value - 0.5),
            "round_prefer_ceil": lambda value: np.floor(value + 0.5),
        }
        return (
            np.clip(rounding[rule.nearest](source), 0, size - 1).astype(np.int64)[:, None],
            np.ones((out, 1)),
            outside,
        )
    shrink = min(factor, 1.0) if rule.antialias else 1.0
    reach = (1.0 if rule.mode == "linear" else 2.0) / shrink
    first = np.floor(source - reach).astype(np.int64) + 1
    index = first[:, None] + np.arange(max(math.ceil(2 * reach), 2))
    distance = np.abs(source[:, None] - index) * shrink
    weight = np.maximum(1 - distance, 0) if rule.mode == "linear" else _cubic(distance, rule.cubic)
    if rule.exclude_outside:
        weight = np.where((index < 0) | (index >= size), 0, weight)
    if rule.exclude_outside or rule.antialias:
        weight = weight / weight.sum(1, keepdims=True)
    return np.clip(index, 0, size - 1), weight, outside


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Cubic convolution kernel (Keys, 1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _along(x: Tensor, axis: int, index: np.ndarray, weight: np.ndarray, outside: np.ndarray, rule: _Rule) -> Tensor:
    shape = [-1 if k == axis else 1 for k in range(x.dim())]
    result: Tensor | None = None
    for tap in range(index.shape[1]):
        picked = x.index_select(axis, torch.from_numpy(index[:, tap]).to(x.device))
        if index.shape[1] > 1:
            picked = picked * torch.from_numpy(weight[:, tap]).to(x).reshape(shape)
        result = picked if result is None else result + picked
    assert result is not None
    if outside.any():
        mask = torch.from_numpy(outside).to(x.device).reshape(shape)
        result = torch.where(mask, torch.full_like(result, rule.extrapolation), result)
    return result


@operator("GridSample", since=16)
def _grid_sample(context: Context) -> Function:
    mode = {"bilinear": "bilinear", "linear": "bilinear", "bicubic": "bicubic", "cubic": "bicubic"}.get(
        context.attribute("mode", "bilinear"), "nearest"
    )
    padding, corners = context.attribute("padding_mode", "zeros"), bool(context.attribute("align_corners", 0))
    return lambda x, grid: F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=corners)
