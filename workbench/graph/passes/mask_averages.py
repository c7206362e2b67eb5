"""Lets operators that average over channels pass over the masked ones, though they still see all of them.

Notation: N positions are averaged, n of them stay. A plain mean gets zeros in place of what is removed and is then
too small by n / N. A normalisation gets what moves nothing (zeros, or the mean of what stays, for one that takes the
mean away): its variance is then too small by n / N, which its ε, times n / N, and its scale, times √(n / N), undo.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import onnx_ir as ir

from workbench.graph.channels.flow import Averaging
from workbench.graph.passes.masks import Masks, mask_of

_EPSILON = {"SkipLayerNormalization": 1e-12, "SkipSimplifiedLayerNormalization": 1e-12}


def mask_average(masks: Masks, node: ir.Node, averaging: Averaging) -> None:
    """Rewrite one averaging node of a copy of the graph (see `Averaging`)."""
    stays = masks.keep(node, 0)
    share = 1.0
    for axis in averaging.axes:
        kept = stays[axis]
        share *= 1.0 if kept is None else float(kept.mean())
    if share == 1.0:
        return
    if node.op_type.startswith("Skip"):
        _sum_first(masks, node)
    value = node.inputs[0]
    if value is None:
        return
    fill = _filled_by_group if averaging.groups else _filled
    filled = fill(masks, node, value, stays, averaging)
    node.replace_input_with(0, filled)
    if averaging.how == "mean":
        node.replace_input_with(0, masks.scaled(node, filled, 1 / share))
        return
    if node.op_type == "MeanVarianceNormalization":
        masks.scale_behind(node, sqrt(share))
        return
    epsilon = node.attributes.get_float("epsilon", _EPSILON.get(node.op_type, 1e-5))
    node.attributes["epsilon"] = ir.AttrFloat32("epsilon", float(epsilon or 0) * share)
    scale = node.inputs[1]
    assert scale is not None
    node.replace_input_with(1, masks.scaled(node, scale, sqrt(share)))


def _filled(
    masks: Masks, node: ir.Node, value: ir.Value, stays: tuple[np.ndarray | None, ...], averaging: Averaging
) -> ir.Value:
    """Return the input with zeros, or with the mean of what stays, where something is removed."""
    inside = [keep if axis in averaging.axes else None for axis, keep in enumerate(stays)]
    mask = mask_of(inside)
    if mask is None:
        return value
    kind = masks.dtype(value.name).numpy()
    zeroed = masks.where(mask, value, masks.constant("fill", np.zeros((), dtype=kind)), node)
    if averaging.how != "centred":
        return zeroed
    share = float(np.mean(mask))
    return masks.where(mask, value, masks.scaled(node, masks.mean(node, zeroed, averaging.axes), 1 / share), node)


def _filled_by_group(
    masks: Masks, node: ir.Node, value: ir.Value, stays: tuple[np.ndarray | None, ...], averaging: Averaging
) -> ir.Value:
    """The same for channels (batch, channels, …) that are normalised group by group."""
    channels = stays[1]
    width = 1 if channels is None else len(channels) // averaging.groups
    target = np.asarray([0, averaging.groups, width, -1], dtype=np.int64)
    apart = masks.insert(node, "Reshape", [value, masks.constant("shape", target)])
    by_group = None if channels is None else channels.reshape(averaging.groups, width)
    one_group = None if by_group is None else by_group[0]
    filled = _filled(masks, node, apart, (None, None, one_group, None), Averaging((2, 3), averaging.how))
    return masks.insert(node, "Reshape", [filled, masks.insert(node, "Shape", [value])])


def _sum_first(masks: Masks, node: ir.Node) -> None:
    """Turn SkipLayerNormalization into the sum and the LayerNormalization that it stands for."""
    simple = node.op_type.startswith("SkipSimplified")
    places = (0, 1, 3) if simple else (0, 1, 4)
    given = [node.inputs[at] for at in places if at < len(node.inputs)]
    values = [value for value in given if value is not None]
    vectors = [node.inputs[at] for at in ((2,) if simple else (2, 3)) if at < len(node.inputs)]
    total = values[0]
    for value in values[1:]:
        total = masks.insert(node, "Add", [total, value])
    if len(node.outputs) > 3:
        node.outputs[3].replace_all_uses_with(total)
        node.resize_outputs(1)
    epsilon = node.attributes.get_float("epsilon", 1e-12)
    node.attributes["epsilon"] = ir.AttrFloat32("epsilon", float(epsilon or 0))
    node.op_type, node.domain = ("SimplifiedLayerNormalization" if simple else "LayerNormalization"), ""
    node.resize_inputs(1 + len(vectors))
    node.replace_input_with(0, total)
    for at, vector in enumerate(vectors, 1):
        node.replace_input_with(at, vector)
    node.attributes["axis"] = ir.AttrInt64("axis", -1)
