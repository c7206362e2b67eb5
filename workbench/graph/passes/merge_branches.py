"""Turns parallel branches of one input that are added up into a single convolution (RepVGG; Ding et al., 2021).

A smaller kernel is a larger one with zeros around it, the identity is a 1×1 kernel, a batch norm a scaled one; kernels
of the same stride, dilation and groups add up. Worked out in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from workbench.graph.affine import batch_norm_affine, constant_array, put_weight, take_place
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import remove_unused


@dataclass(frozen=True, eq=False)
class _Branch:
    """One summand as a convolution of the common input.

    Attributes:
        weight, bias: (out, in / groups, k …) and (out,), in double precision.
        strides, dilations, before, after: Per spatial axis; `before` and `after` are the padding.
        groups: Of the convolution.
        node: The convolution, or None for an identity or a batch norm.
    """

    weight: np.ndarray
    bias: np.ndarray
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int
    node: ir.Node | None


def merge_branches(graph: ModelGraph) -> ModelGraph:
    """Return the graph with sums of convolutions, batch norms and the identity of one value as single convolutions.

    The largest convolution stays, under its name, and writes the value that the sum wrote. Sums stay where a branch is
    read elsewhere, where geometry differs, or where no branch's kernel covers all others (the sum would cost more).
    """
    model = graph.edit()
    for node in list(model.graph):
        if node.domain == "" and node.op_type in ("Add", "Sum") and node.graph is not None:
            _merge(model, node)
    remove_unused(model)
    return graph.edited(model)


def _merge(model: ir.Model, total: ir.Node) -> None:
    leaves = _leaves(total)
    sources = [_source(value) for value in leaves]
    common = next((source for source in sources if source is not None), None)
    if common is None:
        return
    convolutions = [branch for value in leaves if (branch := _convolution(value, common)) is not None]
    if not convolutions:
        return
    target = max(convolutions, key=lambda branch: branch.weight.size)
    merged, bias = np.zeros_like(target.weight), np.zeros_like(target.bias)
    for value in leaves:
        branch = _convolution(value, common) or _diagonal(value, common, target)
        widened = None if branch is None else _widened(branch, target)
        if branch is None or widened is None:
            return
        merged += widened
        bias += branch.bias
    node = target.node
    assert node is not None
    stored = constant_array(node.inputs[1])
    assert stored is not None
    put_weight(model, node, 1, merged.astype(stored.dtype), f"{node.name}.weight")
    put_weight(model, node, 2, bias.astype(stored.dtype), f"{node.name}.bias")
    take_place(node.outputs[0], total.outputs[0])
    model.graph.remove(total, safe=True)
    remove_unused(model)


def _leaves(total: ir.Node) -> list[ir.Value]:
    """Return the summands, through sums that nothing else reads."""
    found: list[ir.Value] = []
    for value in total.inputs:
        before = None if value is None else value.producer()
        if (
            value is not None
            and before is not None
            and before.domain == ""
            and before.op_type in ("Add", "Sum")
            and _alone(value)
        ):
            found.extend(_leaves(before))
        elif value is not None:
            found.append(value)
    return found


def _alone(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _source(value: ir.Value) -> ir.Value | None:
    """Return what the convolution that computes a summand reads."""
    node = value.producer()
    return node.inputs[0] if node is not None and node.op_type == "Conv" and node.domain == "" else None


def _convolution(value: ir.Value, source: ir.Value) -> _Branch | None:
    node = value.producer()
    if node is None or _source(value) is not source or not _alone(value):
        return None
    weight = constant_array(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant_array(given)
    if weight is None or weight.dtype.kind != "f" or (given is not None and bias is None):
        return None
    rank = weight.ndim - 2
    strides, dilations = (tuple(node.attributes.get_ints(key, ()) or [1] * rank) for key in ("strides", "dilations"))
    pads = _padding(node, weight.shape[2:], strides, dilations)
    if pads is None:
        return None
    groups = node.attributes.get_int("group", 1) or 1
    wide = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    return _Branch(weight.astype(np.float64), wide, strides, dilations, *pads, groups, node)


def _padding(
    node: ir.Node, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the padding before and after along every axis; None where it depends on the input's size."""
    automatic = node.attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
    rank = len(kernel)
    if automatic in ("NOTSET", "VALID"):
        pads = node.attributes.get_ints("pads", ()) if automatic == "NOTSET" else None
        flat = list(pads or [0] * 2 * rank)
        return tuple(flat[:rank]), tuple(flat[rank:])
    if any(stride != 1 for stride in strides):
        return None
    whole = [dilation * (size - 1) for size, dilation in zip(kernel, dilations, strict=True)]
    less, more = tuple(size // 2 for size in whole), tuple(size - size // 2 for size in whole)
    return (less, more) if automatic == "SAME_UPPER" else (more, less)


def _diagonal(value: ir.Value, source: ir.Value, target: _Branch) -> _Branch | None:
    """Return the input itself, or a batch norm of it, as a 1×1 convolution."""
    channels = target.weight.shape[1] * target.groups
    if channels != len(target.weight) or any(stride != 1 for stride in target.strides):
        return None
    factor, offset = np.ones(channels), np.zeros(channels)
    if value is not source:
        node = value.producer()
        if node is None or node.op_type != "BatchNormalization" or node.domain or node.inputs[0] is not source:
            return None
        affine = batch_norm_affine(node)
        if affine is None or not _alone(value) or affine[0].size != channels:
            return None
        factor, offset = affine
    rank = target.weight.ndim - 2
    weight = np.zeros((channels, target.weight.shape[1], *[1] * rank))
    rows = np.arange(channels)
    weight[rows, rows % target.weight.shape[1]] = factor.reshape(-1, *[1] * rank)
    ones, none = (1,) * rank, (0,) * rank
    return _Branch(weight, offset, ones, ones, none, none, target.groups, None)


def _widened(branch: _Branch, target: _Branch) -> np.ndarray | None:
    """Return the branch's kernel within the target's, zeros around it; None where it does not fit."""
    if branch.groups != target.groups or branch.weight.shape[:2] != target.weight.shape[:2]:
        return None
    if branch.strides != target.strides:
        return None
    places: list[slice] = [slice(None), slice(None)]
    for axis, size in enumerate(branch.weight.shape[2:]):
        whole, step = target.weight.shape[axis + 2], target.dilations[axis]
        if size > 1 and branch.dilations[axis] != step:
            return None
        before, odd = divmod(target.before[axis] - branch.before[axis], step)
        after, left = divmod(target.after[axis] - branch.after[axis], step)
        if odd or left or before < 0 or after < 0 or before + size + after != whole:
            return None
        places.append(slice(before, before + size))
    widened = np.zeros_like(target.weight)
    widened[tuple(places)] = branch.weight
    return widened
