"""Candidates as rows and points: one frozen snapshot that Pareto plot, table, comparison and exports share."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.domain.dimensions import free_dimensions
from workbench.domain.measurements import Interval, Latency, MetricMeasurement, PairedDifference, Ratio
from workbench.domain.reports import InspectReport
from workbench.methods.search.front import Point, on_front
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words
from workbench.ui.models.measures import AXES as AXES
from workbench.ui.models.measures import MEASURES, SCALE, Key
from workbench.ui.models.measures import Axis as Axis

BASELINE = ""
"""Id of the original model's row."""

Cost = Key


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
    tags: tuple[str, ...] = ()
    memory_bytes: int | None = None
    bit_operations: float | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether this is the original model."""
        return self.id == BASELINE

    def value(self, key: Key) -> float | None:
        """Return the value of a measure, in the unit that its axis shows; None if it was not measured."""
        value = _READ[key](self)
        return None if value is None else value / SCALE.get(key, 1.0)

    @property
    def _factor(self) -> float:
        return 1.0 if self.metric is None else numbers.metric_factor(self.metric.metric)

    @property
    def _drop(self) -> float | None:
        if self.difference is None:
            return 0.0 if self.is_baseline else None
        return self.difference.value * self._factor

    def interval(self, key: Key) -> Interval | None:
        """Return the 95 % interval of a measure in its axis' unit; None for exact figures."""
        if key in ("metric", "drop"):
            found = self.metric if key == "metric" else self.difference
            factor = 1.0 if self.metric is None else numbers.metric_factor(self.metric.metric)
            return None if found is None else (found.ci95[0] * factor, found.ci95[1] * factor)
        if key == "ratio":
            return self.ratio.ci95 if self.ratio else None
        return self.latency.ci95 if key == "latency" and self.latency else None


_READ: dict[Key, Callable[[CandidateRow], float | None]] = {
    "metric": lambda row: row.metric.value * row._factor if row.metric else None,
    "drop": lambda row: row._drop,
    "ratio": lambda row: row.ratio.median if row.ratio else None,
    "latency": lambda row: row.latency.median if row.latency else None,
    "size": lambda row: row.size_bytes,
    "packed": lambda row: row.packed_bytes if row.packed_bytes is not None else row.size_bytes,
    "macs": lambda row: row.macs,
    "params": lambda row: row.params,
    "memory": lambda row: row.memory_bytes,
    "bitops": lambda row: row.bit_operations,
}


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

    def value(self, row: CandidateRow, key: Key) -> float | None:
        """Return a row's value on a measure; None if there is none, or if it was taken with another metric."""
        if key in ("metric", "drop") and row.metric is not None and row.metric.metric != self.metric:
            return None
        return row.value(key)

    def point(self, row: CandidateRow, axis: Key, score: Key = "metric") -> tuple[float, float] | None:
        """Return a row's values on two measures as shown; None if one of them is missing."""
        x, y = self.value(row, axis), self.value(row, score)
        return None if x is None or y is None else (x, y)

    def on_front(self, axis: Key, score: Key = "metric") -> frozenset[str]:
        """Return the ids of the rows that nothing else beats beyond the intervals; stale rows take no part."""
        rows = [(row, self.point(row, axis, score)) for row in self.rows if not row.stale]
        placed = [(row, point) for row, point in rows if point is not None]
        x_sign, y_sign = self._sign(axis), self._sign(score)
        best = on_front(
            [Point((x_sign * x, y_sign * y), (self._half(row, axis), self._half(row, score))) for row, (x, y) in placed]
        )
        return frozenset(row.id for (row, _), kept in zip(placed, best, strict=True) if kept)

    def measures(self) -> tuple[Axis, ...]:
        """Return the measures that some candidate, or the original, has a figure of."""
        packed = any(row.packed_bytes is not None for row in self.rows)
        return tuple(
            axis
            for axis in MEASURES
            if any(self.value(row, axis.key) is not None for row in self.rows) and (packed or axis.key != "packed")
        )

    def _sign(self, key: Key) -> float:
        return next(axis for axis in MEASURES if axis.key == key).sign(self)

    def _half(self, row: CandidateRow, key: Key) -> float:
        """Return half of the interval that a difference of two candidates is judged by; metrics are paired."""
        interval = row.interval("drop" if key == "metric" else key)
        return 0.0 if interval is None else (interval[1] - interval[0]) / 2


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
        "peak_memory_bytes": row.memory_bytes,
        "bit_operations": row.bit_operations,
        "steps": row.steps,
        "noise": row.noise,
        "on_front": on_front,
        "note": row.note,
        "tags": " ".join(row.tags),
        "star": row.star,
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
        memory_bytes=model.peak_memory_bytes if model else None,
        bit_operations=next(
            (c.report.model.bit_operations for c in reversed(candidates) if c.report.model.bit_operations), None
        ),
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
        tags=candidate.tags,
        memory_bytes=latency.peak_memory_bytes if latency else None,
        bit_operations=report.candidate.bit_operations,
    )


def _at_other_sizes(macs: int, now: InspectReport) -> bool:
    """Whether the original had other costs when a candidate was measured, which only its open sizes can change."""
    return macs != now.model.macs and any(not entry.batch for entry in free_dimensions(now.inputs))


def _noise(quiet: bool, reason: str) -> str:
    return "" if quiet else reason or "the machine was busy while measuring"
