"""Decides which knobs can be turned on which layer, once for the table, the plan, the sweep and the search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from workbench.domain.errors import PluginError, RecipeError
from workbench.domain.knobs import FIRST_PARTY_KNOBS, Knob
from workbench.domain.plan import Plan
from workbench.domain.reports import LayerReport
from workbench.graph.branches import branch_of_layers, find_branches, with_branches
from workbench.graph.channels import blocked_layers, layer_groups
from workbench.graph.layers import find_layers
from workbench.graph.model import ModelGraph
from workbench.methods.registry import MethodRegistry, Registered

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
    for layer in with_branches(find_layers(graph, dimensions), graph):
        own = groups.get(layer.name, ())
        described = layer.model_copy(update={"group": own[0].id if own else None, "blocked": blocked.get(layer.name)})
        found.append(described.model_copy(update={"knobs": knobs_for(described, registry)}))
    return tuple(found)


def knobs_for(layer: LayerReport, registry: MethodRegistry) -> tuple[str, ...]:
    """Return the names of the knobs that some method can turn on `layer`, given as `obstacle` wants it."""
    return tuple(knob.name for knob in registry.knobs if obstacle(layer, knob, registry) is None)


def with_knobs(layer: LayerReport, registry: MethodRegistry) -> LayerReport:
    """Return a layer as the graph room describes it with the knobs that can be turned on it, and why others can't."""
    refusals = dict(layer.refusals)
    for knob in registry.knobs:
        # What its operator lacks, or its group or branch forbids, is said of it anyway.
        if knob.name in layer.knobs or knob.name not in _BY_OPERATOR:
            reason = obstacle(layer, knob, registry)
            if reason is not None and knob.coupling == "none":
                refusals.setdefault(knob.name, reason)
    knobs = tuple(name for name in knobs_for(layer, registry) if name not in refusals)
    blocked_by = _blocked_by(layer, knobs, registry)
    return layer.model_copy(update={"knobs": knobs, "refusals": refusals, "blocked_by": blocked_by})


def _blocked_by(layer: LayerReport, knobs: Iterable[str], registry: MethodRegistry) -> dict[str, dict[str, str]]:
    """Return which methods can't turn a knob on a layer although another one can."""
    able = frozenset(knobs)
    found: dict[str, dict[str, str]] = {}
    for entry in registry:
        for knob in entry.method.knobs:
            if knob.name not in able:
                continue
            try:
                reason = _opinion(entry, knob, layer)
            except PluginError as fault:
                reason = str(fault)
            if reason is not None:
                found.setdefault(entry.method.id, {})[knob.name] = reason
    return found


def obstacle(layer: LayerReport, knob: Knob, registry: MethodRegistry) -> str | None:
    """Return why `knob` can't be turned on `layer` by any method, or None if it can.

    Args:
        layer: With `knobs` as the graph room gives them (by operator) and `blocked` filled in.
        knob: One that some registered method reads.
        registry: The known methods.
    """
    if knob.coupling == "branch" and layer.branch is None:
        return "it is in no residual branch, nor in a run of layers that keeps its shape"
    if not layer.knobs or (knob.name in _BY_OPERATOR and knob.name not in layer.knobs):
        return f"{knob.name} does not apply to {layer.op}"
    reasons: list[str | None] = []
    for entry in registry:
        if knob in entry.method.knobs:
            try:
                reasons.append(_opinion(entry, knob, layer))
            except PluginError as fault:  # its author's mistake must not hide the layer from other methods
                reasons.append(str(fault))
    return None if None in reasons else next((reason for reason in reasons if reason), "no method reads it")


def faults(layers: Iterable[LayerReport], registry: MethodRegistry) -> tuple[PluginError, ...]:
    """Return what methods raised when they were asked about their knobs, the first fault of each.

    Args:
        layers: As `obstacle` wants them.
        registry: The known methods.
    """
    found: dict[str, PluginError] = {}
    for layer in layers:
        for entry in registry:
            for knob in entry.method.knobs if layer.knobs else ():
                try:
                    _opinion(entry, knob, layer)
                except PluginError as fault:
                    found.setdefault(entry.method.id, fault)
    return tuple(found.values())


def _opinion(entry: Registered, knob: Knob, layer: LayerReport) -> str | None:
    """Return what a method says of a knob on a layer.

    Raises:
        PluginError: it raises, or answers something else than text or None; names plugin, method and layer.
    """
    where = f"plugin {entry.plugin!r}, layer {layer.name!r}"
    action = "Repair or remove the plugin; other methods are not affected."
    try:
        answer: object = entry.method.blocked(knob, layer)
    except Exception as error:  # the border to foreign code: anything may come
        said = f"method {entry.method.id!r} raised {type(error).__name__} when asked about {knob.name}: {error}"
        raise PluginError(said, where=where, action=action) from error
    if answer is None or isinstance(answer, str):
        return answer
    raise PluginError(
        f"method {entry.method.id!r} can't say whether {knob.name} can be turned",
        where=where,
        expected="text or None from `blocked`",
        found=repr(answer),
        action=action,
    )


def layer_knobs(graph: ModelGraph, registry: MethodRegistry) -> dict[str, tuple[str, ...]]:
    """Return for every layer the names of the knobs that can be turned on it."""
    return {layer.name: layer.knobs for layer in described_layers(graph, registry)}


def obstacles(graph: ModelGraph, knob: Knob, registry: MethodRegistry) -> dict[str, str]:
    """Return the layers on which `knob` can't be turned, each with the reason."""
    blocked = blocked_layers(graph)
    found = {}
    for layer in with_branches(find_layers(graph), graph):
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

    Channels are removed from all layers of a channel group at once, branches go as a whole; other knobs move one layer.
    """
    names = [layer.name for layer in find_layers(graph)]
    if knob.coupling == "branch":
        known = branch_of_layers(find_branches(graph))
        return {name: known[name].layers if name in known else (name,) for name in names}
    if knob.coupling != "channels":
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
