"""Normalization: batch statistics that can be trained, frozen or collected, and the kinds without state.

Notation: x (N, C, d1 …); mean, variance, scale, shift (C,).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, axis_of, operator


@operator("BatchNormalization", fixed=(3, 4))
def _batch_norm(context: Context) -> Function:
    """Normalize by the stored statistics or, in training, by the batch's (Ioffe and Szegedy, 2015)."""
    if context.attribute("training_mode", 0):
        raise context.refuse("the file was exported in training mode")
    mode, epsilon = context.mode, context.attribute("epsilon", 1e-5)
    momentum = 1.0 - context.attribute("momentum", 0.9)
    key = context.name(3)
    trainable = key in context.statistics and context.name(4) in context.statistics

    def run(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if mode.batch_norm == "fixed" or not trainable:
            return F.batch_norm(x, mean, variance, scale, shift, False, momentum, epsilon)
        if mode.batch_norm == "train":
            return F.batch_norm(x, mean, variance, scale, shift, True, momentum, epsilon)
        _collect(mode.moments, key, x)
        return F.batch_norm(x, None, None, scale, shift, True, momentum, epsilon)

    return run


def _collect(moments: dict[str, tuple[float, Tensor, Tensor]], key: str, x: Tensor) -> None:
    """Add the batch's mean and second moment per channel, weighted by samples, in float64."""
    axes = [0, *range(2, x.dim())]
    wide = x.detach().to(torch.float64)
    samples = float(x.shape[0])
    mean, second = wide.mean(axes) * samples, wide.square().mean(axes) * samples
    if key in moments:
        count, first_sum, second_sum = moments[key]
        moments[key] = (count + samples, first_sum + mean, second_sum + second)
    else:
        moments[key] = (samples, mean, second)


@operator("InstanceNormalization")
def _instance_norm(context: Context) -> Function:
    epsilon = context.attribute("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        # By hand: torch refuses a spatial size of one.
        axes = tuple(range(2, x.dim()))
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        shape = (1, -1, *[1] * len(axes))
        return (x - mean) * torch.rsqrt(variance + epsilon) * scale.reshape(shape) + shift.reshape(shape)

    return run


@operator("LayerNormalization")
def _layer_norm(context: Context) -> Function:
    """Normalize over the trailing axes (Ba et al., 2016)."""
    epsilon, axis = context.attribute("epsilon", 1e-5), context.attribute("axis", -1)
    wants_statistics = any(context.node.outputs[1:])

    def run(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        first = axis_of(axis, x.dim())
        shape = x.shape[first:]
        full = scale is None or scale.shape == shape
        if full and (shift is None or shift.shape == shape) and not wants_statistics:
            return F.layer_norm(x, shape, scale, shift, epsilon)
        axes = tuple(range(first, x.dim()))
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        inverse = torch.rsqrt(variance + epsilon)
        result = (x - mean) * inverse
        result = result if scale is None else result * scale
        result = result if shift is None else result + shift
        return (result, mean, inverse) if wants_statistics else result

    return run


@operator("RMSNormalization")
def _rms_norm(context: Context) -> Function:
    """Divide by the root mean square of the trailing axes (Zhang and Sennrich, 2019)."""
    epsilon, axis = context.attribute("epsilon", 1e-5), context.attribute("axis", -1)

    def run(x: Tensor, scale: Tensor) -> Tensor:
        axes = tuple(range(axis_of(axis, x.dim()), x.dim()))
        return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon) * scale

    return run


@operator("GroupNormalization")
def _group_norm(context: Context) -> Function:
    """Normalize over groups of channels (Wu and He, 2018); before opset 21 scale and shift are per group."""
    epsilon, groups = context.attribute("epsilon", 1e-5), context.attribute("num_groups")
    per_group = context.opset < 21

    def run(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        if per_group:
            members = x.shape[1] // groups
            scale, shift = scale.repeat_interleave(members), shift.repeat_interleave(members)
        return F.group_norm(x, groups, scale, shift, epsilon)

    return run


@operator("LRN")
def _local_response(context: Context) -> Function:
    """Divide by the energy of neighbouring channels (Krizhevsky et al., 2012)."""
    size, alpha = context.attribute("size"), context.attribute("alpha", 1e-4)
    beta, bias = context.attribute("beta", 0.75), context.attribute("bias", 1.0)
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2

    def run(x: Tensor) -> Tensor:
        squares = F.pad(x.square(), [0, 0] * (x.dim() - 2) + [before, after])
        total = torch.stack([squares.narrow(1, offset, x.shape[1]) for offset in range(size)]).sum(0)
        divisor: Tensor = (bias + alpha / size * total) ** beta
        return x / divisor

    return run


@operator("LpNormalization")
def _lp_norm(context: Context) -> Function:
    axis, power = context.attribute("axis", -1), context.attribute("p", 2)

    def run(x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, power, dim=axis, keepdim=True)
        return torch.where(norm == 0, torch.zeros_like(x), x / norm)

    return run


@operator("MeanVarianceNormalization")
def _mean_variance(context: Context) -> Function:
    axes = tuple(context.attribute("axes", (0, 2, 3)))

    def run(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / (variance.sqrt() + 1e-9)

    return run


def _flattened(function: Function, context: Context) -> Function:
    """Before opset 13 the axes from `axis` on count as one."""
    axis = context.attribute("axis", -1 if context.opset >= 13 else 1)
    if context.opset >= 13:
        return lambda x: function(x, axis)

    def run(x: Tensor) -> Tensor:
        first = axis_of(axis, x.dim())
        if first == x.dim() - 1:
            return function(x, -1)  # type: ignore[no-any-return]
        return function(x.flatten(first), -1).reshape(x.shape)  # type: ignore[no-any-return]

    return run


@operator("Softmax")
def _softmax(context: Context) -> Function:
    return _flattened(lambda x, axis: torch.softmax(x, axis), context)


@operator("LogSoftmax")
def _log_softmax(context: Context) -> Function:
    return _flattened(lambda x, axis: torch.log_softmax(x, axis), context)


@operator("Hardmax")
def _hardmax(context: Context) -> Function:
    def largest(x: Tensor, axis: int) -> Tensor:
        return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)

    return _flattened(largest, context)
