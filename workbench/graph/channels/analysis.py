"""Walks the graph once, unites what must go together and forms channel groups of it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from workbench.domain.errors import RecipeError
from workbench.domain.no_garbage_collection import no_garbage_collection
from workbench.graph.channels import rules  # noqa: F401  (registers the operator families)
from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Averaging, Axes, Fill, Flow, Slot, called
from workbench.graph.channels.forming import form_groups
from workbench.graph.channels.group import ChannelGroup
from workbench.graph.channels.heads import head_axes
from workbench.graph.channels.registry import spread_rule
from workbench.graph.channels.tracing import trace_shape
from workbench.graph.channels.uniting import unite
from workbench.graph.model import ModelGraph, Subgraph
from workbench.graph.passes.fold_constants import fold_constants
from workbench.graph.passes.straighten_reshapes import straighten_reshapes
from workbench.graph.shapes import static_values
from workbench.graph.statics import Statics

Unit = Literal["head", "dimension"]


@dataclass(frozen=True)
class Analysis:
    """Everything known of a graph's channels.

    Attributes:
        graph: The graph that the names below belong to: the given one with its constants folded.
        groups: Channel groups in graph order.
        values: Labels of every computed value.
        uses: (constant, labels) by (node, input index).
        slots: Layer axes.
        contracted: Inputs whose channels are put together, with what a removed one counts as there.
        averaged: Nodes that average over channels.
        unit_classes: For every group id the class of every unit.
        blocked: Why an atom has to stay, by its class.
        classes: Class of every atom: atoms of a class are one channel.
        refused: Why nothing behind a node can be removed, by node name.
    """

    graph: ModelGraph
    statics: Statics
    groups: tuple[ChannelGroup, ...]
    values: Mapping[str, Axes]
    uses: Mapping[tuple[str, int], tuple[str, Axes]]
    slots: tuple[Slot, ...]
    contracted: Mapping[tuple[str, int], Fill]
    averaged: Mapping[str, Averaging]
    classes: np.ndarray
    unit_classes: Mapping[str, np.ndarray]
    blocked: Mapping[int, str]
    refused: Mapping[str, str]

    @cached_property
    def by_id(self) -> Mapping[str, ChannelGroup]:
        """Groups by id."""
        return {group.id: group for group in self.groups}

    def gone(self, removal: Mapping[str, Sequence[int]]) -> np.ndarray:
        """Return per atom whether it goes with the units in `removal` (group id → units).

        Raises:
            RecipeError: an unknown group or unit, one that is locked, or a removal that leaves nothing of an axis.
        """
        gone = np.zeros(self.classes.max(initial=-1) + 1, dtype=bool)
        for identity, units in removal.items():
            group = self.by_id.get(identity)
            if group is None:
                raise RecipeError(
                    f"there is no channel group {identity!r}",
                    expected="an id that `workbench inspect` lists under groups",
                )
            _check_units(group, units)
            gone[self.unit_classes[identity][np.asarray(list(units), dtype=np.int64)]] = True
        return np.asarray(gone[self.classes])

    def cut(self, removal: Mapping[str, Sequence[int]]) -> Cut:
        """Return what a removal does to every value; raises as `gone` does."""
        return Cut(self.graph, self.values, self.uses, self.statics.shapes, self.gone(removal))


def _check_units(group: ChannelGroup, units: Sequence[int]) -> None:
    chosen = {int(unit) for unit in units}
    where = f"channel group {group.id!r}"
    if not chosen:
        return
    if group.reason is not None:
        raise RecipeError(f"can't be pruned: {group.reason}", where=where)
    if min(chosen) < 0 or max(chosen) >= group.units:
        raise RecipeError(
            f"has no unit {max(chosen) if max(chosen) >= group.units else min(chosen)}",
            where=where,
            expected=f"units 0 to {group.units - 1}",
        )
    if chosen & group.locked:
        raise RecipeError(f"unit {min(chosen & group.locked)} can't be removed: {group.lock_reason}", where=where)
    if len(chosen) == group.units or any(needed <= chosen for needed in group.essential):
        raise RecipeError(
            "would lose all of its channels",
            where=where,
            expected="at least one channel to stay",
            action="Lower the ratio.",
        )


_analyses: weakref.WeakKeyDictionary[ModelGraph, dict[Unit, Analysis]] = weakref.WeakKeyDictionary()


def channel_groups(graph: ModelGraph, unit: Unit = "head") -> tuple[ChannelGroup, ...]:
    """Return the coupled channel groups of a graph, prunable ones and others (which say why not), in graph order.

    Args:
        graph: The graph.
        unit: What goes together where an axis is split into attention heads: whole heads, or the same dimension of
            every head. Elsewhere it makes no difference.
    """
    return analyse(graph, unit).groups


def folded_graph(graph: ModelGraph) -> ModelGraph:
    """Return the graph with its constants folded, to which the weight names of the graph's channel groups belong."""
    return analyse(graph).graph


def analyse(graph: ModelGraph, unit: Unit = "head") -> Analysis:
    """Follow all channels through `graph`; the result is kept for as long as the graph lives."""
    known = _analyses.setdefault(graph, {})
    if unit not in known:
        # Among the nodes and values of a big graph the search for garbage takes as long as all the rest.
        with no_garbage_collection():
            known[unit] = _analyse(graph, unit)
    return known[unit]


def _analyse(original: ModelGraph, unit: Unit) -> Analysis:
    graph = straighten_reshapes(fold_constants(original))
    statics = static_values(graph)
    flow = Flow(graph, statics.shapes, head_axes(graph, statics.shapes), unit == "head")
    _enter(graph, flow)
    for node in graph.nodes:
        if node.op == "Constant" and not node.domain:
            continue
        trace_shape(node, flow)
        rule = spread_rule(node)
        inner = _bodies_read(node.attributes.values())
        if rule is None or inner:
            for name in inner:
                flow.block_all(flow.values.get(name), f"{called(node)} can't be seen through")
            flow.give_up(node)
        else:
            rule(node, flow)
    for info in graph.outputs:
        flow.block_all(flow.values.get(info.name), f"reaches graph output {info.name!r}")
    classes = unite(flow.atoms, flow.pairs)
    blocked: dict[int, str] = {}
    for labels, reason in flow.blocks:
        for number in np.unique(classes[labels]).tolist():
            blocked.setdefault(number, reason)
    groups, unit_classes = form_groups(flow, classes, blocked)
    return Analysis(
        graph=graph,
        statics=statics,
        groups=groups,
        values=flow.values,
        uses=flow.uses,
        slots=tuple(flow.slots),
        contracted=flow.contracted,
        averaged=flow.averaged,
        classes=classes,
        unit_classes=unit_classes,
        blocked=blocked,
        refused=flow.refused,
    )


def _enter(graph: ModelGraph, flow: Flow) -> None:
    for info in graph.inputs:
        shape = flow.shape(info.name)
        if shape is not None:
            axes = flow.fixed(shape, f"reaches graph input {info.name!r}")
            if axes is not None:
                flow.values[info.name] = axes


def _bodies_read(attributes: Sequence[object] | object) -> tuple[str, ...]:
    """Return the outer values that subgraphs read."""
    names: list[str] = []
    for attribute in attributes if not isinstance(attributes, Subgraph) else (attributes,):  # type: ignore[attr-defined]
        for body in attribute if isinstance(attribute, tuple) else (attribute,):
            if isinstance(body, Subgraph):
                for inner in body.nodes:
                    names.extend(name for name in inner.inputs if name)
                    names.extend(_bodies_read(tuple(inner.attributes.values())))
                names.extend(info.name for info in body.outputs)
    return tuple(names)
