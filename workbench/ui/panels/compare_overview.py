"""The overview of a comparison: sections of rows, a column per candidate; what is the same steps back."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from workbench.ui.models.comparison import Comparison
from workbench.ui.theme import Theme

_TITLES_PX, _VALUES_PX = 190, 280


class OverviewTree(QTreeWidget):
    """Shows a Comparison."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setRootIsDecorated(True)
        self.setUniformRowHeights(True)
        self.setIndentation(12)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)

    def show_comparison(self, comparison: Comparison, *, only_differences: bool) -> None:
        """Show all rows, or those whose columns differ."""
        self.clear()
        self.setColumnCount(1 + len(comparison.headings))
        self.setHeaderLabels(["", *comparison.headings])
        strong = QFont(self.font())
        strong.setWeight(QFont.Weight.DemiBold)
        muted = self._theme.color("muted")
        height = QSize(0, self.fontMetrics().height() + 8)
        for section in comparison.sections:
            rows = [row for row in section.rows if row.differs or not only_differences]
            if not rows:
                continue
            head = QTreeWidgetItem([section.title])
            head.setFont(0, strong)
            head.setSizeHint(0, height)
            self.addTopLevelItem(head)
            head.setFirstColumnSpanned(True)
            for row in rows:
                item = QTreeWidgetItem([row.title, *row.cells])
                item.setToolTip(0, row.title)
                for column, cell in enumerate(row.cells, 1):
                    item.setToolTip(column, cell)
                    if cell == row.cells[0] or not row.differs:
                        item.setForeground(column, muted)
                head.addChild(item)
        self.expandAll()
        self.header().setStretchLastSection(False)
        self.header().resizeSections(QHeaderView.ResizeMode.ResizeToContents)
        for column in range(self.columnCount()):
            # A narrow panel has room for the original and a candidate beside the titles.
            most = _TITLES_PX if column == 0 else _VALUES_PX
            self.setColumnWidth(column, min(self.columnWidth(column) + 4, most))
