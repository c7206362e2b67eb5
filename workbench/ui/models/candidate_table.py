"""Candidates as rows and points: one frozen snapshot that Pareto plot, table, comparison and exports share."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.domain.dimensions import free_dimensions
from workbench.domain.measurements import Interval, Latency, MetricMeasurement, PairedDifference, Ratio
from workbench.domain.reports import InspectReport
from workbench.methods.search.front import Point, on_front
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words

BASELINE = ""
"""Id of the original model's row."""

Cost = Literal["ratio", "latency", "size", "macs", "params"]


@dataclass(frozen=True)
class Axis:
    """A measure that candidates are compared on; lower is better."""

    key: Cost
    title: str
    unit: str

    def label(self, table: CandidateTable) -> str:
        """Return the axis label: what, in which unit, and how it was taken."""
        how = f" (batch {table.batch}, {numbers.plural(table.threads, 'thread')})"
        if self.key == "ratio":
            return f"Latency, ratio to the original{how}"
        if self.key == "latency":
            return f"Median latency, ms{how}"
        return f"{self.title}, {self.unit}" if self.unit else self.title


AXES: tuple[Axis, ...] = (
    Axis("ratio", "Latency ratio", ""),
    Axis("latency", "Latency", "ms"),
    Axis("size", "File size", "MB"),
    Axis("macs", "MACs", "M"),
    Axis("params", "Parameters", "k"),
)
_SCALE = {"ratio": 1.0, "latency": 1.0, "size": 1e6, "macs": 1e6, "params": 1e3}


@dataclass(frozen=True)
class CandidateRow:
    """One candidate, or the original (id ""), with everything the table shows.

    Attributes:
        threads, batch: Of its latency measurement; 0 where there is none.
        noise: What disturbed the latency measurement; "" for a quiet machine.
        stale: Why its figures no longer belong to this project's model or data, or that it was deleted; "" when they
            do.
    """

    id: str
    name: str
    metric: MetricMeasurement | None
    difference: PairedDifference | None
    latency: Latency | None
    ratio: Ratio | None
    size_bytes: int
    macs: int
    params: int
    threads: int = 0
    batch: int = 0
    steps: str = ""
    noise: str = ""
    star: bool = False
    note: str = ""
    stale: str = ""
    created: str = ""
    packed_bytes: int | None = None
    deleted: bool = False

    @property
    def is_baseline(self) -> bool:
        """Whether this is the original model."""
        return self.id == BASELINE

    def cost(self, axis: Cost) -> float | None:
        """Return the value on an axis, in the axis' unit; None if it was not measured."""
        raw: dict[Cost, float | None] = {
            "ratio": self.ratio.median if self.ratio else None,
            "latency": self.latency.median if self.latency else None,
            "size": self.size_bytes,
            "macs": self.macs,
            "params": self.params,
        }
        value = raw[axis]
        return None if value is None else value / _SCALE[axis]

    def cost_interval(self, axis: Cost) -> Interval | None:
        """Return the 95 % interval on an axis; None for exact figures."""
        if axis == "ratio":
            return self.ratio.ci95 if self.ratio else None
        return self.latency.ci95 if axis == "latency" and self.latency else None


@dataclass(frozen=True)
class CandidateTable:
    """All rows, the original first.

    Attributes:
        metric: Name of the metric on the y axis.
        higher_is_better: Its direction.
        threads, batch: Of the latency setting of this project.
    """

    rows: tuple[CandidateRow, ...] = ()
    metric: str = "top1"
    higher_is_better: bool = True
    threads: int = 1
    batch: int = 1

    def row(self, id: str) -> CandidateRow | None:
        """Return a row by id, or None."""
        return next((row for row in self.rows if row.id == id), None)

    @property
    def baseline(self) -> CandidateRow | None:
        """The original's row, or None."""
        return self.row(BASELINE)

    def point(self, row: CandidateRow, axis: Cost) -> tuple[float, float] | None:
        """Return (cost, metric as shown) of a row; None if one of the two is missing or it is another metric."""
        cost = row.cost(axis)
        if cost is None or row.metric is None or row.metric.metric != self.metric:
            return None
        return cost, row.metric.value * numbers.metric_factor(self.metric)

    def on_front(self, axis: Cost) -> frozenset[str]:
        """Return the ids of the rows that nothing else beats beyond the intervals; stale rows take no part."""
        rows = [(row, self.point(row, axis)) for row in self.rows if not row.stale]
        placed = [(row, point) for row, point in rows if point is not None]
        sign = -1.0 if self.higher_is_better else 1.0
        best = on_front([Point((cost, sign * score), self._halves(row, axis)) for row, (cost, score) in placed])
        return frozenset(row.id for (row, _), kept in zip(placed, best, strict=True) if kept)

    def _halves(self, row: CandidateRow, axis: Cost) -> tuple[float, float]:
        """Return half the widths of the intervals of cost and metric, the latter paired with the original's."""
        cost = row.cost_interval(axis)
        metric = None if row.difference is None else row.difference.ci95
        factor = numbers.metric_factor(self.metric)
        return (
            0.0 if cost is None else (cost[1] - cost[0]) / 2,
            0.0 if metric is None else factor * (metric[1] - metric[0]) / 2,
        )


def resolve_candidates(state: ProjectState, *, deleted: bool = False) -> CandidateTable:
    """Return the snapshot of a document: the original as far as it is measured, then all candidates.

    Args:
        state: The document.
        deleted: Show deleted candidates too; they count as outdated.
    """
    shown = [candidate for candidate in state.candidates if deleted or not candidate.deleted]
    baseline = state.baseline
    latest = next((c.report.baseline_metric for c in reversed(shown) if c.report.baseline_metric), None)
    metric = baseline or latest
    name = metric.metric if metric else state.data.metric if state.data else "top1"
    rows = [_candidate(candidate, state, name) for candidate in shown]
    if state.inspect is not None:
        rows.insert(0, _baseline(state, metric, shown))
    return CandidateTable(
        rows=tuple(rows),
        metric=name,
        higher_is_better=metric.higher_is_better if metric else True,
        threads=state.latency.threads,
        batch=state.latency.batch,
    )


def steps_text(candidate: Candidate) -> str:
    """Return the enabled steps, e.g. "prune.l1, train.finetune"."""
    return ", ".join(step.method for step in candidate.recipe.steps if step.enabled) or "export only"


def to_csv(table: CandidateTable, axis: Cost = "ratio") -> str:
    """Return all rows as CSV: unrounded, units in the headings."""
    out = io.StringIO()
    records = to_records(table, axis)
    if records:
        writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return out.getvalue()


def to_json(table: CandidateTable, axis: Cost = "ratio") -> str:
    """Return all rows as JSON."""
    return json.dumps({"metric": table.metric, "candidates": to_records(table, axis)}, indent=2) + "\n"


def to_records(table: CandidateTable, axis: Cost = "ratio", ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return rows as flat mappings with unrounded values; `ids` picks some."""
    best = table.on_front(axis)
    wanted = None if ids is None else set(ids)
    return [_record(row, table, row.id in best) for row in table.rows if wanted is None or row.id in wanted]


def _record(row: CandidateRow, table: CandidateTable, on_front: bool) -> dict[str, Any]:
    metric, difference, latency, ratio = row.metric, row.difference, row.latency, row.ratio
    return {
        "name": row.name,
        "metric": table.metric if metric is None else metric.metric,
        "value": metric and metric.value,
        "value_ci95_low": metric and metric.ci95[0],
        "value_ci95_high": metric and metric.ci95[1],
        "samples": metric and metric.samples,
        "difference": difference and difference.value,
        "difference_ci95_low": difference and difference.ci95[0],
        "difference_ci95_high": difference and difference.ci95[1],
        "latency_ms": latency and latency.median,
        "latency_ratio": ratio and ratio.median,
        "latency_ratio_ci95_low": ratio and ratio.ci95[0],
        "latency_ratio_ci95_high": ratio and ratio.ci95[1],
        "threads": row.threads,
        "batch": row.batch,
        "size_bytes": row.size_bytes,
        "packed_bytes": row.packed_bytes,
        "macs": row.macs,
        "params": row.params,
        "steps": row.steps,
        "noise": row.noise,
        "on_front": on_front,
        "note": row.note,
    }


def _baseline(state: ProjectState, metric: MetricMeasurement | None, candidates: Sequence[Candidate]) -> CandidateRow:
    assert state.inspect is not None
    summary = state.inspect.model
    taken = (
        c.report.latency_report for c in reversed(candidates) if not _at_other_sizes(c.report.model.macs, state.inspect)
    )
    here = [entry for entry in (state.baseline_latency, *taken) if entry and entry.device.name == state.latency.device]
    report = here[0] if here else None
    model = report.models[0] if report and report.models else None
    return CandidateRow(
        id=BASELINE,
        name="Original",
        metric=metric,
        difference=None,
        latency=model.latency_ms if model else None,
        # Known without a measurement: the original's time relative to itself.
        ratio=Ratio(median=1.0, ci95=(1.0, 1.0)),
        size_bytes=summary.size_bytes,
        macs=summary.macs,
        params=summary.params,
        threads=report.device.threads if report and model else 0,
        batch=model.batch if model else 0,
        noise=_noise(report.noise.quiet, report.noise.reason) if report and model else "",
    )


def _candidate(candidate: Candidate, state: ProjectState, metric: str) -> CandidateRow:
    report = candidate.report
    latency = report.latency
    device = report.latency_report.device if report.latency_report else None
    noise = report.latency_report.noise if report.latency_report else None
    stale = ""
    if candidate.deleted:
        stale = "Deleted"
    elif state.model is not None and report.model.sha256 != state.model.sha256:
        stale = "Made from another model file"
    elif report.metric is not None and report.metric.metric != metric:
        stale = f"Measured with {numbers.metric_title(report.metric.metric)}"
    elif device and device.name != state.latency.device:
        stale = f"Latency was measured{device_words(device.name) or ' on this computer'}"
    elif (latency and latency.batch != state.latency.batch) or (device and device.threads != state.latency.threads):
        stale = "Latency was measured with other threads or batch"
    elif state.inspect is not None and _at_other_sizes(report.model.macs, state.inspect):
        stale = "Measured at other sizes of the model's dimensions"
    return CandidateRow(
        id=candidate.id,
        name=candidate.name,
        metric=report.metric,
        difference=report.difference,
        latency=latency.latency_ms if latency else None,
        ratio=latency.ratio_to_first if latency else None,
        size_bytes=report.candidate.size_bytes,
        macs=report.candidate.macs,
        params=report.candidate.params,
        threads=device.threads if device else 0,
        batch=latency.batch if latency else 0,
        steps=steps_text(candidate),
        noise=_noise(noise.quiet, noise.reason) if noise else "",
        star=candidate.star,
        note=candidate.note,
        stale=stale,
        created=candidate.created,
        packed_bytes=report.candidate.packed_bytes,
        deleted=candidate.deleted,
    )


def _at_other_sizes(macs: int, now: InspectReport) -> bool:
    """Whether the original had other costs when a candidate was measured, which only its open sizes can change."""
    return macs != now.model.macs and any(not entry.batch for entry in free_dimensions(now.inputs))


def _noise(quiet: bool, reason: str) -> str:
    return "" if quiet else reason or "the machine was busy while measuring"
