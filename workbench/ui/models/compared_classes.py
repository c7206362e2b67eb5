"""Class by class what the original and each candidate reach: the figure, and the change on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from workbench.domain.comparison_reports import ClassFigure, ComparisonReport
from workbench.domain.measurements import PairedDifference
from workbench.ui.models import numbers
from workbench.ui.models.figure_model import Column, FigureTable
from workbench.ui.models.number_column import measured_column

_WORD = {"accuracy": "recognised", "iou": "IoU"}


def class_comparison(report: ComparisonReport, names: Sequence[str]) -> FigureTable:
    """Return a row for every class; `names` are those of the candidates."""
    classes = report.classes
    if not classes:
        return FigureTable()
    word = _WORD[report.class_measure]
    columns = [
        Column("Class", [entry.name for entry in classes], [_ordered(entry.name) for entry in classes], words=True),
        Column(
            "Samples",
            [numbers.exact_text(entry.samples) for entry in classes],
            [float(entry.samples) for entry in classes],
            tip="Test samples of the class",
        ),
        _figures("Original, %", [entry.figures[0] for entry in classes], f"Share {word}, with its 95 % interval"),
    ]
    for number, name in enumerate(names, 1):
        own = [entry.figures[number] for entry in classes]
        columns.append(_figures(f"{name}, %", own, f"Share {word} by {name}, with its 95 % interval"))
        columns.append(_changes(f"{name}, change, pt", own))
    return FigureTable(tuple(columns), ())


def class_summary(report: ComparisonReport, names: Sequence[str]) -> str:
    """Return in a sentence for each candidate which class it hurts most."""
    said = []
    for number, name in enumerate(names, 1):
        sure = [
            (difference.value, entry.name)
            for entry in report.classes
            if (difference := entry.figures[number].difference) is not None and difference.ci95[1] < 0
        ]
        if not sure:
            said.append(f"{name}: no class is worse beyond noise.")
            continue
        value, worst = min(sure)
        change = f"{numbers.fixed(100 * value, 1, signed=True)} pt"
        said.append(
            f"{name}: {numbers.plural(len(sure), 'class', 'classes')} worse beyond noise, most {worst} {change}."
        )
    return " ".join(said)


def _figures(heading: str, figures: Sequence[ClassFigure], tip: str) -> Column:
    cells = [(100 * entry.value, (100 * entry.ci95[0], 100 * entry.ci95[1])) for entry in figures]
    return Column(heading, measured_column(cells), [entry.value for entry in figures], tip=tip)


def _changes(heading: str, figures: Sequence[ClassFigure]) -> Column:
    found = [entry.difference for entry in figures]
    cells = [
        None if entry is None else (100 * entry.value, (100 * entry.ci95[0], 100 * entry.ci95[1])) for entry in found
    ]
    return Column(
        heading,
        measured_column(cells, signed=True),
        [None if entry is None else entry.value for entry in found],
        tip="Change on the same samples, with its 95 % interval; heavy where it is certainly not zero",
        tips=[_lost_and_won(entry) for entry in found],
        tones=[_tone(entry) for entry in found],
    )


def _tone(difference: PairedDifference | None) -> Literal["", "strong", "muted"]:
    if difference is None:
        return ""
    return "muted" if difference.ci95[0] <= 0 <= difference.ci95[1] else "strong"


def _lost_and_won(difference: PairedDifference | None) -> str:
    if difference is None or difference.only_original_correct is None:
        return ""
    return f"{difference.only_original_correct} lost, {difference.only_candidate_correct} won"


def _ordered(name: str) -> float | str:
    """Classes that are numbers are sorted as such."""
    return float(name) if name.isdecimal() else name
