"""Turns the plan's ratios and the channels' importance into the units to remove, the same for every criterion.

How the ratio of a channel group follows from the plan: of the settings of the layers whose output channels it holds,
a line that names one layer beats a glob, a glob beats the default. Settings of the winning kind must agree; layers
without one follow. Layers that hold the same channels lose the same ones, so a residual stream has one ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from workbench.api import (
    PRUNE_RATIO,
    ChannelGroup,
    LayerSettings,
    ModelGraph,
    Origin,
    RecipeError,
    channel_groups,
    kept_units,
    unit_step,
)


@dataclass(frozen=True)
class GroupRatio:
    """A prunable channel group and the share of its channels that goes.

    Attributes:
        group: The group.
        ratio: Share (0-0.95).
        fixed: Whether a line of the plan says so, which neither a target nor a global ranking changes.
    """

    group: ChannelGroup
    ratio: float
    fixed: bool = True


def group_ratios(
    graph: ModelGraph,
    plan: LayerSettings,
    obstacle: Callable[[ChannelGroup], str | None] = lambda group: None,
    *,
    untouched_too: bool = False,
) -> tuple[tuple[GroupRatio, ...], tuple[str, ...]]:
    """Return the groups that lose channels, and notes on layers that default settings could not be applied to.

    Args:
        graph: The model.
        plan: Its settings.
        obstacle: Says why a criterion can't rank a prunable group; None where it can.
        untouched_too: Whether to return groups that the plan leaves at a default of 0, for a target to decide on.

    Raises:
        RecipeError: settings inside one group contradict each other, or a line names a layer that can't be pruned.
    """
    chosen: list[GroupRatio] = []
    skipped: dict[str, list[str]] = {}
    pruned: set[str] = set()
    reasons: dict[str, str] = {}
    for group in channel_groups(graph):
        layers = list(dict.fromkeys(member.layer for member in group.out_members))
        ratio, origin = _common_ratio(group, [layer for layer in layers if layer in plan], plan)
        fixed = origin is not Origin.DEFAULT
        reason = group.reason
        if reason is None and (ratio > 0 or (untouched_too and not fixed)):
            reason = obstacle(group)
            if reason is None:
                chosen.append(GroupRatio(group, ratio, fixed))
        if reason is None:
            pruned.update(layers)
        else:
            reasons.update(dict.fromkeys(layers, reason))
    present = {node.name for node in graph.nodes}
    gone = []
    for layer in plan:
        if layer in pruned or plan.number(layer, PRUNE_RATIO) == 0:
            continue
        if layer not in present:
            gone.append(layer)
            continue
        reason = reasons.get(layer) or "it makes no channels of its own that could be removed"
        if plan.explicit(layer, PRUNE_RATIO):
            raise RecipeError(
                f"{PRUNE_RATIO.name} {plan.number(layer, PRUNE_RATIO):g} can't be honoured: {reason}",
                where=f"layer {layer!r}",
                action=f"Set {PRUNE_RATIO.name} of this layer to 0.",
            )
        skipped.setdefault(reason, []).append(layer)
    notes = [f"Not pruned: {', '.join(layers)} ({reason})." for reason, layers in skipped.items()]
    if gone:
        notes.append(f"Left out by an earlier step: {', '.join(gone)}.")
    return tuple(chosen), tuple(notes)


def _common_ratio(group: ChannelGroup, layers: list[str], plan: LayerSettings) -> tuple[float, Origin]:
    strongest = max((plan.origin(layer, PRUNE_RATIO) for layer in layers), default=Origin.DEFAULT)
    asked = {layer: plan.number(layer, PRUNE_RATIO) for layer in layers if plan.origin(layer, PRUNE_RATIO) == strongest}
    values = sorted(set(asked.values()))
    if len(values) > 1 and group.prunable:
        low = next(layer for layer, value in asked.items() if value == values[0])
        high = next(layer for layer, value in asked.items() if value == values[-1])
        raise RecipeError(
            f"layers {low!r} ({PRUNE_RATIO.name} {values[0]:g}) and {high!r} ({PRUNE_RATIO.name} {values[-1]:g}) "
            "share their channels and can only be pruned together",
            where=f"channel group {group.id!r}",
            expected=f"one {PRUNE_RATIO.name} for all of {_listed(layers)}",
            action="Give them the same value, or set it on one of them only.",
        )
    return (values[0] if values else 0.0), strongest


def _listed(layers: list[str]) -> str:
    return ", ".join(layers[:6]) + (f" and {len(layers) - 6} more" if len(layers) > 6 else "")


def choose(
    chosen: Iterable[GroupRatio], importance: Callable[[ChannelGroup], np.ndarray], *, multiple: int = 1
) -> dict[str, tuple[int, ...]]:
    """Return for every group the units to remove: the least important ones of every stratum.

    Args:
        chosen: Groups and ratios.
        importance: Importance of every unit of a group, (units,).
        multiple: Kept channels of a stratum are rounded to the nearest multiple of this (at least one multiple; a
            stratum with fewer channels than that is left alone). With 1 never more than the ratio is removed.
    """
    removal: dict[str, tuple[int, ...]] = {}
    for entry in chosen:
        group = entry.group
        scores = np.asarray(importance(group), dtype=np.float64)
        gone: set[int] = set()
        for stratum in group.strata:
            count = len(stratum) - kept_units(len(stratum), entry.ratio, _step(group, stratum, multiple))
            free = [unit for unit in stratum if unit not in group.locked]
            # Ties go by position, so that the choice does not depend on the sorting algorithm.
            gone.update(sorted(free, key=lambda unit: (scores[unit], unit))[:count])
        for needed in (*group.essential, frozenset(range(group.units))):
            if needed <= gone:
                gone.discard(max(needed, key=lambda unit: scores[unit]))
        if gone:
            removal[group.id] = tuple(sorted(gone))
    return removal


def _step(group: ChannelGroup, stratum: tuple[int, ...], multiple: int) -> int:
    together = max((len(member.positions[stratum[0]]) for member in group.out_members), default=1)
    return unit_step(multiple, together)
