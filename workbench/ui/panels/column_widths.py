"""Column widths that fit a table's content, found without laying out every cell, which takes Qt too long."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTableView

_MOST_ROWS = 200
_LONGEST = 2


def fit_columns(view: QTableView) -> None:
    """Make every column as wide as its heading and the longest texts of its first rows need."""
    model, header = view.model(), view.horizontalHeader()
    rows = range(min(model.rowCount(), _MOST_ROWS))
    for column in range(model.columnCount()):
        lengths: dict[int, int] = {}
        for row in rows:
            text = model.index(row, column).data(Qt.ItemDataRole.DisplayRole)
            lengths.setdefault(len(text) if isinstance(text, str) else 0, row)
        width = header.sectionSizeHint(column)
        for length in sorted(lengths, reverse=True)[:_LONGEST]:
            hint = view.sizeHintForIndex(model.index(lengths[length], column))
            width = max(width, hint.width() + (1 if view.showGrid() else 0))
        view.setColumnWidth(column, width)
