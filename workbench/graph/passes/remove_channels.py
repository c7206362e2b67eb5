"""Takes whole channels out of a graph: weights, scales, split sizes, pads and reshape targets shrink with them.

Which channels go together is known from `workbench.graph.channels`; what removal means is stated by `mask_channels`,
with which this pass must agree for every choice of channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from workbench.graph.channels.analysis import Analysis, Unit, analyse
from workbench.graph.channels.cut import Cut
from workbench.graph.channels.registry import Change, shrink_rule
from workbench.graph.check import check
from workbench.graph.kept import KEPT_KEY, noted
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import infer_shapes
from workbench.graph.surgery import add_initializer, free_name, names_in_use, remove_unused, set_initializer


def remove_channels(graph: ModelGraph, removal: Mapping[str, Sequence[int]], unit: Unit = "head") -> ModelGraph:
    """Return the graph without the named channels; constants are folded on the way, layer names stay.

    Args:
        graph: The graph; it stays as it is.
        removal: For channel groups by id the units to remove (see ChannelGroup).
        unit: As for the call of `channel_groups` that named them.

    Raises:
        RecipeError: an unknown group or unit, one that must stay, or a removal that leaves a layer without channels.
        ModelFileError: the result is not a valid graph (a fault of an operator's rule).
    """
    analysis = analyse(graph, unit)
    cut = analysis.cut(removal)
    model = analysis.graph.edit()
    changes = _changes(analysis, cut)
    taken = names_in_use(model)
    _slice_constants(
        model, analysis, cut, {(name, index) for name, change in changes.items() for index in change.inputs}, taken
    )
    nodes = {node.name: node for node in model.graph}
    for name, change in changes.items():
        _apply(model, nodes[name], change, taken)
    _note_what_is_kept(analysis, cut, nodes)
    remove_unused(model)
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
    smaller = infer_shapes(analysis.graph.edited(model))
    check(smaller)
    return smaller


def _changes(analysis: Analysis, cut: Cut) -> dict[str, Change]:
    changes: dict[str, Change] = {}
    for node in analysis.graph.nodes:
        rule = shrink_rule(node)
        change = None if rule is None else rule(node, cut)
        if change is not None:
            changes[node.name] = change
    return changes


def _note_what_is_kept(analysis: Analysis, cut: Cut, nodes: Mapping[str | None, ir.Node]) -> None:
    for node in analysis.graph.nodes:
        shrunk = [(axis, stays) for axis, stays in enumerate(cut.output(node)) if stays is not None]
        if not shrunk:
            continue
        metadata = nodes[node.name].metadata_props
        note = noted(metadata, *shrunk[0]) if len(shrunk) == 1 else ""
        # A note that can't be told in one axis stays, empty, so that a later removal doesn't start a wrong one.
        metadata[KEPT_KEY] = note or ""


def _slice_constants(
    model: ir.Model, analysis: Analysis, cut: Cut, replaced: set[tuple[str, int]], taken: set[str]
) -> None:
    """Slice every constant for each of its readers; readers that lose different positions get a copy of their own."""
    nodes = {node.name: node for node in model.graph}
    readers: dict[str, dict[bytes, list[tuple[str, int]]]] = {}
    kept: dict[bytes, tuple[np.ndarray | None, ...]] = {}
    for (node, index), (name, axes) in analysis.uses.items():
        if (node, index) in replaced:
            continue
        stays = tuple(cut.stays(labels) for labels in axes)
        key = b"|".join(b"" if axis is None else np.packbits(axis).tobytes() for axis in stays)
        readers.setdefault(name, {}).setdefault(key, []).append((node, index))
        kept[name.encode() + b":" + key] = stays
    for name, variants in readers.items():
        value = model.graph.initializers.get(name)
        array = analysis.graph.constant(name)
        if value is None or array is None:
            continue
        followed = sum(len(users) for users in variants.values())
        alone = len(variants) == 1 and len(value.uses()) == followed and not value.is_graph_output()
        for key, users in variants.items():
            stays = kept[name.encode() + b":" + key]
            if all(axis is None for axis in stays):
                continue
            smaller = array
            for axis, keep in enumerate(stays):
                if keep is not None:
                    smaller = np.compress(keep, smaller, axis=axis)
            if alone:
                set_initializer(value, smaller)
                continue
            copy = add_initializer(model, free_name(model, f"{name}_{users[0][0]}", taken), smaller)
            for node, index in users:
                nodes[node].replace_input_with(index, copy)


def _apply(model: ir.Model, node: ir.Node, change: Change, taken: set[str]) -> None:
    for index, array in change.inputs.items():
        copy = add_initializer(model, free_name(model, f"{node.name}_input{index}", taken), array)
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, copy)
    for index, elements in change.elements.items():
        _override(model, node, index, elements, taken)
    for key, value in change.attributes.items():
        if value is None:
            node.attributes.pop(key, None)
        elif isinstance(value, int):
            node.attributes[key] = ir.AttrInt64(key, value)
        else:
            node.attributes[key] = ir.AttrInt64s(key, list(value))


def _override(model: ir.Model, node: ir.Node, index: int, elements: Sequence[int | None], taken: set[str]) -> None:
    """Give some elements of a computed input (size,) constant values."""
    value = node.inputs[index]
    if value is None:
        return
    name = free_name(model, f"{node.name}_input{index}", taken)
    mask = np.asarray([size is not None for size in elements])
    sizes = np.asarray([0 if size is None else size for size in elements], dtype=np.int64)
    which = add_initializer(model, free_name(model, f"{name}_which", taken), mask)
    where = ir.node(
        "Where", [which, add_initializer(model, free_name(model, f"{name}_sizes", taken), sizes), value], name=name
    )
    where.outputs[0].name = name
    model.graph.insert_before(node, where)
    node.replace_input_with(index, where.outputs[0])
