"""What the Pareto plot draws, resolved without Qt: marks, intervals, the front's step line, ghosts and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.domain.measurements import Interval
from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import Axis, CandidateRow, CandidateTable
from workbench.ui.models.pareto_front import step_line

Kind = Literal["original", "front", "beaten", "stale", "ghost"]

KIND_TITLES: dict[Kind, str] = {
    "original": "original",
    "front": "on the front",
    "beaten": "beaten",
    "stale": "outdated",
    "ghost": "running",
}


@dataclass(frozen=True)
class Mark:
    """One measured point of a row, in the units of the axes."""

    row: CandidateRow
    kind: Kind
    x: float
    y: float
    x_interval: Interval | None
    y_interval: Interval | None

    @property
    def id(self) -> str:
        """The candidate's id; "" is the original."""
        return self.row.id

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.row.name

    @property
    def star(self) -> bool:
        """Whether the user starred it."""
        return self.row.star

    @property
    def hover(self) -> str:
        """The row in words."""
        return hover_text(self.row)


@dataclass(frozen=True)
class Ghost:
    """A compression that is under way; where it lands is not known before it is measured."""

    job: str
    title: str
    fraction: float
    hover: str


@dataclass(frozen=True)
class Scene:
    """One frozen picture; marks in drawing order, the most important last."""

    x_label: str = ""
    y_label: str = ""
    marks: tuple[Mark, ...] = ()
    step: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    ghosts: tuple[Ghost, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds that are drawn, in legend order."""
        present = {mark.kind for mark in self.marks} | ({"ghost"} if self.ghosts else set())
        return tuple(kind for kind in KIND_TITLES if kind in present)


@dataclass(frozen=True)
class Budget:
    """Bounds on both axes, in their units; None where there is none."""

    cost: float | None = None
    score: float | None = None


def resolve_scene(table: CandidateTable, axis: Axis, ghosts: Sequence[Ghost] = ()) -> Scene:
    """Return what to draw of a table against an axis; rows without a value on it are left out."""
    best = table.on_front(axis.key)
    order: tuple[Kind, ...] = ("stale", "beaten", "front", "original")
    marks = [mark for row in table.rows if (mark := _mark(row, table, axis, row.id in best)) is not None]
    marks.sort(key=lambda mark: order.index(mark.kind))
    sign = 1.0 if table.higher_is_better else -1.0
    xs, ys = step_line([(mark.x, sign * mark.y) for mark in marks if mark.id in best])
    samples = {row.metric.samples for row in table.rows if row.metric is not None and row.metric.metric == table.metric}
    return Scene(
        x_label=axis.label(table),
        y_label=_metric_label(table, samples),
        marks=tuple(marks),
        step=(xs, tuple(sign * y for y in ys)),
        ghosts=tuple(ghosts),
    )


def hover_text(row: CandidateRow) -> str:
    """Return a row in words, a line per measure."""
    lines = [row.name]
    if row.stale:
        lines.append(row.stale)
    if row.metric is not None:
        taken = numbers.plural(row.metric.samples, "sample")
        lines.append(f"{numbers.metric_title(row.metric.metric)} {numbers.metric_text(row.metric)}, {taken}")
        if row.difference is not None:
            change = numbers.difference_text(row.difference, row.metric.metric)
            lines.append(f"Change on the same samples {change}")
    if row.ratio is not None and not row.is_baseline:
        lines.append(f"Latency ratio {numbers.ratio_text(row.ratio)} ({numbers.speedup_text(row.ratio)})")
    if row.latency is not None:
        how = f"{numbers.plural(row.threads, 'thread')}, batch {row.batch}"
        lines.append(f"Latency {numbers.latency_text(row.latency)}, {how}")
    lines.append(
        f"{numbers.size_text(row.size_bytes)}, {numbers.count_text(row.macs, 'MACs')}, "
        f"{numbers.count_text(row.params, 'parameters')}"
    )
    lines.extend(
        text for text in (row.steps, f"Not a quiet measurement: {row.noise}" if row.noise else "", row.note) if text
    )
    return "\n".join(lines)


def within(table: CandidateTable, axis: Axis, budget: Budget) -> tuple[CandidateRow, ...]:
    """Return the candidates within both bounds, cheapest first."""
    placed = [(table.point(row, axis.key), row) for row in table.rows if not row.is_baseline and not row.stale]
    kept = [(point, row) for point, row in placed if point is not None and _fits(point, table, budget)]
    return tuple(row for _, row in sorted(kept, key=lambda pair: pair[0]))


def budget_text(table: CandidateTable, axis: Axis, budget: Budget) -> str:
    """Return what a budget leaves, and, where it leaves nothing, which bound binds."""
    count = sum(1 for row in table.rows if not row.is_baseline and not row.stale)
    kept = within(table, axis, budget)
    what = axis.title if axis.key == "macs" else axis.title.lower()
    metric = numbers.metric_title(table.metric)
    bounds = []
    if budget.score is not None:
        sign = "≥" if table.higher_is_better else "≤"
        least = f"{metric} {sign} {numbers.fixed(budget.score, 2)}"
        bounds.append(_with_unit(least, numbers.metric_unit(table.metric)))
    if budget.cost is not None:
        bounds.append(_with_unit(f"{what} ≤ {budget.cost:.3g}", axis.unit))
    text = " and ".join(bounds)
    if kept:
        return f"{text}: {len(kept)} of {numbers.plural(count, 'candidate')}, least {what}: {kept[0].name}"
    by_score = len(within(table, axis, Budget(score=budget.score)))
    by_cost = len(within(table, axis, Budget(cost=budget.cost)))
    return f"{text}: none. {metric} alone leaves {by_score}, {what} alone leaves {by_cost}"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


def _fits(point: tuple[float, float], table: CandidateTable, budget: Budget) -> bool:
    cost, score = point
    sign = 1.0 if table.higher_is_better else -1.0
    return (budget.cost is None or cost <= budget.cost) and (
        budget.score is None or sign * score >= sign * budget.score
    )


def _mark(row: CandidateRow, table: CandidateTable, axis: Axis, on_front: bool) -> Mark | None:
    point = table.point(row, axis.key)
    if point is None or row.metric is None:
        return None
    factor = numbers.metric_factor(table.metric)
    kind: Kind = "original" if row.is_baseline else "stale" if row.stale else "front" if on_front else "beaten"
    return Mark(
        row=row,
        kind=kind,
        x=point[0],
        y=point[1],
        x_interval=_real(row.cost_interval(axis.key)),
        y_interval=_real((row.metric.ci95[0] * factor, row.metric.ci95[1] * factor)),
    )


def _real(interval: Interval | None) -> Interval | None:
    """Drop intervals without length or without bound: there is nothing to draw."""
    return interval if numbers.half_width(interval) else None


def _metric_label(table: CandidateTable, samples: set[int]) -> str:
    unit = numbers.metric_unit(table.metric)
    notes = [] if table.higher_is_better else ["lower is better"]
    if len(samples) == 1:
        notes.append(numbers.plural(next(iter(samples)), "sample"))
    label = numbers.metric_title(table.metric) + (f", {unit}" if unit else "")
    return f"{label} ({', '.join(notes)})" if notes else label
