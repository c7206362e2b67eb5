"""The truth ladder as text in cells: rungs with their metric, and values with how well they agree."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.domain.ladder import IDENTICAL_DB, Agreement, LadderReport, Rung
from workbench.ui.models import numbers

HEADINGS = ("Node", "Operator", "Torch, dB", "Torch, largest", "Deployed, dB", "Deployed, largest")
TOOLTIPS = (
    "Node that makes the value; double-click shows it in the graph",
    "Its operator",
    "Signal to difference between the simulation in torch and the literal execution, in decibel",
    "Largest difference: in quantization steps (LSB) for integers, else in the value's own unit",
    "Signal to difference between the literal execution and the one as deployed, in decibel",
    "Largest difference: in quantization steps (LSB) for integers, else in the value's own unit",
)


@dataclass(frozen=True)
class LadderRow:
    """One value: its node, the cells of a row, and whether a rung parts here."""

    node: str
    cells: tuple[str, ...]
    parts: bool


def rung_cells(rung: Rung) -> tuple[str, str]:
    """Return the title of a rung and its metric, or why there is none."""
    return rung.title, rung.reason if rung.metric is None else numbers.metric_text(rung.metric)


def ladder_rows(report: LadderReport) -> tuple[LadderRow, ...]:
    """Return a row per value, in the order of the graph."""
    rows = []
    for value in report.values:
        unit = "\N{NO-BREAK SPACE}LSB" if value.steps else ""
        cells = (value.node, value.op, *_cells(value.literal, unit), *_cells(value.deployed, unit))
        rows.append(LadderRow(value.node, cells, value.node in (report.parts_literal, report.parts_deployed)))
    return tuple(rows)


def ladder_csv(report: LadderReport) -> str:
    """Return all figures, unrounded, as comma-separated values."""
    lines = ["node,operator,value,literal_sqnr_db,literal_max_error,deployed_sqnr_db,deployed_max_error,unit"]
    for value in report.values:
        figures = [*_figures(value.literal), *_figures(value.deployed)]
        lines.append(",".join([value.node, value.op, value.value, *figures, "steps" if value.steps else "value"]))
    return "\n".join(lines) + "\n"


def _cells(agreement: Agreement | None, unit: str) -> tuple[str, str]:
    if agreement is None:
        return numbers.NOTHING, numbers.NOTHING
    if agreement.sqnr_db == IDENTICAL_DB:
        return "identical", numbers.NOTHING
    return f"{agreement.sqnr_db:.1f}", f"{agreement.max_error:.3g}{unit}"


def _figures(agreement: Agreement | None) -> tuple[str, str]:
    return ("", "") if agreement is None else (repr(agreement.sqnr_db), repr(agreement.max_error))
