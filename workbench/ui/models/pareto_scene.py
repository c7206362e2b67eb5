"""What the Pareto plot draws, resolved without Qt: marks, intervals, the front's step line, ghosts and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.domain.measurements import Interval
from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import Axis, CandidateRow, CandidateTable
from workbench.ui.models.measures import METRIC
from workbench.ui.models.pareto_front import step_line

Kind = Literal["original", "front", "beaten", "stale", "ghost", "foretold"]

KIND_TITLES: dict[Kind, str] = {
    "original": "original",
    "front": "on the front",
    "beaten": "beaten",
    "stale": "outdated",
    "ghost": "running",
    "foretold": "foretold",
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
    """A candidate that is not measured yet: under way, or, without a job, only promising.

    Attributes:
        job: That makes it; "" while none does.
        place: Where it is foretold to land, in the units of the axes; None where nobody knows.
        x_interval, y_interval: Of what is foretold.
    """

    job: str
    title: str
    fraction: float
    hover: str
    place: tuple[float, float] | None = None
    x_interval: Interval | None = None
    y_interval: Interval | None = None

    @property
    def kind(self) -> Kind:
        """How it is drawn."""
        return "ghost" if self.job else "foretold"


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
        present = {mark.kind for mark in self.marks} | {ghost.kind for ghost in self.ghosts}
        return tuple(kind for kind in KIND_TITLES if kind in present)


@dataclass(frozen=True)
class Budget:
    """Bounds on both axes, in their units; None where there is none."""

    cost: float | None = None
    score: float | None = None


def resolve_scene(table: CandidateTable, axis: Axis, ghosts: Sequence[Ghost] = (), score: Axis = METRIC) -> Scene:
    """Return what to draw of a table, `score` against `axis`; rows without a value on one of them are left out."""
    best = table.on_front(axis.key, score.key)
    order: tuple[Kind, ...] = ("stale", "beaten", "front", "original")
    marks = [mark for row in table.rows if (mark := _mark(row, table, axis, score, row.id in best)) is not None]
    marks.sort(key=lambda mark: order.index(mark.kind))
    x_sign, y_sign = axis.sign(table), -score.sign(table)
    xs, ys = step_line([(x_sign * mark.x, y_sign * mark.y) for mark in marks if mark.id in best])
    return Scene(
        x_label=_label(axis, table),
        y_label=_label(score, table),
        marks=tuple(marks),
        step=(tuple(x_sign * x for x in xs), tuple(y_sign * y for y in ys)),
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


def within(table: CandidateTable, axis: Axis, budget: Budget, score: Axis = METRIC) -> tuple[CandidateRow, ...]:
    """Return the candidates within both bounds, those with the least cost first."""
    placed = [
        (table.point(row, axis.key, score.key), row) for row in table.rows if not row.is_baseline and not row.stale
    ]
    kept = [(point, row) for point, row in placed if point is not None and _fits(point, table, axis, score, budget)]
    sign = axis.sign(table)
    return tuple(row for _, row in sorted(kept, key=lambda pair: (sign * pair[0][0], pair[0][1])))


def budget_text(table: CandidateTable, axis: Axis, budget: Budget, score: Axis = METRIC) -> str:
    """Return what a budget leaves, and, where it leaves nothing, which bound binds."""
    count = sum(1 for row in table.rows if not row.is_baseline and not row.stale)
    kept = within(table, axis, budget, score)
    what = axis.inner(table)
    bounds = []
    if budget.score is not None:
        least = f"{score.name(table)} {_side(score, table)} {_bound(score, budget.score)}"
        bounds.append(_with_unit(least, score.shown_unit(table)))
    if budget.cost is not None:
        most = f"{what} {_side(axis, table)} {_bound(axis, budget.cost)}"
        bounds.append(_with_unit(most, axis.shown_unit(table)))
    text = " and ".join(bounds)
    if kept:
        best = "least" if axis.lower_is_better(table) else "most"
        return f"{text}: {len(kept)} of {numbers.plural(count, 'candidate')}, {best} {what}: {kept[0].name}"
    by_score = len(within(table, axis, Budget(score=budget.score), score))
    by_cost = len(within(table, axis, Budget(cost=budget.cost), score))
    return f"{text}: none. {score.name(table)} alone leaves {by_score}, {what} alone leaves {by_cost}"


def _side(axis: Axis, table: CandidateTable) -> str:
    return "≤" if axis.lower_is_better(table) else "≥"


def _bound(axis: Axis, value: float) -> str:
    return numbers.fixed(value, 2) if axis.key in ("metric", "drop") else f"{value:.3g}"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


def _fits(point: tuple[float, float], table: CandidateTable, axis: Axis, score: Axis, budget: Budget) -> bool:
    x_sign, y_sign = axis.sign(table), score.sign(table)
    return (budget.cost is None or x_sign * point[0] <= x_sign * budget.cost) and (
        budget.score is None or y_sign * point[1] <= y_sign * budget.score
    )


def _mark(row: CandidateRow, table: CandidateTable, axis: Axis, score: Axis, on_front: bool) -> Mark | None:
    point = table.point(row, axis.key, score.key)
    if point is None:
        return None
    kind: Kind = "original" if row.is_baseline else "stale" if row.stale else "front" if on_front else "beaten"
    return Mark(
        row=row,
        kind=kind,
        x=point[0],
        y=point[1],
        x_interval=_real(row.interval(axis.key)),
        y_interval=_real(row.interval(score.key)),
    )


def _real(interval: Interval | None) -> Interval | None:
    """Drop intervals without length or without bound: there is nothing to draw."""
    return interval if numbers.half_width(interval) else None


def _label(axis: Axis, table: CandidateTable) -> str:
    """Return an axis label; of a metric with its direction, where that is not the usual one, and its samples."""
    if axis.key != "metric":
        return axis.label(table)
    samples = {row.metric.samples for row in table.rows if row.metric is not None and row.metric.metric == table.metric}
    notes = [] if table.higher_is_better else ["lower is better"]
    if len(samples) == 1:
        notes.append(numbers.plural(next(iter(samples)), "sample"))
    label = axis.label(table)
    return f"{label} ({', '.join(notes)})" if notes else label
