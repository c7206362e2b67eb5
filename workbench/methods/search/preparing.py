"""What is done before the first candidate is built: what each choice saves and costs, which budgets can't be met."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError
from workbench.domain.measurements import Ratio
from workbench.domain.study import Cost, Study
from workbench.methods.search.drops import SensitivityPass
from workbench.methods.search.forecast import Forecast, Known
from workbench.methods.search.space import Proposal, Space
from workbench.methods.search.stand_ins import StandIns

_COUNTED: tuple[Cost, ...] = ("size", "macs", "params", "bitops", "memory")
# A stand-in's figure may differ so much from the file's; a budget within it is tried.
_MARGIN = {"latency": 0.1, "size": 0.03, "memory": 0.3}


@dataclass(frozen=True)
class Prices:
    """What every choice saves by itself, counted from a base proposal, in shares of the original's costs."""

    base: Proposal
    costs: dict[str, float]
    savings: dict[str, dict[tuple[int, int], float]]


def compared_costs(study: Study, limits: Mapping[str, float]) -> tuple[Cost, ...]:
    """Return the objectives, then what else is budgeted and can be foretold."""
    others = [name for name in ("latency", *_COUNTED) if name in limits and name not in study.costs]
    return (*study.costs, *others)


def take_prices(
    space: Space,
    stand_ins: StandIns,
    costs: Sequence[Cost],
    seconds: float,
    progress: Progress,
    cancel: CancelToken,
) -> Prices:
    """Time and count a stand-in of every choice.

    Args:
        space: Of the study.
        stand_ins: Make and time them.
        costs: Objectives and budgets.
        seconds: After so long the time of what is left is estimated from its multiplications.
        progress: Of all.
        cancel: Polled.

    Raises:
        CancelledError: `cancel` was set; what was timed is kept.
        WorkbenchError: the device can't measure.
    """
    uniform = _uniform_precisions(space)
    shares = _shares(uniform, stand_ins, progress.part(0.0, 0.2, "precisions"), cancel)
    leading = costs[0] if any(costs[0] in shares[proposal] for proposal in uniform) else "size"
    base = min(uniform, key=lambda proposal: shares[proposal].get(leading, 1.0))
    singles = {
        (place, choice): space.canonical((*base[:place], choice, *base[place + 1 :]))
        for place, dimension in enumerate(space.dimensions)
        for choice in range(len(dimension.choices))
        if choice != base[place]
    }
    # A step's structure that can't be foretold may save anything.
    plain = frozenset(getattr(stand_ins.of(base, cancel), "left_out", ()))
    unknown = {
        proposal
        for proposal in singles.values()
        if (made := stand_ins.of(proposal, cancel)) is None or frozenset(made.left_out) > plain
    }
    found = _shares([base, *singles.values()], stand_ins, progress.part(0.2, 1.0, "choices"), cancel, seconds)
    savings: dict[str, dict[tuple[int, int], float]] = {}
    for name in costs:
        whole = found[base].get(name)
        if whole is not None:
            savings[name] = {
                column: whole - found[proposal][name]
                for column, proposal in singles.items()
                if name in found[proposal] and proposal not in unknown
            }
    if "latency" in savings:
        _estimate_rest(savings["latency"], found, base, {c: p for c, p in singles.items() if p not in unknown})
    return Prices(base, {name: share for name, share in found[base].items() if name in costs}, savings)


def _estimate_rest(
    saved: dict[tuple[int, int], float],
    found: Mapping[Proposal, Mapping[str, float]],
    base: Proposal,
    singles: Mapping[tuple[int, int], Proposal],
) -> None:
    """Give choices that were not timed the saving that their multiplications promise by those that were."""

    def promised(proposal: Proposal) -> float:
        return found[base].get("macs", 0.0) - found[proposal].get("macs", found[base].get("macs", 0.0))

    rates = [
        saved[column] / promised(proposal)
        for column, proposal in singles.items()
        if column in saved and promised(proposal) > 1e-6
    ]
    if rates:
        rate = float(np.median(rates))
        saved.update({c: rate * promised(p) for c, p in singles.items() if c not in saved and "macs" in found[p]})


def _uniform_precisions(space: Space) -> list[Proposal]:
    """Return the proposals that change precision only, alike wherever there is a choice of it."""
    most = max((len(dimension.choices) for dimension in space.dimensions if dimension.precision), default=1)
    found = [
        tuple(min(index, len(dimension.choices) - 1) if dimension.precision else 0 for dimension in space.dimensions)
        for index in range(most)
    ]
    return list(dict.fromkeys(map(space.canonical, found)))


def _shares(
    proposals: Sequence[Proposal],
    stand_ins: StandIns,
    progress: Progress,
    cancel: CancelToken,
    seconds: float = math.inf,
) -> dict[Proposal, dict[str, float]]:
    """Return shares of costs by proposal; without what can't be told."""
    found: dict[Proposal, dict[str, float]] = {}
    for number, proposal in enumerate(proposals):
        cancel.raise_if_cancelled()
        progress.update(0.5 * number / len(proposals), f"structure {number + 1} of {len(proposals)}")
        stand_in = stand_ins.of(proposal, cancel)
        found[proposal] = {} if stand_in is None else dict(stand_in.costs)
    # What changes most is timed first, the base before all.
    ordered = sorted(proposals[1:], key=lambda proposal: found[proposal].get("macs", 1.0))
    timed = stand_ins.timed([*proposals[:1], *ordered], progress.part(0.5, 1.0), cancel, seconds)
    for proposal, ratio in timed.items():
        found[proposal]["latency"] = ratio.median
    return found


def forecast_of(
    space: Space,
    study: Study,
    costs: Sequence[Cost],
    prices: Prices,
    sensitivities: SensitivityPass | None,
    reference: Sequence[float],
    trains: bool,
    progress: Progress,
    cancel: CancelToken,
    log: Callable[[str], None],
) -> Forecast:
    """Return the forecast before anything is built."""
    drops = {} if sensitivities is None else sensitivities.drops(progress, cancel, log)
    known = Known(prices.base, prices.costs, prices.savings, drops, trains, max(reference[0], 1e-9))
    return Forecast(space, costs, known)


def refuse_impossible(
    space: Space,
    prices: Prices,
    limits: Mapping[str, float],
    stand_ins: StandIns,
    cancel: CancelToken,
    words: Callable[[str, float], str],
) -> dict[Proposal, Ratio]:
    """Refuse budgets of costs that nothing in play can meet, before anything is built.

    Args:
        space: What is in play.
        prices: Of its choices.
        limits: Shares of the original's by cost.
        stand_ins: Times structures.
        cancel: Polled.
        words: Says a share of a cost in the budget's own unit.

    Returns:
        What was timed on the way.

    Raises:
        BadInputError: names the budget and the best that exists.
    """
    timed: dict[Proposal, Ratio] = {}
    for name, limit in limits.items():
        if name not in prices.savings:
            continue
        best = list(prices.base)
        for place, dimension in enumerate(space.dimensions):
            saved = {choice: prices.savings[name].get((place, choice), 0.0) for choice in range(len(dimension.choices))}
            choice = max(saved, key=lambda index: saved[index])
            if saved[choice] > 0:
                best[place] = choice
        least = space.canonical(best)
        if name == "latency":
            timed |= stand_ins.timed([least], Progress(), cancel)
            share = timed[least].ci95[0] if least in timed else None
        else:
            stand_in = stand_ins.of(least, cancel)
            share = None if stand_in is None else stand_in.costs.get(name)
        if share is not None and share > limit * (1 + _MARGIN.get(name, 1e-9)):
            raise BadInputError(
                f"no candidate can be within the budget of {name}",
                where=f"budgets ({name})",
                expected=f"at most {words(name, limit)}",
                found=f"{words(name, share)} with everything that is in play turned as far as it goes",
                action="Raise the budget, put more knobs or values in play, or take pins away.",
            )
    return timed
