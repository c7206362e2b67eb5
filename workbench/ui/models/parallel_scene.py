"""Parallel coordinates, resolved without Qt: an axis a measure, better always at the top, and a line a candidate."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import CandidateRow, CandidateTable
from workbench.ui.models.measures import Axis, Key
from workbench.ui.models.pareto_scene import Kind, hover_text

DEFAULT_AXES: tuple[Key, ...] = ("metric", "ratio", "size", "memory", "macs", "bitops", "params")


@dataclass(frozen=True)
class ParallelAxis:
    """One axis.

    Attributes:
        title, unit: Of its measure.
        low, high: What it spans, in the measure's unit; low < high.
        lower_is_better: Whether low stands at the top.
        ticks: Values that are labelled.
    """

    axis: Axis
    title: str
    unit: str
    low: float
    high: float
    lower_is_better: bool
    ticks: tuple[float, ...]

    @property
    def key(self) -> Key:
        """Of its measure."""
        return self.axis.key

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return "↓ lower is better" if self.lower_is_better else "↑ higher is better"

    def height(self, value: float) -> float:
        """Return where a value stands, 0 at the bottom and 1 at the top, where the best is."""
        share = (value - self.low) / (self.high - self.low)
        return 1 - share if self.lower_is_better else share

    def value(self, height: float) -> float:
        """Return the value at a height."""
        share = 1 - height if self.lower_is_better else height
        return self.low + share * (self.high - self.low)

    def text(self, value: float) -> str:
        """Return a value with as many digits as the ticks need."""
        step = abs(self.ticks[1] - self.ticks[0]) if len(self.ticks) > 1 else abs(value) or 1.0
        return numbers.fixed(value, max(0, -math.floor(math.log10(step) + 1e-9)) if step else 2)


@dataclass(frozen=True)
class ParallelLine:
    """One candidate: its values on every axis, None where it has none."""

    row: CandidateRow
    kind: Kind
    values: tuple[float | None, ...]

    @property
    def id(self) -> str:
        """The candidate's id; "" is the original."""
        return self.row.id

    @property
    def hover(self) -> str:
        """The row in words."""
        return hover_text(self.row)


@dataclass(frozen=True)
class ParallelScene:
    """One frozen picture; lines in drawing order, the most important last."""

    axes: tuple[ParallelAxis, ...] = ()
    lines: tuple[ParallelLine, ...] = ()


def resolve_parallel(
    table: CandidateTable, best: Collection[str], keys: Collection[Key] = DEFAULT_AXES
) -> ParallelScene:
    """Return what to draw of a table; measures that nothing has a figure of, or only one, get no axis.

    Args:
        table: The candidates.
        best: Ids of those on the front.
        keys: Measures to show, as far as they are known.
    """
    axes = []
    for measure in table.measures():
        values = [value for row in table.rows if (value := table.value(row, measure.key)) is not None]
        if measure.key in keys and len(values) > 1:
            axes.append(_axis(measure, table, values))
    order: tuple[Kind, ...] = ("stale", "beaten", "front", "original")
    lines = [
        ParallelLine(row, _kind(row, best), tuple(table.value(row, axis.key) for axis in axes)) for row in table.rows
    ]
    lines.sort(key=lambda line: order.index(line.kind))
    return ParallelScene(tuple(axes), tuple(lines))


def nice_ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """Return round values within [low, high], 2 to `most` of them, spaced by 1, 2 or 5 times a power of ten."""
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return tuple(step * number for number in range(first, math.floor(high / step + 1e-9) + 1))


def _axis(measure: Axis, table: CandidateTable, values: list[float]) -> ParallelAxis:
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        reach = max(abs(low) * 0.1, 1e-6)
        low, high = low - reach, high + reach
    title = measure.name(table).removesuffix(" accuracy") if measure.key == "metric" else measure.name(table)
    return ParallelAxis(
        axis=measure,
        title=title,
        unit=measure.shown_unit(table),
        low=low,
        high=high,
        lower_is_better=measure.lower_is_better(table),
        ticks=nice_ticks(low, high),
    )


def _kind(row: CandidateRow, best: Collection[str]) -> Kind:
    if row.is_baseline:
        return "original"
    return "stale" if row.stale else "front" if row.id in best else "beaten"
