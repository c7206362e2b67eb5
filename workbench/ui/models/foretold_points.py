"""Where candidates that a search builds or thinks of are foretold to land, in the units of any two axes."""

from __future__ import annotations

from workbench.domain.measurements import Interval
from workbench.domain.search_reports import Estimate, Outlook, Promise
from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import Axis, CandidateRow, CandidateTable
from workbench.ui.models.measures import Key
from workbench.ui.models.pareto_scene import Ghost

# What a search calls the costs, of which it foretells the share of the original's.
_COSTS: dict[Key, str] = {
    "ratio": "latency", "latency": "latency", "size": "size", "macs": "macs", "params": "params", "memory": "memory",
    "bitops": "bitops",
}  # fmt: skip
_LONGEST = 160
Figure = tuple[float, Interval]


def foretold_ghosts(outlook: Outlook, job: str, table: CandidateTable, cost: Axis, score: Axis) -> tuple[Ghost, ...]:
    """Return a ghost for each candidate of which both axes are foretold.

    Args:
        outlook: Of the search.
        job: That searches.
        table: Has the original's figures, to which what is foretold is relative.
        cost: The level axis.
        score: The upright axis.
    """
    found = []
    for promise, building in [(entry, True) for entry in outlook.building] + [
        (entry, False) for entry in outlook.promising
    ]:
        x, y = _figure(promise, table, cost), _figure(promise, table, score)
        if x is None or y is None:
            continue
        found.append(
            Ghost(
                job=job if building else "",
                title=promise.words,
                fraction=0.0,
                hover=_hover(promise, table, building=building),
                place=(x[0], y[0]),
                x_interval=_real(x[1]),
                y_interval=_real(y[1]),
            )
        )
    return tuple(found)


def _figure(promise: Promise, table: CandidateTable, axis: Axis) -> Figure | None:
    """Return what is foretold on an axis, as it shows it."""
    original = table.baseline
    if original is None:
        return None
    if axis.key in ("metric", "drop"):
        return _metric(promise.foretold.drop, original, table, of_change=axis.key == "drop")
    estimate, whole = promise.foretold.costs.get(_COSTS.get(axis.key, "")), original.value(axis.key)
    if estimate is None or whole is None:
        return None
    return estimate.value * whole, (estimate.ci95[0] * whole, estimate.ci95[1] * whole)


def _metric(drop: Estimate | None, original: CandidateRow, table: CandidateTable, *, of_change: bool) -> Figure | None:
    before = 0.0 if of_change else original.value("metric")
    if drop is None or before is None:
        return None
    # A drop is a loss, whichever way the metric is better.
    factor = numbers.metric_factor(table.metric) * (-1.0 if table.higher_is_better else 1.0)
    low, high = sorted((before + factor * drop.ci95[0], before + factor * drop.ci95[1]))
    return before + factor * drop.value, (low, high)


def _hover(promise: Promise, table: CandidateTable, *, building: bool) -> str:
    words = promise.words if len(promise.words) <= _LONGEST else f"{promise.words[: _LONGEST - 1]}…"
    lines = ["Foretold; is being built now" if building else "Foretold; promises most next"]
    drop = promise.foretold.drop
    if drop is not None:
        lines.append(f"Change {numbers.drop_text(drop.value, drop.ci95, table.metric)}")
    lines.extend(
        f"{name.capitalize() if name != 'macs' else 'MACs'} {numbers.with_interval(entry.value, _real(entry.ci95))} "
        "of the original's"
        for name, entry in promise.foretold.costs.items()
    )
    return "\n".join([*lines, words])


def _real(interval: Interval) -> Interval | None:
    return interval if interval[1] > interval[0] else None
