"""Tables of sensitivities, interactions and estimates, as the command line prints them."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.cli.console import format_seconds, table
from workbench.cli.formats import metric
from workbench.domain.measurements import Interval, is_share
from workbench.domain.reports import SweepReport
from workbench.domain.sensitivity_reports import ESTIMATORS, EstimateReport, InteractionsReport


def sweep(report: SweepReport) -> str:
    """Return sensitivities, one row a layer, one column a value."""
    values = list(dict.fromkeys(point.value for point in report.points))
    by_layer: dict[str, dict[float | str, str]] = {}
    for point in (*report.points, *report.everything):
        text = _drop(point.drop, point.ci95, report.metric)
        if point.expected is not None and point.samples < report.baseline.samples:
            text = f"{text}, likely {100 * point.expected:.2f}" if is_share(report.metric) else text
        by_layer.setdefault("all layers" if point.layer == "*" else point.layer, {})[point.value] = text
    rows = [[name, *[points.get(value, "-") for value in values]] for name, points in by_layer.items()]
    unit = "points" if is_share(report.metric) else report.metric
    what = "all layers but one set: " if report.everything else ""
    lines = [
        f"{report.method}, {report.knob}: {what}drop of {report.metric} in {unit} against {metric(report.baseline)}",
        table(["layer", *[f"{value}" for value in values]], rows, right=range(1, len(values) + 1)),
        f"{_samples(report)}; {report.evaluations} evaluations in {format_seconds(report.seconds)}",
    ]
    lines.extend(f"skipped {layer}: {reason}" for layer, reason in report.skipped.items())
    return "\n".join(lines)


def interactions(report: InteractionsReport) -> str:
    """Return what pairs lose beyond their layers alone, the largest first."""
    alone = {point.layer: _drop(point.drop, point.ci95, report.metric) for point in report.points}
    rows = [
        [
            *pair.layers,
            *(alone.get(layer, "-") for layer in pair.layers),
            _drop(pair.drop, pair.ci95, report.metric),
            _drop(pair.interaction, pair.interaction_ci95, report.metric),
        ]
        for pair in sorted(report.pairs, key=lambda pair: -abs(pair.interaction))
    ]
    unit = "points" if is_share(report.metric) else report.metric
    lines = [
        f"{report.method}, {report.knob} {report.value}: drop of {report.metric} in {unit} against "
        f"{metric(report.baseline)}",
        table(["layer", "and", "alone", "alone", "together", "beyond both"], rows, right=range(2, 6)),
        f"{report.evaluations} evaluations in {format_seconds(report.seconds)}",
    ]
    return "\n".join([*lines, *_skipped(report.skipped)])


def estimate(report: EstimateReport) -> str:
    """Return estimates, one row a layer, one column a value, and how far they can be trusted."""
    values = list(dict.fromkeys(point.value for point in report.points))
    by_layer: dict[str, dict[float | str, str]] = {}
    for point in report.points:
        by_layer.setdefault(point.layer, {})[point.value] = f"{point.divergence:.2e}"
    rows = [[name, *[points.get(value, "-") for value in values]] for name, points in by_layer.items()]
    trust = "not compared with measured drops yet"
    if report.rank_correlation is not None:
        trust = f"rank correlation with {report.compared} measured drops {report.rank_correlation:.2f}"
    lines = [
        f"{report.method}, {report.knob}: ESTIMATE by {report.estimator}, {ESTIMATORS[report.estimator]} "
        f"({report.samples} samples); {trust}",
        table(["layer", *[f"{value}" for value in values]], rows, right=range(1, len(values) + 1)),
        f"estimated in {format_seconds(report.seconds)}",
    ]
    return "\n".join([*lines, *_skipped(report.skipped)])


def _drop(drop: float, ci95: Interval, name: str) -> str:
    half = (ci95[1] - ci95[0]) / 2
    return f"{100 * drop:.2f} ±{100 * half:.2f}" if is_share(name) else f"{drop:.4g} ±{half:.2g}"


def _samples(report: SweepReport) -> str:
    counts = sorted({point.samples for point in report.points})
    if not counts:
        return "no points"
    few = "" if counts[-1] == counts[0] else f"{counts[0]} to "
    return f"{few}{counts[-1]} samples a point"


def _skipped(skipped: Mapping[str, str]) -> list[str]:
    return [f"skipped {layer}: {reason}" for layer, reason in skipped.items()]
