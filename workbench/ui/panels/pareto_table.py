"""The table below the Pareto plot: the same rows, sortable, with names and notes edited in place."""

from __future__ import annotations

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractItemView, QApplication, QTableView, QWidget

from workbench.ui.models.candidate_model import COLUMNS, CandidateModel
from workbench.ui.models.candidate_table import BASELINE, CandidateTable
from workbench.ui.models.measures import Key
from workbench.ui.models.number_column import plain
from workbench.ui.models.ranked_proxy import Ascending, RankedProxy
from workbench.ui.panels.column_widths import fit_columns
from workbench.ui.panels.export import selected_as_text
from workbench.ui.panels.pareto_marks import mark_pixmap
from workbench.ui.theme import Theme

_WIDEST = {"name": 138, "steps": 260, "note": 240, "tags": 160}
_FEW_MORE = 16
_WHERE_KNOWN: tuple[Key, ...] = ("memory", "bitops")


class _Shown(RankedProxy):
    """Leaves out the candidates that a filter leaves out."""

    def __init__(self, candidates: CandidateModel) -> None:
        super().__init__(candidates)
        self._candidates = candidates
        self._left_out: frozenset[str] = frozenset()
        self.setSourceModel(candidates)

    def leave_out(self, ids: frozenset[str]) -> None:
        """Show all rows but these."""
        if ids != self._left_out:
            self._left_out = ids
            self.invalidate()

    def filterAcceptsRow(self, row: int, parent: QModelIndex | QPersistentModelIndex) -> bool:
        """Whether a row is shown."""
        return self._candidates.table.rows[row].id not in self._left_out


class CandidatesView(QTableView):
    """Rows of a CandidateTable in the order the user sorts them.

    Signals:
        picked: Id of the row that became current; "" is the original.
        menuAsked: Position on screen.
        copyAsked: The copy shortcut was pressed.
        edited: (id, "name", "note" or "tags", new text).
    """

    picked = Signal(str)
    menuAsked = Signal(QPoint)
    copyAsked = Signal()
    edited = Signal(str, str, str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._following = False
        self._rows_fitted = 0
        self.candidates = CandidateModel(theme, lambda kind, star: mark_pixmap(kind, star, theme), self)
        self.proxy = _Shown(self.candidates)
        self.setModel(self.proxy)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(QSize(16, 16))
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSectionsMovable(True)
        header.setMinimumSectionSize(32)
        header.setStretchLastSection(True)
        header.sectionClicked.connect(self._header_clicked)
        self.candidates.edited.connect(self.edited)
        self.customContextMenuRequested.connect(self._menu_at)
        self.selectionModel().selectionChanged.connect(self._selection_changed)
        QShortcut(QKeySequence.StandardKey.Copy, self, self.copyAsked.emit, context=Qt.ShortcutContext.WidgetShortcut)

    def set_table(self, table: CandidateTable, best: frozenset[str]) -> None:
        """Show a snapshot; `best` are the ids on the front."""
        self._following = True
        self.candidates.set_table(table, best)
        self.proxy.rank()
        self._following = False
        for key in _WHERE_KNOWN:
            self.setColumnHidden(COLUMNS.index(key), all(row.value(key) is None for row in table.rows))
        # Of hundreds, one more changes no width; looking at all of them takes longer than drawing them.
        if abs(len(table.rows) - self._rows_fitted) * _FEW_MORE > self._rows_fitted:
            self._fit_columns()

    def leave_out(self, ids: frozenset[str]) -> None:
        """Show all candidates but these."""
        self._following = True
        self.proxy.leave_out(ids)
        self._following = False

    def select(self, id: str | None) -> None:
        """Show a candidate as the selected one; None is the original."""
        if self._following or (id or BASELINE) in self.chosen():
            return
        marks = QItemSelection()
        for number, row in enumerate(self.candidates.table.rows):
            index = self.proxy.mapFromSource(self.candidates.index(number, 0))
            if row.id == (id or BASELINE) and index.isValid():
                marks.select(index, index)
                self.scrollTo(index)
        self._following = True
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(marks, flags.ClearAndSelect | flags.Rows)
        self._following = False

    def chosen(self) -> tuple[str, ...]:
        """Return the ids of the selected rows in the order shown, the current one last."""
        rows = sorted(self.selectionModel().selectedRows(), key=lambda index: index.row())
        ids = [self.candidates.row(self.proxy.mapToSource(index)).id for index in rows]
        current = self.proxy.mapToSource(self.currentIndex())
        last = self.candidates.row(current).id if current.isValid() else None
        return tuple(sorted(ids, key=lambda id: id == last))

    def edit_cell(self, id: str, column: str) -> None:
        """Open the editor on a candidate's name or note."""
        for number, row in enumerate(self.candidates.table.rows):
            if row.id == id:
                index = self.proxy.mapFromSource(self.candidates.index(number, COLUMNS.index(column)))
                self.setCurrentIndex(index)
                self.scrollTo(index)
                self.edit(index)

    def as_text(self) -> str:
        """Return the selected rows, or all, as tab-separated text as shown."""
        return plain(selected_as_text(self))

    def _fit_columns(self) -> None:
        self._rows_fitted = len(self.candidates.table.rows)
        fit_columns(self)
        for column, key in enumerate(COLUMNS):
            width = self.columnWidth(column)
            self.setColumnWidth(column, min(width, _WIDEST.get(key, width)))

    def _header_clicked(self, column: int) -> None:
        shift = bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.proxy.sort_by(column, extend=shift)
        header = self.horizontalHeader()
        header.setSortIndicatorShown(bool(self.proxy.keys))
        if self.proxy.keys:
            header.setSortIndicator(*self.proxy.keys[0])
        else:
            header.setSortIndicator(-1, Ascending)

    def _menu_at(self, place: QPoint) -> None:
        self.menuAsked.emit(self.viewport().mapToGlobal(place))

    def _selection_changed(self) -> None:
        chosen = self.chosen()
        if self._following or not chosen:
            return
        self._following = True
        self.picked.emit(chosen[-1])
        self._following = False
