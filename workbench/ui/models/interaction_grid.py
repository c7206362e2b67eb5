"""Pairs of layers as a square grid: what both lose beyond what each loses alone, and whether that is noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.domain.sensitivity_reports import InteractionsReport
from workbench.ui.models import numbers


@dataclass(frozen=True)
class GridCell:
    """One pair, or on the diagonal one layer alone.

    Attributes:
        value: Loss beyond both, in the metric's unit; above 0 the layers aggravate each other.
        sure: Whether its interval leaves out zero.
        hover: In words.
    """

    value: float
    sure: bool
    hover: str


@dataclass(frozen=True)
class InteractionGrid:
    """The whole grid.

    Attributes:
        layers: In the order of the graph; rows and columns.
        names: What tables call them.
        cells: By row and column, both halves; pairs that were not measured are missing.
        limit: Largest magnitude of a pair: the ends of the colours.
        unit: Of the figures.
    """

    layers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    cells: Mapping[tuple[int, int], GridCell] = field(default_factory=dict)
    limit: float = 0.0
    unit: str = ""

    def position(self, cell: GridCell) -> float:
        """Return where a cell stands on the signed colours, -1 to 1."""
        return cell.value / self.limit if self.limit else 0.0


def interaction_grid(report: InteractionsReport, labels: Mapping[str, str]) -> InteractionGrid:
    """Return the grid of a report; `labels` are what tables call the layers, in the order of the graph."""
    involved = {layer for pair in report.pairs for layer in pair.layers} | {point.layer for point in report.points}
    layers = [*(layer for layer in labels if layer in involved), *sorted(involved - set(labels))]
    place = {layer: number for number, layer in enumerate(layers)}
    names = [labels.get(layer, layer) for layer in layers]
    factor = numbers.metric_factor(report.metric)
    cells: dict[tuple[int, int], GridCell] = {}
    for point in report.points:
        number = place[point.layer]
        text = numbers.drop_text(point.drop, point.ci95, report.metric)
        cells[number, number] = GridCell(0.0, sure=True, hover=f"{names[number]}\nAlone {text}")
    for pair in report.pairs:
        one, other = (place[layer] for layer in pair.layers)
        low, high = pair.interaction_ci95
        sure = not low <= 0 <= high
        hover = "\n".join(
            (
                f"{names[one]} and {names[other]}",
                f"Together {numbers.drop_text(pair.drop, pair.ci95, report.metric)}",
                f"Beyond both {numbers.drop_text(pair.interaction, pair.interaction_ci95, report.metric)}",
                _meaning(pair.interaction) if sure else "Within noise",
            )
        )
        cells[one, other] = cells[other, one] = GridCell(factor * pair.interaction, sure, hover)
    limit = max((abs(cell.value) for cell in cells.values()), default=0.0)
    return InteractionGrid(tuple(layers), tuple(names), cells, limit, numbers.drop_unit(report.metric))


def _meaning(interaction: float) -> str:
    return "They aggravate each other" if interaction > 0 else "They share a loss"
