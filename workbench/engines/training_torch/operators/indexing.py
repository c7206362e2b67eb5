"""Operators that pick or place elements by index, and those that make tensors from nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.engines.training_torch.operators.registry import (
    Context,
    Function,
    axis_of,
    integers,
    operator,
    torch_type,
    type_name,
)


def tensor_of(array: np.ndarray) -> Tensor:
    """Return a tensor of an array; half precision as float32, narrow integers in 8 bits.

    Raises:
        TypeError: torch has no type that could hold the elements (text, 8-bit floats).
    """
    name = array.dtype.name
    dtype = torch_type(name)
    if dtype is None:
        raise TypeError(name)
    if name in ("float16", "bfloat16"):
        array = array.astype(np.float32)
    elif name in ("int4", "int2"):
        array = array.astype(np.int8)
    elif name in ("uint4", "uint2"):
        array = array.astype(np.uint8)
    elif name in ("uint16", "uint32", "uint64"):
        array = array.astype(np.int32 if name == "uint16" else np.int64)
    return torch.from_numpy(np.array(array, order="C", copy=True))


@operator("Constant")
def _constant(context: Context) -> Function:
    for name, value in context.node.attributes.items():
        if name == "value":
            array = np.asarray(value)
        elif name in ("value_float", "value_floats"):
            array = np.asarray(value, np.float32)
        elif name in ("value_int", "value_ints"):
            array = np.asarray(value, np.int64)
        else:
            raise context.refuse(f"there is no torch type for {name}")
        try:
            tensor = tensor_of(array)
        except TypeError as error:
            raise context.refuse(f"there is no torch type for {error}") from None
        return lambda: tensor
    raise context.refuse("it has no value")


@operator("ConstantOfShape", host=(0,))
def _constant_of_shape(context: Context) -> Function:
    value = context.attribute("value")
    filler = torch.zeros(1) if value is None else tensor_of(np.asarray(value))
    return lambda shape: filler.reshape(()).expand(integers(shape)).clone()


@operator("Range", host=(0, 1, 2))
def _range(context: Context) -> Function:
    def run(start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
        count = max(math.ceil((limit.item() - start.item()) / step.item()), 0)
        return start.reshape(()) + torch.arange(count, dtype=start.dtype) * step.reshape(())

    return run


@operator("EyeLike")
def _eye_like(context: Context) -> Function:
    code, offset = context.attribute("dtype"), context.attribute("k", 0)

    def run(x: Tensor) -> Tensor:
        dtype = x.dtype if code is None else torch_type(type_name(code))
        rows, columns = x.shape
        eye = torch.zeros(rows, columns, dtype=dtype, device=x.device)
        eye.diagonal(offset).fill_(1)
        return eye

    return run


@operator("Gather")
def _gather(context: Context) -> Function:
    axis, given = context.attribute("axis", 0), context.constant(1)
    if given is not None and given.dim() == 0:
        index = int(given)
        return lambda x, indices: x.select(axis, index)
    nonnegative = given is not None and bool((given >= 0).all())

    def run(x: Tensor, indices: Tensor) -> Tensor:
        position = axis_of(axis, x.dim())
        flat = indices.reshape(-1).to(torch.int64)
        if not nonnegative:
            flat = torch.where(flat < 0, flat + x.shape[position], flat)
        picked = x.index_select(position, flat)
        return picked.reshape(*x.shape[:position], *indices.shape, *x.shape[position + 1 :])

    return run


@operator("GatherElements")
def _gather_elements(context: Context) -> Function:
    axis = context.attribute("axis", 0)
    return lambda x, indices: x.gather(axis, _wrapped(indices, x.shape[axis]))


def _wrapped(indices: Tensor, size: int) -> Tensor:
    indices = indices.to(torch.int64)
    return torch.where(indices < 0, indices + size, indices)


@operator("GatherND")
def _gather_nd(context: Context) -> Function:
    batch = context.attribute("batch_dims", 0)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        depth = indices.shape[-1]
        lead = [
            torch.arange(x.shape[axis], device=x.device).reshape(
                [-1 if k == axis else 1 for k in range(indices.dim() - 1)]
            )
            for axis in range(batch)
        ]
        picked = [_wrapped(indices[..., k], x.shape[batch + k]) for k in range(depth)]
        return x[tuple(lead + picked)]

    return run


def _combine(x: Tensor, positions: Tensor, updates: Tensor, axis: int, reduction: str) -> Tensor:
    if reduction == "none":
        return x.scatter(axis, positions, updates)
    word = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[reduction]
    return x.scatter_reduce(axis, positions, updates, word)


@operator("ScatterElements", "Scatter")
def _scatter_elements(context: Context) -> Function:
    axis, reduction = context.attribute("axis", 0), context.attribute("reduction", "none")
    return lambda x, indices, updates: _combine(x, _wrapped(indices, x.shape[axis]), updates, axis, reduction)


@operator("ScatterND")
def _scatter_nd(context: Context) -> Function:
    reduction = context.attribute("reduction", "none")

    def run(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        depth = indices.shape[-1]
        inner = math.prod(x.shape[depth:])
        flat = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
        for k in range(depth):
            flat = flat * x.shape[k] + _wrapped(indices[..., k], x.shape[k])
        rows = (flat.reshape(-1, 1) * inner + torch.arange(inner, device=x.device)).reshape(-1)
        return _combine(x.reshape(-1), rows, updates.reshape(-1), 0, reduction).reshape(x.shape)

    return run


@operator("Compress")
def _compress(context: Context) -> Function:
    axis = context.attribute("axis")

    def run(x: Tensor, condition: Tensor) -> Tensor:
        kept = condition.reshape(-1).nonzero().reshape(-1)
        return x.reshape(-1).index_select(0, kept) if axis is None else x.index_select(axis, kept)

    return run


@operator("NonZero")
def _non_zero(context: Context) -> Function:
    return lambda x: x.nonzero().t().contiguous()


@operator("OneHot", host=(1,), fixed=(2,))
def _one_hot(context: Context) -> Function:
    axis = context.attribute("axis", -1)

    def run(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        count, rank = integers(depth)[0], indices.dim() + 1
        position = axis_of(axis, rank)
        wrapped = _wrapped(indices, count).unsqueeze(position)
        shape = [-1 if k == position else 1 for k in range(rank)]
        hot = wrapped == torch.arange(count, device=indices.device).reshape(shape)
        return torch.where(hot, values[1], values[0])

    return run


@operator("Trilu", host=(1,))
def _trilu(context: Context) -> Function:
    keep = torch.triu if context.attribute("upper", 1) else torch.tril
    return lambda x, k=None: keep(x, 0 if k is None else integers(k)[0])


@operator("ReverseSequence", host=(1,))
def _reverse_sequence(context: Context) -> Function:
    batch_axis, time_axis = context.attribute("batch_axis", 1), context.attribute("time_axis", 0)

    def run(x: Tensor, lengths: Tensor) -> Tensor:
        moved = x.movedim((time_axis, batch_axis), (0, 1))
        return reverse_each(moved, integers(lengths)).movedim((0, 1), (time_axis, batch_axis))

    return run


def reverse_each(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return x (time, batch, …) with the first `lengths[b]` steps of every sequence b in reverse."""
    steps = torch.arange(x.shape[0]).unsqueeze(1)
    ends = torch.tensor(list(lengths)).unsqueeze(0)
    source = torch.where(steps < ends, ends - 1 - steps, steps).to(x.device)
    return x[source, torch.arange(x.shape[1], device=x.device).unsqueeze(0)]
