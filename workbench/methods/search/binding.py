"""Says what holds the chosen candidate back: which budget or pin, and what it would buy to let it go a little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.search_reports import Relaxation
from workbench.domain.study import Study
from workbench.methods.search.loop import Entry
from workbench.methods.search.objectives import Figures, beyond, cheapest
from workbench.methods.search.space import Space
from workbench.methods.search.stand_ins import StandIns
from workbench.methods.search.strategy import SearchTask
from workbench.methods.search.template import Template

# Less than this share of the original's cost, or of the reference's drop, is not worth a word.
_NOTABLE = 0.02
_LEVELS = (0.9, 0.8, 0.7, 0.6)
_MOST_PINS = 8


def held_back(study: Study, entries: Sequence[Entry], number: int, task: SearchTask) -> list[Relaxation]:
    """Return what holds any one candidate back: budgets, none of them, or those that it is beyond.

    Args:
        study: Completed.
        entries: Finished candidates.
        number: Of the candidate, from 1.
        task: With the forecast and the limits.
    """
    own, limits = entries[number - 1].figures, task.limits
    if not limits:
        return []
    if broken := beyond(own, limits):
        return [_beyond(name, limits[name], own) for name in broken]
    leading = study.costs[0]
    inside = {place: entry.figures for place, entry in enumerate(entries, 1) if not beyond(entry.figures, limits)}
    best = cheapest(inside, study.costs, limits)
    if best is not None and best != number:
        other = inside[best]
        saved, lost = own.costs[leading] - other.costs[leading], other.drop - own.drop
        if (saved >= _NOTABLE) if "metric" in limits else (-lost >= _NOTABLE * task.reference[0]):
            text = (
                f"No budget holds it back: candidate {best} is within them at {leading} {other.costs[leading]:.3f} "
                f"instead of {own.costs[leading]:.3f} of the original's, where the metric drops by {other.drop:.4f} "
                f"instead of {own.drop:.4f} (measured)."
            )
            return [
                Relaxation(
                    what="no budget",
                    limit="",
                    relaxed="",
                    objective=leading,
                    gain=saved,
                    drop=lost,
                    measured=True,
                    text=text,
                )
            ]
    return budget_relaxations(study, entries, number, task)


def _beyond(name: str, limit: float, own: Figures) -> Relaxation:
    value = own.drop if name == "metric" else own.costs[name]
    said = (
        f"a drop of {value:.4f} where {limit:.4g} is allowed"
        if name == "metric"
        else f"{value:.3f} of the original's where {limit:.3g} is allowed"
    )
    return Relaxation(
        what=f"budget of {'the metric' if name == 'metric' else name}",
        limit=f"{limit:.4g}",
        relaxed=f"{value:.4g}",
        objective=name,
        gain=0.0,
        measured=True,
        text=f"It is beyond the budget of {'the metric' if name == 'metric' else name}: {said}.",
    )


def budget_relaxations(study: Study, entries: Sequence[Entry], chosen: int, task: SearchTask) -> list[Relaxation]:
    """Return for every budget that binds what the mildest useful relaxation would buy.

    Finished candidates are asked first, then the forecast.

    Args:
        study: Completed.
        entries: Finished candidates.
        chosen: Number of the chosen one, from 1.
        task: With the forecast.
    """
    own = entries[chosen - 1].figures
    leading = study.costs[0]
    found: list[Relaxation] = []
    for name, limit in task.limits.items():
        others = {other: bound for other, bound in task.limits.items() if other != name}
        outside = [
            entry.figures
            for entry in entries
            if beyond(entry.figures, {name: limit}) and not beyond(entry.figures, others)
        ]
        if name == "metric":
            better = [one for one in outside if own.costs[leading] - one.costs[leading] >= _NOTABLE]
            best = min(better, key=lambda one: one.drop, default=None)
            if best is not None:
                found.append(_of_metric(study, limit, own, best.drop, best.costs[leading], measured=True))
            elif (foretold := _foretold(task, own, study)) is not None:
                found.append(_of_metric(study, limit, own, *foretold, measured=False))
            continue
        better = [one for one in outside if own.drop - one.drop >= _NOTABLE * task.reference[0]]
        best = min(better, key=lambda one: one.costs.get(name, 0.0), default=None)
        if best is not None:
            value = best.costs[name]
            found.append(
                Relaxation(
                    what=f"budget of {name}",
                    limit=f"{limit:.3g}",
                    relaxed=f"{value:.3g}",
                    objective="metric",
                    gain=own.drop - best.drop,
                    drop=best.drop - own.drop,
                    measured=True,
                    text=f"At {value:.3g} of the original's {name} instead of {limit:.3g} the metric would be "
                    f"{own.drop - best.drop:.4f} better (measured).",
                )
            )
    return found


def _of_metric(study: Study, limit: float, own: Figures, drop: float, cost: float, *, measured: bool) -> Relaxation:
    leading = study.costs[0]
    return Relaxation(
        what="budget of the metric",
        limit=f"{limit:.4g}",
        relaxed=f"{drop:.4g}",
        objective=leading,
        gain=own.costs[leading] - cost,
        drop=drop - own.drop,
        measured=measured,
        text=f"A drop of {drop:.4f} instead of {limit:.4g} would buy {leading} {cost:.3f} instead of "
        f"{own.costs[leading]:.3f} of the original's ({'measured' if measured else 'foretold'}).",
    )


def _foretold(task: SearchTask, own: Figures, study: Study) -> tuple[float, float] | None:
    """Return (drop, cost) of the mildest proposal that is notably cheaper, or None."""
    leading = study.costs[0]
    for level in _LEVELS:
        wanted = own.costs[leading] * level
        proposal = task.least_loss({leading: wanted}) if own.costs[leading] - wanted >= _NOTABLE else None
        if proposal is not None:
            means, _ = task.forecast.points([proposal])
            if means[0, 0] > task.limits["metric"]:
                return float(means[0, 0]), float(means[0, 1])
    return None


def pin_relaxations(
    study: Study,
    entry: Entry,
    space: Space,
    template_of: Callable[[Space], Template],
    stand_ins: StandIns,
    limits: Mapping[str, float],
    cancel: CancelToken,
) -> list[Relaxation]:
    """Return for the pins what the chosen candidate's cost would be without each; quality is not foretold for them.

    Args:
        study: Completed.
        entry: The chosen candidate.
        space: With the pinned dimensions.
        template_of: Makes the template of a space.
        stand_ins: Times structures.
        limits: Budgets, for the cost to look at.
        cancel: Polled.

    Raises:
        CancelledError: cancelled.
    """
    if not space.pinned or entry.proposal is None:
        return []
    wider = Space((*space.dimensions, *space.pinned), space.plan)
    free = replace(stand_ins, space=wider, template=template_of(wider), made={})
    leading = next((name for name in study.costs if name in limits), study.costs[0])
    found = []
    for place, dimension in list(enumerate(space.pinned, len(space.dimensions)))[:_MOST_PINS]:
        best: tuple[float, int] | None = None
        for choice in range(1, len(dimension.choices)):
            proposal = [*entry.proposal, *([0] * len(space.pinned))]
            proposal[place] = choice
            canonical = wider.canonical(proposal)
            if leading == "latency":
                ratio = free.timed([canonical], Progress(), cancel).get(canonical)
                cost = None if ratio is None else ratio.median
            else:
                stand_in = free.of(canonical, cancel)
                cost = None if stand_in is None else stand_in.costs.get(leading)
            if cost is not None and (best is None or cost < best[0]):
                best = cost, choice
        own = entry.figures.costs[leading]
        if best is not None and own - best[0] >= _NOTABLE * own:
            label = dimension.label(best[1])
            found.append(
                Relaxation(
                    what=f"pin of {', '.join(sorted(dimension.names))} on {dimension.layers[0]}",
                    limit="as pinned",
                    relaxed=label,
                    objective=leading,
                    gain=own - best[0],
                    text=f"Without its pin, {label} would bring {leading} to {best[0]:.3f} instead of {own:.3f} of the "
                    "original's (foretold); what it costs in quality was not looked at.",
                )
            )
    return found
