"""The frame of dialogs that check something in the background and list what was found, to look through, copy and save.

Such a dialog stays open beside the window. A line runs while the check does; the button that starts it comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFont, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLayout,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from workbench.ui.panels.export import ask_path, copy_text, save_text
from workbench.ui.session import Session

_MARGIN_PX = 28
_ROW_MARGIN_PX = 8
_STRETCH, _BY_HAND = QHeaderView.ResizeMode.Stretch, QHeaderView.ResizeMode.Interactive
_WORD = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_NUMBER = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class Columns:
    """The columns of the list: their headings and tooltips, which takes the room left, and where numbers begin."""

    headings: tuple[str, ...]
    tooltips: tuple[str, ...]
    stretched: int
    first_number: int


@dataclass(frozen=True)
class Export:
    """What is copied and saved, in words, the title of the dialog that asks where, and a name for the file."""

    what: str
    title: str
    file: str


class ReportDialog(QDialog):
    """A list of what was found about layers or nodes; a double-click shows a row's in the graph.

    Args:
        session: The window's.
        columns: Of the list.
        export: What its figures are called.
        parent: The window.
    """

    def __init__(self, session: Session, columns: Columns, export: Export, parent: QWidget | None) -> None:
        super().__init__(parent)
        self._session, self._exported = session, export
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(640, 420)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.tree = self._table()
        self.set_columns(columns)
        self.check = QPushButton()
        self.check.setProperty("role", "primary")
        self.copy = QPushButton("Copy as CSV")
        self.export = QPushButton("Export as CSV…")
        self.check.clicked.connect(self.start)
        self.copy.clicked.connect(self._copy)
        self.export.clicked.connect(lambda: ask_path(self, export.title, export.file, "CSV (*.csv)", self._export))
        QShortcut(QKeySequence.StandardKey.Copy, self.tree, self._copy, context=Qt.ShortcutContext.WidgetShortcut)

    def start(self) -> None:
        """Check."""
        raise NotImplementedError

    def csv(self) -> str | None:
        """Return the figures as comma-separated values; None where nothing was found yet."""
        raise NotImplementedError

    def lay_out(self, above: tuple[QWidget | QLayout, ...], between: tuple[QPushButton, ...] = ()) -> None:
        """Put the parts above the list, the list, and the buttons in their order; `between` follow the first one."""
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        for button in (self.check, *between, self.copy, self.export):
            buttons.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(12)
        for part in above:
            if isinstance(part, QLayout):
                outer.addLayout(part)
            else:
                outer.addWidget(part)
        outer.addWidget(self.tree, 1)
        outer.addStretch()
        outer.addWidget(buttons)

    def show_busy(self, busy: bool, found: bool) -> None:
        """Show whether a check runs, and whether something was found."""
        self.busy.setVisible(busy)
        self.tree.setVisible(found)
        for button in (self.copy, self.export):
            button.setEnabled(found)

    def fit_columns(self) -> None:
        """Make columns as wide as what stands in them."""
        for column in range(len(self._columns.headings)):
            if column != self._columns.stretched:
                self.tree.resizeColumnToContents(column)
                self.tree.setColumnWidth(column, self.tree.columnWidth(column) + _MARGIN_PX // 2)

    def row(self, cells: tuple[str, ...], *subjects: str) -> QTreeWidgetItem:
        """Return a row about layers or nodes, which is not in the list yet."""
        item = QTreeWidgetItem(list(cells))
        item.setData(0, Qt.ItemDataRole.UserRole, subjects)
        item.setSizeHint(0, QSize(0, self.tree.fontMetrics().height() + _ROW_MARGIN_PX))
        for column in range(self._columns.first_number, len(cells)):
            item.setTextAlignment(column, _NUMBER)
        return item

    def strong(self) -> QFont:
        """Return the list's font for what stands out."""
        font = QFont(self.tree.font())
        font.setWeight(QFont.Weight.DemiBold)
        return font

    def set_columns(self, columns: Columns) -> None:
        """Empty the list and give it columns."""
        self._columns, tree = columns, self.tree
        tree.clear()
        tree.setColumnCount(len(columns.headings))
        tree.setHeaderLabels(list(columns.headings))
        for column, tooltip in enumerate(columns.tooltips):
            tree.headerItem().setToolTip(column, tooltip)
        header = tree.header()
        header.setStretchLastSection(False)
        for column, heading in enumerate(columns.headings):
            tree.headerItem().setTextAlignment(column, _NUMBER if column >= columns.first_number else _WORD)
            stretched = column == columns.stretched
            header.setSectionResizeMode(column, _STRETCH if stretched else _BY_HAND)
            if not stretched:
                tree.setColumnWidth(column, tree.fontMetrics().horizontalAdvance(heading) + _MARGIN_PX)

    def _table(self) -> QTreeWidget:
        tree = QTreeWidget()
        tree.setRootIsDecorated(False)
        tree.setUniformRowHeights(True)
        tree.setAlternatingRowColors(True)
        tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        tree.itemDoubleClicked.connect(lambda item, _: self._show(item))
        tree.itemActivated.connect(lambda item, _: self._show(item))
        return tree

    def _show(self, item: QTreeWidgetItem) -> None:
        self._session.selection.set_layers(tuple(item.data(0, Qt.ItemDataRole.UserRole)))

    def _copy(self) -> None:
        text = self.csv()
        if text is not None:
            copy_text(self._session, text, self._exported.what)

    def _export(self, path: Path) -> None:
        text = self.csv()
        if text is not None:
            save_text(self._session, path, text)
