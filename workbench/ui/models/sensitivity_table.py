"""Estimates, pairs of layers and all layers but one as text: what was asked, a line that sums it up, and the rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from workbench.domain.knobs import Setting
from workbench.domain.reports import SweepReport
from workbench.domain.sensitivity_reports import EstimateReport, Estimator, InteractionsReport
from workbench.ui.models import numbers

Report = EstimateReport | InteractionsReport | SweepReport


class Kind(Enum):
    """What can be asked beside the plain sweep."""

    ESTIMATE = "Estimate"
    PAIRS = "Pairs of layers"
    ALL_BUT = "All layers but one"


EXPLAINED = {
    Kind.ESTIMATE: "Within seconds: how far the outputs go from the original's when one layer takes a value. It ranks "
    "layers; it is no drop of the metric.",
    Kind.PAIRS: "What two layers lose together beyond what each loses alone, at one value. Far from zero, single "
    "sensitivities mis-rank plans.",
    Kind.ALL_BUT: "What the metric loses when all layers but one take a value: the smaller the loss, the more it is "
    "worth to spare that layer.",
}


ESTIMATOR_TITLES: dict[Estimator, str] = {
    "divergence": "Divergence of the outputs",
    "sqnr": "Noise of the outputs (SQNR)",
    "taylor": "Slope of the loss (Taylor)",
    "fisher": "Squared slope (Fisher)",
    "hessian": "Trace of the Hessian",
}


@dataclass(frozen=True)
class SensitivityRow:
    """One row: its cells, the layers that it stands for, and whether its last figure is certainly not zero."""

    cells: tuple[str, ...]
    layers: tuple[str, ...]
    sure: bool = False


@dataclass(frozen=True)
class SensitivityTable:
    """Headings, rows and the line above them; `texts` columns at the left are words, the rest numbers."""

    headings: tuple[str, ...]
    rows: tuple[SensitivityRow, ...]
    summary: str
    texts: int = 1


def table_of(report: Report, labels: Mapping[str, str]) -> SensitivityTable:
    """Return the table of a report; `labels` are what other tables call the layers."""
    if isinstance(report, EstimateReport):
        return _estimate(report, labels)
    return _pairs(report, labels) if isinstance(report, InteractionsReport) else _all_but(report, labels)


def csv_of(report: Report) -> str:
    """Return all figures, unrounded, as comma-separated values."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if isinstance(report, EstimateReport):
        writer.writerow(["layer", "value", report.estimator, "samples"])
        writer.writerows([point.layer, point.value, point.divergence, report.samples] for point in report.points)
    elif isinstance(report, InteractionsReport):
        figures = ("drop", "ci95_low", "ci95_high", "interaction", "interaction_ci95_low", "interaction_ci95_high")
        writer.writerow(["first", "second", "value", *figures, "samples"])
        writer.writerows(
            [*pair.layers, report.value, pair.drop, *pair.ci95, pair.interaction, *pair.interaction_ci95, pair.samples]
            for pair in report.pairs
        )
    else:
        writer.writerow(["spared_layer", "value", "drop", "ci95_low", "ci95_high", "samples"])
        writer.writerows(
            [point.layer, point.value, point.drop, *point.ci95, point.samples]
            for point in (*report.everything, *report.points)
        )
    return out.getvalue()


def _estimate(report: EstimateReport, labels: Mapping[str, str]) -> SensitivityTable:
    values = list(dict.fromkeys(point.value for point in report.points))
    found: dict[str, dict[Setting, float]] = {}
    for point in report.points:
        found.setdefault(point.layer, {})[point.value] = point.divergence
    trust = "Nothing was measured yet to compare it with."
    if report.rank_correlation is not None:
        trust = (
            f"Rank correlation with {numbers.plural(report.compared, 'measured drop')}: "
            f"{numbers.fixed(report.rank_correlation, 2)}."
        )
    rows = tuple(
        SensitivityRow(
            (labels.get(layer, layer), *(_small(by_value.get(value)) for value in values)),
            (layer,),
        )
        for layer, by_value in found.items()
    )
    by = "" if report.estimator == "divergence" else f" by {ESTIMATOR_TITLES[report.estimator].lower()}"
    summary = f"Estimate{by} from {numbers.plural(report.samples, 'sample')}, not measured. {trust}"
    return SensitivityTable(("Layer", *map(numbers.setting_text, values)), rows, summary)


def _pairs(report: InteractionsReport, labels: Mapping[str, str]) -> SensitivityTable:
    alone = {point.layer: numbers.drop_text(point.drop, point.ci95, report.metric) for point in report.points}
    rows = []
    for pair in sorted(report.pairs, key=lambda pair: -abs(pair.interaction)):
        low, high = pair.interaction_ci95
        cells = (
            *(labels.get(layer, layer) for layer in pair.layers),
            *(alone.get(layer, numbers.NOTHING) for layer in pair.layers),
            numbers.drop_text(pair.drop, pair.ci95, report.metric),
            numbers.drop_text(pair.interaction, pair.interaction_ci95, report.metric),
        )
        rows.append(SensitivityRow(cells, pair.layers, sure=not low <= 0 <= high))
    sure = sum(row.sure for row in rows)
    summary = (
        f"{numbers.plural(len(rows), 'pair')} at {numbers.setting_text(report.value)}; "
        f"{sure or 'none'} of them {'interacts' if sure == 1 else 'interact'} beyond noise."
    )
    headings = ("First layer", "Second layer", "First alone", "Second alone", "Together", "Beyond both")
    return SensitivityTable(headings, tuple(rows), summary, texts=2)


def _all_but(report: SweepReport, labels: Mapping[str, str]) -> SensitivityTable:
    values = list(dict.fromkeys(point.value for point in report.points))
    found: dict[str, dict[Setting, str]] = {}
    for point in report.points:
        text = numbers.drop_text(point.drop, point.ci95, report.metric)
        found.setdefault(point.layer, {})[point.value] = text
    rows = tuple(
        SensitivityRow(
            (labels.get(layer, layer), *(by_value.get(value, numbers.NOTHING) for value in values)),
            (layer,),
        )
        for layer, by_value in found.items()
    )
    whole = ", ".join(
        f"{numbers.setting_text(point.value)}: {numbers.drop_text(point.drop, point.ci95, report.metric)}"
        for point in report.everything
    )
    return SensitivityTable(
        ("Spared layer", *map(numbers.setting_text, values)), rows, f"All layers together, {whole}."
    )


def _small(value: float | None) -> str:
    return numbers.NOTHING if value is None else f"{value:.2e}".replace("-", numbers.MINUS)
