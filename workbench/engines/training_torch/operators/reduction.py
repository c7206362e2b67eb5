"""Reductions over axes, whether the axes come as attribute (older operator sets) or as input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, axis_of, integers, operator

_REDUCE: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep, dtype=x.dtype),
    "ReduceMean": lambda x, axes, keep: (
        x.mean(axes, keepdim=keep) if x.is_floating_point() else _int_mean(x, axes, keep)
    ),
    "ReduceMax": lambda x, axes, keep: _extreme(x, axes, keep, torch.amax),
    "ReduceMin": lambda x, axes, keep: _extreme(x, axes, keep, torch.amin),
    "ReduceProd": lambda x, axes, keep: _product(x, axes, keep),
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep, dtype=x.dtype),
    "ReduceL2": lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt().to(x.dtype),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keepdim=keep).log().to(x.dtype),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keepdim=keep, dtype=x.dtype),
}


def _int_mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return x.to(torch.float64).mean(axes, keepdim=keep).to(x.dtype)


def _extreme(x: Tensor, axes: tuple[int, ...], keep: bool, function: Callable[..., Tensor]) -> Tensor:
    return (
        function(x.to(torch.uint8), axes, keepdim=keep).to(x.dtype)
        if x.dtype == torch.bool
        else function(x, axes, keepdim=keep)
    )


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((axis_of(axis, x.dim()) for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def _factory(name: str, axes_input_since: int) -> Callable[[Context], Function]:
    reduce = _REDUCE[name]

    def make(context: Context) -> Function:
        keep = bool(context.attribute("keepdims", 1))
        noop = bool(context.attribute("noop_with_empty_axes", 0)) and context.opset >= axes_input_since
        given = context.attribute("axes") if context.opset < axes_input_since else context.ints(1)
        dynamic = context.opset >= axes_input_since and context.has(1) and given is None

        def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
            chosen = integers(axes) if dynamic and axes is not None else given
            if not chosen:
                if noop:
                    return x
                chosen = tuple(range(x.dim()))
            return reduce(x, tuple(chosen), keep) if x.dim() else reduce(x.reshape(1), (0,), False)

        return run

    return make


for _name in _REDUCE:
    _since = 13 if _name == "ReduceSum" else 18
    operator(_name, host=(1,))(_factory(_name, _since))


def _arg(function: Callable[..., Tensor]) -> Callable[[Context], Function]:
    def make(context: Context) -> Function:
        axis, keep = context.attribute("axis", 0), bool(context.attribute("keepdims", 1))
        last = bool(context.attribute("select_last_index", 0))

        def run(x: Tensor) -> Tensor:
            if not last:
                return function(x, axis, keepdim=keep)
            found: Tensor = x.shape[axis] - 1 - function(x.flip(axis), axis, keepdim=keep)
            return found

        return run

    return make


operator("ArgMax")(_arg(torch.argmax))
operator("ArgMin")(_arg(torch.argmin))


@operator("CumSum", host=(1,))
def _cumulative_sum(context: Context) -> Function:
    exclusive, reverse = context.attribute("exclusive", 0), context.attribute("reverse", 0)

    def run(x: Tensor, axis_value: Tensor) -> Tensor:
        axis = integers(axis_value)[0]
        x = x.flip(axis) if reverse else x
        total = x.cumsum(axis, dtype=x.dtype)
        total = total - x if exclusive else total
        return total.flip(axis) if reverse else total

    return run


@operator("TopK", host=(1,))
def _top_k(context: Context) -> Function:
    axis, largest = context.attribute("axis", -1), bool(context.attribute("largest", 1))
    ordered, count = bool(context.attribute("sorted", 1)), context.attribute("k")

    def run(x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
        wanted = count if k is None else integers(k)[0]
        if ordered:
            # A stable sort, since the standard gives equal values in order of their index.
            values, indices = torch.sort(x, dim=axis, descending=largest, stable=True)
            return values.narrow(axis, 0, wanted), indices.narrow(axis, 0, wanted)
        values, indices = torch.topk(x, wanted, dim=axis, largest=largest)
        return values, indices

    return run
