"""The measures that candidates are compared on: their names and units, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from workbench.ui.models import numbers

if TYPE_CHECKING:
    from workbench.ui.models.candidate_table import CandidateTable

Key = Literal[
    "metric", "drop", "ratio", "latency", "size", "packed", "macs", "params", "memory", "bitops"
]  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A measure of candidates, as an axis; for costs lower is better."""

    key: Key
    title: str
    unit: str

    def name(self, table: CandidateTable) -> str:
        """Return what tables, menus and sentences call it."""
        if self.key == "metric":
            return numbers.metric_title(table.metric)
        return f"Change of {_inner(numbers.metric_title(table.metric))}" if self.key == "drop" else self.title

    def inner(self, table: CandidateTable) -> str:
        """Return its name within a sentence."""
        return _inner(self.name(table))

    def shown_unit(self, table: CandidateTable) -> str:
        """Return the unit; of metrics it is the metric's."""
        if self.key == "metric":
            return numbers.metric_unit(table.metric)
        return numbers.drop_unit(table.metric) if self.key == "drop" else self.unit

    def label(self, table: CandidateTable) -> str:
        """Return the axis label: what, in which unit, and how it was taken."""
        how = f" (batch {table.batch}, {numbers.plural(table.threads, 'thread')})"
        if self.key == "ratio":
            return f"Latency, ratio to the original{how}"
        if self.key == "latency":
            return f"Median latency, ms{how}"
        unit = self.shown_unit(table)
        return f"{self.name(table)}, {unit}" if unit else self.name(table)

    def lower_is_better(self, table: CandidateTable) -> bool:
        """Return the direction."""
        return not table.higher_is_better if self.key in ("metric", "drop") else True

    def sign(self, table: CandidateTable) -> float:
        """Return 1 where lower is better and -1 where higher is, so that a product is always a cost."""
        return 1.0 if self.lower_is_better(table) else -1.0


METRIC = Axis("metric", "Metric", "")
DROP = Axis("drop", "Change of the metric", "")

AXES: tuple[Axis, ...] = (
    Axis("ratio", "Latency ratio", ""),
    Axis("latency", "Latency", "ms"),
    Axis("size", "File size", "MB"),
    Axis("macs", "MACs", "M"),
    Axis("params", "Parameters", "k"),
    Axis("packed", "Packed size", "MB"),
    Axis("memory", "Peak memory", "MB"),
    Axis("bitops", "Bit operations", "G"),
)
"""The costs."""

MEASURES: tuple[Axis, ...] = (METRIC, DROP, *AXES)

SCALE: Mapping[Key, float] = {
    "size": 1e6, "packed": 1e6, "macs": 1e6, "params": 1e3, "memory": 1e6, "bitops": 1e9,
}  # fmt: skip
"""What figures in plain units are divided by to be shown in an axis' unit."""


def _inner(title: str) -> str:
    """Return a title as it stands within a sentence; words such as MACs stay as they are."""
    first = title.partition(" ")[0]
    return title if sum(char.isupper() for char in first) > 1 else title[:1].lower() + title[1:]
