"""Decides which layers become sparse, and how: what the plan says, what contradicts itself, what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.api import (
    SPARSITY,
    SPARSITY_PATTERN,
    LayerSettings,
    ModelGraph,
    Node,
    RecipeError,
    layer_nodes,
)

from .layout import OPERATORS, Layout, why_not_sparse
from .patterns import Target, implied_share, misfit


@dataclass(frozen=True)
class Subject:
    """A weight that becomes sparse.

    Attributes:
        weight: Name of the initializer.
        nodes: The layers that read it; all have the same layout.
        layout: How it is stored.
        target: Pattern and share.
    """

    weight: str
    nodes: tuple[Node, ...]
    layout: Layout
    target: Target

    @property
    def name(self) -> str:
        """Name of the (first) layer."""
        return self.nodes[0].name


def wanted(plan: LayerSettings, layer: str) -> Target | None:
    """Return what the plan wants of a layer, or None where it leaves it dense.

    An N:M pattern sets the share by itself. A sparsity that says otherwise contradicts it, unless one of the two is
    said of this layer in a more special place (layer before glob before default) than the other: then a pattern wins
    over a general sparsity, and a sparsity of 0 over a general pattern.

    Raises:
        RecipeError: sparsity and pattern contradict each other; names the layer.
    """
    pattern = str(plan.get(layer, {}).get(SPARSITY_PATTERN.name, SPARSITY_PATTERN.untouched))
    share = plan.number(layer, SPARSITY)
    implied = implied_share(pattern)
    if implied is None:
        return Target(pattern, share) if share > 0 else None
    said, ruled = plan.origin(layer, SPARSITY), plan.origin(layer, SPARSITY_PATTERN)
    if abs(share - implied) < 1e-9 or ruled > said or (share == 0 and ruled == said):
        return Target(pattern, implied)
    if share == 0:
        return None
    raise RecipeError(
        f"sparsity {share:g} contradicts sparsity_pattern {pattern!r}",
        where=f"layer {layer!r}",
        expected=f"sparsity {implied:g}, which follows from the pattern, or none",
        action="Take one of the two settings away, or set sparsity_pattern to unstructured.",
    )


def find_subjects(
    graph: ModelGraph, plan: LayerSettings, unfit: Callable[[Layout], str | None], *, strict: bool
) -> tuple[tuple[Subject, ...], tuple[str, ...]]:
    """Return the weights to make sparse, and notes on layers that stay dense though a setting reaches them.

    Args:
        graph: Without computed constants.
        plan: The settings.
        unfit: Why the method can't work on a weight, or None.
        strict: Refuse a line for one layer that can't be honoured. Off while a recipe runs, when earlier steps may
            have changed what fits: then it is a note.

    Raises:
        RecipeError: sparsity and pattern contradict each other, or (strict) a line can't be honoured.
    """
    own = frozenset(plan)
    chosen: dict[str, list[tuple[Node, Target]]] = {}
    reasons: dict[str, list[str]] = {}
    idle: list[str] = []

    def leave(layer: str, target: Target, reason: str) -> None:
        explicit = layer in own and any(plan.explicit(layer, knob) for knob in (SPARSITY, SPARSITY_PATTERN))
        if strict and explicit:
            shown = f"{SPARSITY_PATTERN.name} {target.pattern!r} at sparsity {target.share:g}"
            raise RecipeError(
                f"{shown} can't be honoured: {reason}",
                where=f"layer {layer!r}",
                action="Choose another pattern for this layer, or set its sparsity to 0.",
            )
        reasons.setdefault(reason, []).append(layer)

    for node, _ in layer_nodes(graph):
        if node.name not in plan or node.op not in OPERATORS:
            continue
        target = wanted(plan, node.name)
        if target is None:
            if plan[node.name].get(SPARSITY_PATTERN.name) == "block" and plan.explicit(node.name, SPARSITY_PATTERN):
                idle.append(node.name)
            continue
        reason = why_not_sparse(graph, node)
        if reason is None:
            layout = Layout.of(graph, node)
            reason = misfit(layout, target.pattern) or unfit(layout)
        if reason is None:
            chosen.setdefault(node.inputs[1], []).append((node, target))
        else:
            leave(node.name, target, reason)
    found = []
    for weight, readers in chosen.items():
        first, target = readers[0]
        layout = Layout.of(graph, first)
        same = all(other == target and Layout.of(graph, node) == layout for node, other in readers)
        others = [node.name for node in graph.consumers(weight) if node.name not in {node.name for node, _ in readers}]
        if same and not others:
            found.append(Subject(weight, tuple(node for node, _ in readers), layout, target))
            continue
        for node, own_target in readers:
            partner = next((name for name in [*others, *(other.name for other, _ in readers)] if name != node.name), "")
            leave(node.name, own_target, f"it shares its weight with {partner!r}, which is not set the same")
    notes = [f"Left dense: {_some(names)} ({reason})." for reason, names in reasons.items()]
    if idle:
        notes.append(f"Pattern block has no effect without a sparsity: {_some(idle)}.")
    return tuple(found), tuple(notes)


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
