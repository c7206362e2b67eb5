"""Sorts a table by several columns and filters it by words, without calling back into Python for every comparison.

Ranks are computed once per change of keys; comparing two rows is then comparing two integers.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt

SORT_ROLE = int(Qt.ItemDataRole.UserRole) + 1
"""Role that gives a cell's sort key: a number, a text, or None, which sorts last either way."""
TEXT_ROLE = int(Qt.ItemDataRole.UserRole) + 2
"""Role that gives, in column 0, all words a row can be found by."""

Index = QModelIndex | QPersistentModelIndex
Ascending = Qt.SortOrder.AscendingOrder
Descending = Qt.SortOrder.DescendingOrder


class RankedProxy(QSortFilterProxyModel):
    """Keeps the source's order until a column is chosen; a third click on the same column gives it back."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._keys: list[tuple[int, Qt.SortOrder]] = []
        self._ranks: list[int] = []
        self._words: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[tuple[int, Qt.SortOrder], ...]:
        """Columns with their order, the most important first."""
        return tuple(self._keys)

    def sort_by(self, column: int, *, extend: bool = False) -> None:
        """Sort by a column: up, then down, then not at all; `extend` keeps the columns chosen before."""
        order = dict(self._keys).get(column)
        rest = [(other, how) for other, how in self._keys if other != column] if extend else []
        if order is None:
            self._keys = [*rest, (column, Ascending)]
        elif order == Ascending:
            self._keys = [(c, Descending if c == column else how) for c, how in self._keys] if extend else []
            self._keys = self._keys or [(column, Descending)]
        else:
            self._keys = rest
        self.rank()

    def rank(self) -> None:
        """Sort again, after keys or data changed."""
        source = self.sourceModel()
        if source is None:
            return
        order = list(range(source.rowCount()))
        for column, how in reversed(self._keys):
            values = [source.index(row, column).data(SORT_ROLE) for row in range(len(order))]
            present = [(_key(values[row]), row) for row in order if values[row] is not None]
            present.sort(key=itemgetter(0), reverse=how == Descending)
            order = [row for _, row in present] + [row for row in order if values[row] is None]
        self._ranks = [0] * len(order)
        for rank, row in enumerate(order):
            self._ranks[row] = rank
        self.invalidate()
        self.sort(0 if self._keys else -1, Ascending)

    def set_filter(self, text: str) -> None:
        """Show the rows that contain every word of the text."""
        self._words = tuple(text.casefold().split())
        self.invalidate()

    def lessThan(self, left: Index, right: Index) -> bool:
        """Compare two rows by rank."""
        return self._ranks[left.row()] < self._ranks[right.row()]

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """Whether a row contains every word."""
        if not self._words:
            return True
        source = self.sourceModel()
        text = str(source.index(row, 0, parent).data(TEXT_ROLE)).casefold()
        return all(word in text for word in self._words)


def _key(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value.casefold() if isinstance(value, str) else value)
