"""What was counted of models' throughput, as rows and in words, before a dialog shows it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from workbench.domain.throughput import ThroughputReport
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words
from workbench.ui.models.measured_files import candidate_of, name_of

HEADINGS = ("Model", "Samples/s", "To the original", "Windows")
TOOLTIPS = (
    "The original, and the candidates that were measured in turn with it",
    "All streams together, with the 95 % interval",
    "Above 1 gets more samples through; the median of the rounds' own ratios with its 95 % interval",
    "How many stretches of time of a quarter of a second, or four runs, the figures are taken over",
)


@dataclass(frozen=True)
class ThroughputRow:
    """One model; `candidate` is its id, None for the original or a candidate that is gone."""

    cells: tuple[str, ...]
    candidate: str | None


def throughput_rows(state: ProjectState) -> tuple[ThroughputRow, ...]:
    """Return a row for each model of the last measurement."""
    report = state.throughput
    if report is None:
        return ()
    rows = []
    for place, entry in enumerate(report.models):
        candidate = None if place == 0 else candidate_of(state, entry.path)
        rate, ratio = entry.samples_per_second, entry.ratio_to_first
        cells = (
            name_of(state, place, entry.path),
            numbers.with_interval(rate.median, rate.ci95),
            numbers.with_interval(ratio.median, ratio.ci95) if place else numbers.NOTHING,
            numbers.exact_text(entry.windows),
        )
        rows.append(ThroughputRow(cells, None if candidate is None else candidate.id))
    return tuple(rows)


def in_words(report: ThroughputReport) -> str:
    """Return how it was measured."""
    streams = numbers.plural(report.streams, "stream")
    threads = numbers.plural(report.device.threads, "thread")
    return f"{streams} of {threads}, batch {report.batch}{device_words(report.device.name)}, {report.device.runtime}."


def throughput_csv(state: ProjectState) -> str:
    """Return the last measurement as CSV with exact numbers; the heading alone where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["model", "samples_per_second", "ci95_low", "ci95_high", "ratio", "ratio_low", "ratio_high", "windows"]
    writer.writerow([*head, "streams", "threads", "batch"])
    report = state.throughput
    if report is not None:
        for row, entry in zip(throughput_rows(state), report.models, strict=True):
            rate, ratio = entry.samples_per_second, entry.ratio_to_first
            figures = [rate.median, *rate.ci95, ratio.median, *ratio.ci95, entry.windows]
            writer.writerow([row.cells[0], *figures, report.streams, report.device.threads, report.batch])
    return out.getvalue()
