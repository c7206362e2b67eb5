"""Rows of words and figures as Qt's views want them, for tables that are only read: sorted by value."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from workbench.ui.models.ranked_proxy import SORT_ROLE, TEXT_ROLE
from workbench.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
Key = float | str | None
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


@dataclass(frozen=True)
class Column:
    """A column: what all of its cells say, and what they are sorted by.

    Attributes:
        heading, tip: Of the column.
        texts: One for each row.
        keys: To sort by, unrounded; None sorts last. They are what is exported.
        tips: On hover, "" for none.
        tones: "strong" for what stands out, "muted" for what steps back, else "".
        words: Whether it is read as words, at the left.
    """

    heading: str
    texts: Sequence[str]
    keys: Sequence[Key]
    tip: str = ""
    tips: Sequence[str] = ()
    tones: Sequence[Literal["", "strong", "muted"]] = ()
    words: bool = False


@dataclass(frozen=True)
class FigureTable:
    """Columns of equal length, and the layers that each row stands for."""

    columns: tuple[Column, ...] = ()
    layers: tuple[tuple[str, ...], ...] = field(default=())

    @property
    def rows(self) -> int:
        """Their number."""
        return len(self.columns[0].texts) if self.columns else 0

    def to_csv(self) -> str:
        """Return all rows with unrounded figures."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.heading for column in self.columns])
        for row in range(self.rows):
            writer.writerow(["" if (key := column.keys[row]) is None else key for column in self.columns])
        return out.getvalue()


class FigureModel(QAbstractTableModel):
    """Shows a FigureTable."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._table = FigureTable()
        self._strong = QFont()
        self._strong.setWeight(QFont.Weight.DemiBold)

    @property
    def table(self) -> FigureTable:
        """What is shown."""
        return self._table

    def set_table(self, table: FigureTable) -> None:
        """Show another table."""
        self.beginResetModel()
        self._table = table
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows."""
        return 0 if parent.isValid() else self._table.rows

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._table.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return headings."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self._table.columns):
            return None
        column = self._table.columns[section]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.heading
            case Qt.ItemDataRole.ToolTipRole:
                return column.tip or column.heading
            case Qt.ItemDataRole.TextAlignmentRole:
                return _LEFT if column.words else _RIGHT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell in one of its roles."""
        if not index.isValid() or index.row() >= self._table.rows:
            return None
        column, row = self._table.columns[index.column()], index.row()
        tone = column.tones[row] if column.tones else ""
        if role == SORT_ROLE:
            return column.keys[row]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.texts[row]
            case Qt.ItemDataRole.TextAlignmentRole:
                return _LEFT if column.words else _RIGHT
            case Qt.ItemDataRole.ToolTipRole:
                return (column.tips[row] if column.tips else column.texts[row] if column.words else "") or None
            case Qt.ItemDataRole.FontRole:
                return self._strong if tone == "strong" else None
            case Qt.ItemDataRole.ForegroundRole:
                return self._theme.color("muted") if tone == "muted" else None
        return column.texts[row] if role == TEXT_ROLE else None
