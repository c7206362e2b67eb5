"""Puts a study's finished candidates together: the front, what it covers, the one that suits best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.domain.measurements import LatencyReport, MetricMeasurement
from workbench.domain.reports import ModelSummary
from workbench.domain.search_reports import FailedTrial, Relaxation, SearchCandidate, SearchReport
from workbench.domain.study import Study
from workbench.methods.search.front import hypervolume, on_front
from workbench.methods.search.loop import Entry
from workbench.methods.search.objectives import beyond, cheapest, excess


def search_report(
    study: Study,
    entries: Sequence[Entry],
    failed: Sequence[FailedTrial],
    *,
    model: ModelSummary,
    baseline: MetricMeasurement,
    baseline_latency: LatencyReport | None,
    reference: Sequence[float],
    limits: Mapping[str, float],
    binding: Sequence[Relaxation] = (),
    stopped: str = "",
    seconds: float = 0.0,
    notes: Sequence[str] = (),
) -> SearchReport:
    """Return the report of what is finished by now."""
    points = [entry.figures.point(study.costs) for entry in entries]
    flags = on_front(points)
    candidates = []
    for number, (entry, flag) in enumerate(zip(entries, flags, strict=True), 1):
        report = entry.finished.report
        broken = beyond(entry.figures, limits)
        candidates.append(
            SearchCandidate(
                **{name: getattr(report, name) for name in type(report).model_fields},
                number=number,
                settings=entry.finished.settings,
                costs={name: entry.figures.costs[name] for name in study.costs},
                on_front=flag,
                within_budgets=not broken,
                beyond=broken,
                recipe_path=entry.finished.recipe_path,
                foretold=entry.finished.foretold,
            )
        )
    higher = baseline.higher_is_better
    worst = baseline.value - reference[0] if higher else baseline.value + reference[0]
    return SearchReport(
        objective=study.objectives,
        budgets=study.budgets.limits(),
        reference={"metric": worst, **dict(zip(study.costs, reference[1:], strict=True))},
        model=model,
        baseline=baseline,
        baseline_latency=baseline_latency,
        candidates=tuple(candidates),
        failed=tuple(failed),
        hypervolume=hypervolume([point.values for point in points], tuple(reference)),
        chosen=chosen(study, entries, limits),
        binding=tuple(binding),
        strategy=study.strategy.model_dump(mode="json"),
        stopped=stopped,
        seconds=seconds,
        notes=tuple(notes),
    )


def chosen(study: Study, entries: Sequence[Entry], limits: Mapping[str, float]) -> int | None:
    """Return the number (from 1) of the candidate that suits best, or None if none is within the budgets."""
    return cheapest({number: entry.figures for number, entry in enumerate(entries, 1)}, study.costs, limits)


def closest(entries: Sequence[Entry], limits: Mapping[str, float], reference: tuple[float, ...]) -> int | None:
    """Return the number (from 1) of the candidate that misses the budgets least, or None without candidates."""
    numbered = list(enumerate(entries, 1))
    return min(numbered, key=lambda pair: excess(pair[1].figures, limits, reference))[0] if numbered else None
