"""Turns what was measured on a candidate into the few numbers that a search compares: a drop, and shares of costs.

All of them are to be made small. A drop is a loss against the original whatever the metric's direction; a cost is a
share of the original's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.data.metrics.registry import metric_named
from workbench.domain.budget_text import budget_words
from workbench.domain.errors import JobError
from workbench.domain.measurements import MetricMeasurement, is_share
from workbench.domain.reports import CandidateReport
from workbench.domain.study import Budgets, Cost, Study
from workbench.methods.search.front import Point, Values

_LONE_RATIOS = {"latency_ms": "latency", "size_bytes": "size", "memory_bytes": "memory"}
# Without a budget for it, what has lost a tenth of the scale, or of the metric's value, is of no interest.
_DROP_OF_INTEREST = 0.1
# Integers pad a few channels, and memory hardly changes: what is a little above the original's still counts there.
_WORST: Mapping[Cost, float] = {"macs": 1.1, "memory": 1.1}


@dataclass(frozen=True)
class Original:
    """The original's figures.

    Attributes:
        metric: Measured on the test split.
        latency_ms, size_bytes, macs, params, memory_bytes, bitops: Costs; None where one is not known.
    """

    metric: MetricMeasurement | None
    latency_ms: float | None
    size_bytes: float
    macs: float
    params: float
    memory_bytes: float | None = None
    bitops: float | None = None

    def cost(self, name: str) -> float | None:
        """Return a cost objective in its own unit."""
        found: float | None = getattr(
            self, {"latency": "latency_ms", "size": "size_bytes", "memory": "memory_bytes"}.get(name, name)
        )
        return found


@dataclass(frozen=True)
class Figures:
    """One candidate's drop and cost shares with half widths of their 95 % intervals."""

    drop: float
    drop_half: float
    costs: Mapping[str, float]
    halves: Mapping[str, float]

    def point(self, costs: tuple[Cost, ...]) -> Point:
        """Return it as a point (drop, costs…)."""
        return Point(
            (self.drop, *(self.costs[name] for name in costs)),
            (self.drop_half, *(self.halves.get(name, 0.0) for name in costs)),
        )


def figures_of(report: CandidateReport, study: Study, bitops_ratio: float | None) -> Figures:
    """Return a candidate's figures.

    Raises:
        JobError: something that the study compares was not measured, or is not a number.
    """
    if report.difference is None or report.metric is None:
        raise JobError("the metric was not measured", action="Name a test split in the DATA.yaml.")
    low, high = report.difference.ci95
    higher = report.metric.higher_is_better
    drop = -report.difference.value if higher else report.difference.value
    costs: dict[str, float] = {
        "size": report.candidate.size_bytes / max(report.model.size_bytes, 1),
        "macs": report.candidate.macs / max(report.model.macs, 1),
        "params": report.candidate.params / max(report.model.params, 1),
    }
    halves: dict[str, float] = {}
    if bitops_ratio is not None:
        costs["bitops"] = bitops_ratio
    if report.latency is not None and report.latency_report is not None:
        ratio = report.latency.ratio_to_first
        costs["latency"], halves["latency"] = ratio.median, (ratio.ci95[1] - ratio.ci95[0]) / 2
        first = report.latency_report.models[0].peak_memory_bytes
        own = report.latency.peak_memory_bytes
        if first and own:
            costs["memory"] = own / first
    for name in study.costs:
        if name not in costs:
            raise JobError(f"{name} was not measured", where="objectives")
    if not all(math.isfinite(value) for value in (drop, low, high, *costs.values(), *halves.values())):
        raise JobError("a figure of the candidate is not a number", found=f"a drop of {drop} and costs of {costs}")
    return Figures(drop, (high - low) / 2, costs, halves)


def reference_of(study: Study, original: Original) -> tuple[float, ...]:
    """Return the worst drop and cost shares that count: the study's, narrowed by its budgets."""
    metric = original.metric
    worst = study.reference.get("metric")
    if metric is None:
        drop = 1.0
    elif worst is not None:
        drop = metric.value - worst if metric.higher_is_better else worst - metric.value
    elif metric_named(metric.metric).against == "reference":
        drop = max(abs(metric.value), 1e-9)  # likeness to the original is at its best, and may be lost wholly
    else:
        drop = _DROP_OF_INTEREST if is_share(metric.metric) else _DROP_OF_INTEREST * max(abs(metric.value), 1e-9)
    found = [drop, *(study.reference.get(name, _WORST.get(name, 1.0)) for name in study.costs)]
    limits = limits_of(study.budgets, original)
    if "metric" in limits:
        found[0] = min(found[0], max(limits["metric"], 1e-9)) if worst is None else found[0]
    for place, name in enumerate(study.costs, 1):
        if name in limits and name not in study.reference:
            found[place] = min(found[place], limits[name])
    return tuple(found)


def limits_of(budgets: Budgets, original: Original) -> dict[str, float]:
    """Return the narrowest limit by objective: "metric" as a drop, costs as shares of the original's.

    Raises:
        JobError: a budget in units of something that is not known of the original.
    """
    found: dict[str, float] = {}
    for name, value in budgets.limits().items():
        if name == "metric_drop":
            found["metric"] = value
            continue
        objective = name.removesuffix("_ratio") if name.endswith("_ratio") else _LONE_RATIOS.get(name, name)
        share = value
        if not name.endswith("_ratio"):
            whole = original.cost(objective)
            if whole is None:
                raise JobError(f"the original's {objective} is not known, so that {name} can't be checked")
            share = value / whole
        found[objective] = min(found.get(objective, math.inf), share)
    return found


def limit_words(name: str, share: float, budgets: Budgets, original: Original) -> str:
    """Return a share of a cost in the unit that its narrowest budget was given in."""
    whole = original.cost(name)
    lone = next((key for key, objective in _LONE_RATIOS.items() if objective == name), name)
    given = budgets.limits()
    if whole is None or lone not in given or given[lone] / whole > given.get(f"{name}_ratio", math.inf):
        return budget_words(f"{name}_ratio", share)
    return budget_words(lone, share * whole)


def beyond(figures: Figures, limits: Mapping[str, float]) -> tuple[str, ...]:
    """Return the names of the limits that a candidate does not keep."""
    found = []
    for name, limit in limits.items():
        value = figures.drop if name == "metric" else figures.costs.get(name, 0.0)
        if value > limit * (1 + 1e-9) + 1e-12:
            found.append(name)
    return tuple(found)


def excess(figures: Figures, limits: Mapping[str, float], reference: tuple[float, ...]) -> float:
    """Return how far a candidate misses its limits, each as a share of its limit, added up; 0 within all."""
    total = 0.0
    for name, limit in limits.items():
        value = figures.drop if name == "metric" else figures.costs.get(name, 0.0)
        scale = max(limit, reference[0] * 0.05 if name == "metric" else 1e-6)
        total += max(0.0, value - limit) / scale
    return total


def cheapest(values: Mapping[int, Figures], costs: tuple[Cost, ...], limits: Mapping[str, float]) -> int | None:
    """Return the key of the candidate within the limits with the least cost (of the first objective); None if none.

    Without a limit of the metric: the one that wins most, weighing shares of cost against ten-fold drops.
    """
    within = {key: figures for key, figures in values.items() if not beyond(figures, limits)}
    if not within:
        return None
    if "metric" in limits:
        return min(within, key=lambda key: (within[key].costs[costs[0]], within[key].drop))
    if limits:
        return min(within, key=lambda key: (within[key].drop, within[key].costs[costs[0]]))
    return min(within, key=lambda key: within[key].costs[costs[0]] + 10 * max(within[key].drop, 0.0))


def bounded(values: Values, reference: Values) -> bool:
    """Whether a point lies within the reference everywhere."""
    return all(value < bound for value, bound in zip(values, reference, strict=True))
