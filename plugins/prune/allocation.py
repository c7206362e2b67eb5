"""Decides how much of every channel group goes: as the plan says, by one ranking of all layers, or to meet a target.

Groups whose ratio a line or glob of the plan gives keep it. The others share what the plan's default asks for, or what
a target leaves them. Both ways end in one ratio per group, so that the outcome can be written down as a plan, shown,
changed and run again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.api import PRUNE_RATIO, JobError, ModelGraph, Plan, RecipeError, WorkbenchError, remove_channels

from .cost import counted
from .latency import PruningTrials
from .parameters import PruningParameters, Target
from .ranking_order import removal_order
from .selection import GroupRatio, choose

Scores = Mapping[str, np.ndarray]
_WORDS = {"macs": "multiplications", "params": "parameters", "size": "bytes of weights", "latency": "time"}
# Ratios are written in steps of this share, rounded up so that a share of the units is not lost to rounding.
_STEPS_OF_ONE = 10_000


@dataclass(frozen=True)
class Budget:
    """What a target allows.

    Attributes:
        target: What is counted.
        original: Of the original model, to which the ratio refers; 1 for a latency, which is measured as a share.
        allowed: The largest count that may be left.
    """

    target: Target
    original: int
    allowed: float

    @staticmethod
    def of(parameters: PruningParameters, original: ModelGraph) -> Budget | None:
        """Return the budget that the parameters ask for; None for no target."""
        if parameters.target == "none":
            return None
        total = 1 if parameters.target == "latency" else counted(original, parameters.target)
        return Budget(parameters.target, total, total * parameters.target_ratio)


def allocate(
    graph: ModelGraph,
    chosen: Sequence[GroupRatio],
    scores: Scores,
    parameters: PruningParameters,
    budget: Budget | None,
    held: Sequence[str] = (),
    poll: Callable[[], None] = lambda: None,
    trials: PruningTrials | None = None,
) -> tuple[GroupRatio, ...]:
    """Return the chosen groups with their final ratios.

    Args:
        graph: The model that loses channels.
        chosen: Groups with the plan's ratios.
        scores: Importance of every unit (units,), by group id.
        parameters: Scope, smallest share, multiple, rounds; what normalisation stands for was decided.
        budget: To meet, or None.
        held: Layers that a line of the plan holds, for the message.
        poll: Called between trials; raises where the user cancelled.
        trials: Measure what is left where the budget is a latency.

    Raises:
        RecipeError: the budget can't be met.
        JobError: a measured one can't.
    """
    free = [entry for entry in chosen if not entry.fixed]
    if budget is None and not free:
        return tuple(chosen)
    ranked = parameters.scope == "global"
    if ranked:
        steps = _ranked(removal_order(graph, free, scores, parameters, largest_ratio(parameters), poll), free)
    else:
        steps = _even(free, parameters)
    if budget is None:
        return _with(chosen, steps(_asked(free))) if ranked else tuple(chosen)
    low, high = 0, len(steps)

    def left(step: int) -> float:
        poll()
        removal = choose(
            _with(chosen, steps(step)), lambda group: scores[group.id], multiple=parameters.channel_multiple
        )
        if trials is not None:
            return trials.ratio(graph, removal)
        return counted(remove_channels(graph, removal) if removal else graph, budget.target)

    least = left(high)
    if least > budget.allowed:
        raise _unreachable(budget, least, held, parameters)
    # A measured staircase may rise where more goes: `high` is always a step that was seen to meet the budget.
    while low < high and not (trials is not None and (trials.spent or trials.close(least, budget.allowed))):
        middle = (low + high) // 2
        found = left(middle)
        if found <= budget.allowed:
            high, least = middle, found
        else:
            low = middle + 1
    return _with(chosen, steps(high))


def check_reachable(
    graph: ModelGraph,
    chosen: Sequence[GroupRatio],
    parameters: PruningParameters,
    budget: Budget,
    held: Sequence[str] = (),
) -> None:
    """Refuse a target that can't be met even if every free layer goes down to its smallest share.

    A latency is only known once it was measured, so that a target of one passes.

    Raises:
        RecipeError: says how far it gets, and what stands in the way.
    """
    if budget.target == "latency":
        return
    flat = {entry.group.id: np.arange(entry.group.units, dtype=np.float64) for entry in chosen}
    most = _with(chosen, {entry.group.id: largest_ratio(parameters) for entry in chosen if not entry.fixed})
    removal = choose(most, lambda group: flat[group.id], multiple=parameters.channel_multiple)
    least = counted(remove_channels(graph, removal) if removal else graph, budget.target)
    if least > budget.allowed:
        raise _unreachable(budget, least, held, parameters)


def _unreachable(budget: Budget, least: float, held: Sequence[str], parameters: PruningParameters) -> WorkbenchError:
    kind, measured = (JobError, "measured ") if budget.target == "latency" else (RecipeError, "")
    lines = f", or take the plan's lines for {', '.join(held[:4])}{', …' if len(held) > 4 else ''} away" if held else ""
    return kind(
        f"the target of {budget.allowed / budget.original:.3g} of the original's {_WORDS[budget.target]} can't be met",
        where="target_ratio",
        found=f"{measured}{least / budget.original:.3g} with every free layer at its smallest share of "
        f"{parameters.smallest_share:g}",
        action=f"Raise target_ratio, lower smallest_share{lines}.",
    )


def as_plan(
    ratios: Sequence[GroupRatio], layers: Sequence[str], removal: Mapping[str, Sequence[int]] | None = None
) -> Plan:
    """Return the ratios as plan lines for those of the groups' layers that the plan knows.

    Args:
        ratios: Of the groups.
        layers: That the plan knows.
        removal: The units that went, where they are known: the share that they are says the same again whatever channel
            counts are rounded to. Groups of several strata, each of which was rounded, keep the ratio.
    """
    plan = Plan()
    for entry in ratios:
        ratio = entry.ratio
        if removal is not None and len(entry.group.strata) == 1:
            ratio = min(len(removal.get(entry.group.id, ())) / entry.group.units, PRUNE_RATIO.high or 1.0)
        names = dict.fromkeys(member.layer for member in entry.group.out_members)
        plan = plan.with_settings([name for name in names if name in layers], PRUNE_RATIO.name, ratio)
    return plan


class _Steps:
    """Ways to prune, from nothing (0) to as much as is allowed (`len`), none taking less than the one before."""

    def __init__(self, count: int, ratios: Callable[[int], dict[str, float]]) -> None:
        self._count, self._ratios = count, ratios

    def __len__(self) -> int:
        return self._count

    def __call__(self, step: int) -> dict[str, float]:
        return self._ratios(step)


def _even(free: Sequence[GroupRatio], parameters: PruningParameters) -> _Steps:
    """The same ratio everywhere, in steps of half a percent."""
    most = largest_ratio(parameters)
    names = [entry.group.id for entry in free]
    return _Steps(math.ceil(most / 0.005), lambda step: dict.fromkeys(names, min(step * 0.005, most)))


def _ranked(order: Sequence[str], free: Sequence[GroupRatio]) -> _Steps:
    """The least important units of all groups, one more in each step."""
    units = {entry.group.id: entry.group.units for entry in free}

    def ratios(step: int) -> dict[str, float]:
        taken = Counter(order[:step])
        return {name: _written(taken[name] / count) for name, count in units.items()}

    return _Steps(len(order), ratios)


def _asked(free: Sequence[GroupRatio]) -> int:
    """Return how many units the plan's default ratio takes from the free groups together."""
    return round(sum(entry.ratio * entry.group.units for entry in free))


def largest_ratio(parameters: PruningParameters) -> float:
    """Return the share that a target or a global ranking may take of a group at most."""
    high = PRUNE_RATIO.high
    return _written(min(1 - parameters.smallest_share, 1.0 if high is None else high))


def _written(ratio: float) -> float:
    return math.ceil(ratio * _STEPS_OF_ONE - 1e-6) / _STEPS_OF_ONE


def _with(chosen: Sequence[GroupRatio], ratios: Mapping[str, float]) -> tuple[GroupRatio, ...]:
    return tuple(
        replace(entry, ratio=ratios[entry.group.id]) if entry.group.id in ratios else entry for entry in chosen
    )
