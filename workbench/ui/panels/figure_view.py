"""A table that is read, sorted and copied: the view of every FigureTable, with rows that lead to their layers."""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, QItemSelectionModel, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QApplication, QTableView, QWidget

from workbench.ui.models.figure_model import FigureModel, FigureTable
from workbench.ui.models.ranked_proxy import Ascending, RankedProxy
from workbench.ui.panels.column_widths import fit_columns
from workbench.ui.theme import Theme

_WIDEST_WORDS = 180


class FigureView(QTableView):
    """Shows a FigureTable in the order that the user sorts it.

    Signals:
        layersPicked: Layers of the rows that the user selected.
    """

    layersPicked = Signal(tuple)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._following = False
        self.figures = FigureModel(theme, self)
        self.proxy = RankedProxy(self)
        self.proxy.setSourceModel(self.figures)
        self.setModel(self.proxy)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setMinimumSectionSize(40)
        header.sectionClicked.connect(self._header_clicked)
        self.selectionModel().selectionChanged.connect(self._selection_changed)

    def set_table(self, table: FigureTable) -> None:
        """Show a table; the order stays where the columns are the same."""
        before = [column.heading for column in self.figures.table.columns]
        self._following = True
        self.figures.set_table(table)
        if before != [column.heading for column in table.columns]:
            while self.proxy.keys:
                self.proxy.sort_by(self.proxy.keys[0][0])
            self.horizontalHeader().setSortIndicatorShown(False)
        self.proxy.rank()
        self._following = False
        fit_columns(self)
        for number, column in enumerate(table.columns):
            if column.words:
                self.setColumnWidth(number, min(self.columnWidth(number), _WIDEST_WORDS))

    def select_layers(self, layers: tuple[str, ...]) -> None:
        """Show the rows of these layers as selected."""
        if self._following:
            return
        marks = QItemSelection()
        for row, own in enumerate(self.figures.table.layers):
            if own and set(own) <= set(layers):
                index = self.proxy.mapFromSource(self.figures.index(row, 0))
                marks.select(index, index)
        self._following = True
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(marks, flags.ClearAndSelect | flags.Rows)
        self._following = False

    def _selection_changed(self) -> None:
        layers = self.figures.table.layers
        if self._following or not layers:
            return
        rows = (self.proxy.mapToSource(index).row() for index in self.selectionModel().selectedRows())
        chosen = tuple(dict.fromkeys(layer for row in rows for layer in layers[row]))
        if chosen:
            self._following = True
            self.layersPicked.emit(chosen)
            self._following = False

    def _header_clicked(self, column: int) -> None:
        shift = bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.proxy.sort_by(column, extend=shift)
        header = self.horizontalHeader()
        header.setSortIndicatorShown(bool(self.proxy.keys))
        if self.proxy.keys:
            header.setSortIndicator(*self.proxy.keys[0])
        else:
            header.setSortIndicator(-1, Ascending)
