"""Decides which knobs can be turned on which layer, once for the table, the plan, the sweep and the search."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from workbench.domain.errors import RecipeError
from workbench.domain.knobs import FIRST_PARTY_KNOBS, PRUNE_RATIO, Knob
from workbench.domain.plan import Plan
from workbench.domain.reports import LayerReport
from workbench.graph.channels import blocked_layers, layer_groups
from workbench.graph.layers import find_layers
from workbench.graph.model import ModelGraph
from workbench.methods.registry import MethodRegistry

_BY_OPERATOR = frozenset(knob.name for knob in FIRST_PARTY_KNOBS)


def described_layers(
    graph: ModelGraph, registry: MethodRegistry, dimensions: Mapping[str, int] | None = None
) -> tuple[LayerReport, ...]:
    """Return every layer with its channel group, why it can't be pruned, and the knobs of all registered methods.

    Raises:
        BadInputError: `dimensions` names no dimension of the model.
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    groups, blocked = layer_groups(graph), blocked_layers(graph)
    found = []
    for layer in find_layers(graph, dimensions):
        own = groups.get(layer.name, ())
        described = layer.model_copy(update={"group": own[0].id if own else None, "blocked": blocked.get(layer.name)})
        found.append(described.model_copy(update={"knobs": knobs_for(described, registry)}))
    return tuple(found)


def knobs_for(layer: LayerReport, registry: MethodRegistry) -> tuple[str, ...]:
    """Return the names of the knobs that some method can turn on `layer`, given as `obstacle` wants it."""
    return tuple(knob.name for knob in registry.knobs if obstacle(layer, knob, registry) is None)


def obstacle(layer: LayerReport, knob: Knob, registry: MethodRegistry) -> str | None:
    """Return why `knob` can't be turned on `layer` by any method, or None if it can.

    Args:
        layer: With `knobs` as the graph room gives them (by operator) and `blocked` filled in.
        knob: One that some registered method reads.
        registry: The known methods.
    """
    if not layer.knobs or (knob.name in _BY_OPERATOR and knob.name not in layer.knobs):
        return f"{knob.name} does not apply to {layer.op}"
    reasons = [entry.method.blocked(knob, layer) for entry in registry if knob in entry.method.knobs]
    return None if None in reasons else next((reason for reason in reasons if reason), "no method reads it")


def layer_knobs(graph: ModelGraph, registry: MethodRegistry) -> dict[str, tuple[str, ...]]:
    """Return for every layer the names of the knobs that can be turned on it."""
    return {layer.name: layer.knobs for layer in described_layers(graph, registry)}


def obstacles(graph: ModelGraph, knob: Knob, registry: MethodRegistry) -> dict[str, str]:
    """Return the layers on which `knob` can't be turned, each with the reason."""
    blocked = blocked_layers(graph)
    found = {}
    for layer in find_layers(graph):
        reason = obstacle(layer.model_copy(update={"blocked": blocked.get(layer.name)}), knob, registry)
        if reason is not None:
            found[layer.name] = reason
    return found


def check_lines(plan: Plan, graph: ModelGraph, registry: MethodRegistry) -> None:
    """Refuse a line that names one layer and a knob that can't be turned on it.

    Raises:
        RecipeError: names layer, knob and reason.
    """
    names = [layer.name for layer in find_layers(graph)]
    reasons: dict[str, dict[str, str]] = {}
    for pattern, line in plan.layers.items():
        matched = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
        if len(matched) != 1:
            continue
        for knob in registry.knobs:
            if knob.name not in line or line[knob.name] == knob.untouched:
                continue
            if knob.name not in reasons:
                reasons[knob.name] = obstacles(graph, knob, registry)
            reason = reasons[knob.name].get(matched[0])
            if reason is not None:
                raise RecipeError(
                    f"{knob.name} can't be set on layer {matched[0]!r}: {reason}",
                    where=f"plan.layers[{pattern!r}]",
                    action="Remove the setting.",
                )


def coupled_layers(graph: ModelGraph, knob: Knob) -> dict[str, tuple[str, ...]]:
    """Return for every layer the layers that `knob` can only move together with it, itself included, in graph order.

    Channels are removed from all layers of a channel group at once; other knobs move one layer.
    """
    names = [layer.name for layer in find_layers(graph)]
    if knob.name != PRUNE_RATIO.name:
        return {name: (name,) for name in names}
    sets: dict[str, set[str]] = {name: {name} for name in names}
    by_group: dict[str, list[str]] = {}
    for layer, groups in layer_groups(graph).items():
        if layer in sets:
            for group in groups:
                by_group.setdefault(group.id, []).append(layer)
    for members in by_group.values():
        merged = set().union(*(sets[layer] for layer in members))
        for layer in merged:
            sets[layer] = merged
    order = {name: position for position, name in enumerate(names)}
    return {name: tuple(sorted(sets[name], key=order.__getitem__)) for name in names}
