"""Two or more candidates side by side: what differs stands out, what is the same steps back."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QFont, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from workbench.project.state import Change
from workbench.ui.models.comparison import Comparison, compare_candidates
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import ask_path, copy_text, save_text
from workbench.ui.session import Session

_TITLES_PX, _VALUES_PX = 190, 280


class ComparePanel(QWidget):
    """A column per candidate, the original first."""

    title = "Compare"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._ids: tuple[str, ...] = ()
        self._listed: list[tuple[str, str]] = []
        self.comparison = Comparison((), ())
        self.choose = QToolButton()
        self.choose.setText("Candidates")
        self.choose.setToolTip("Choose the candidates to compare")
        self.choose.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.choose.setMenu(QMenu(self.choose))
        self.choose.menu().triggered.connect(self._toggle)
        self.only_differences = QCheckBox("Only what differs")
        self.more = QToolButton()
        self.more.setText("\N{MIDLINE HORIZONTAL ELLIPSIS}")
        self.more.setToolTip("Copy or export the comparison")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        menu.addAction("Copy as CSV", self.copy)
        menu.addAction("Export as CSV…", self._ask_export)
        self.more.setMenu(menu)
        self.tree = QTreeWidget()
        self.tree.setRootIsDecorated(True)
        self.tree.setUniformRowHeights(True)
        self.tree.setIndentation(12)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.tree.customContextMenuRequested.connect(lambda at: menu.popup(self.tree.viewport().mapToGlobal(at)))
        self.tree.setAlternatingRowColors(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 8, 8, 4)
        bar.setSpacing(8)
        bar.addWidget(self.choose)
        bar.addWidget(self.only_differences)
        bar.addStretch()
        bar.addWidget(self.more)
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(0)
        inner.addLayout(bar)
        inner.addWidget(self.tree, 1)
        self._pages = Pages(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)
        self.only_differences.toggled.connect(self.refresh)
        session.documentChanged.connect(self._document_changed)
        session.selection.candidateChanged.connect(self._candidate_chosen)
        session.theme.themeChanged.connect(self.refresh)
        QShortcut(QKeySequence.StandardKey.Copy, self.tree, self.copy, context=Qt.ShortcutContext.WidgetShortcut)
        self.refresh()

    def set_candidates(self, ids: tuple[str, ...]) -> None:
        """Compare these candidates."""
        self._ids = ids
        self.refresh()

    def refresh(self) -> None:
        """Put the chosen candidates, or the latest two, beside the original."""
        shown = [entry for entry in self._session.state.candidates if not entry.deleted]
        if not shown:
            self._pages.show_empty(
                "Nothing to compare yet",
                "Candidates appear here side by side with the original: measurements, steps and every layer's "
                "settings. Run the recipe to make the first one.",
                "Run",
                self._session.run,
                blocked=self._session.missing("model", "data", "methods"),
            )
            return
        self._pages.show_content()
        known = {entry.id for entry in shown}
        self._ids = tuple(id for id in self._ids if id in known) or tuple(entry.id for entry in shown[-2:])
        self._fill_menu([(entry.id, entry.name) for entry in shown])
        self.comparison = compare_candidates(self._session.state, self._ids)
        self._fill_tree()

    def copy(self) -> None:
        """Put the whole comparison on the clipboard."""
        copy_text(self._session, self.comparison.to_csv(), "comparison")

    def _fill_menu(self, entries: list[tuple[str, str]]) -> None:
        """List the candidates; the entry that was just clicked must outlive its own signal, so entries are kept."""
        menu = self.choose.menu()
        if entries != self._listed:
            self._listed = entries
            menu.clear()
            for id, name in entries:
                action = menu.addAction(name.replace("&", "&&"))
                action.setCheckable(True)
                action.setData(id)
        for action in menu.actions():
            action.setChecked(action.data() in self._ids)

    def _toggle(self, action: QAction) -> None:
        id, rest = action.data(), tuple(other for other in self._ids if other != action.data())
        self.set_candidates((*rest, id) if action.isChecked() else rest)

    def _fill_tree(self) -> None:
        self.tree.clear()
        self.tree.setColumnCount(1 + len(self.comparison.headings))
        self.tree.setHeaderLabels(["", *self.comparison.headings])
        strong = QFont(self.tree.font())
        strong.setWeight(QFont.Weight.DemiBold)
        muted = self._session.theme.color("muted")
        height = QSize(0, self.tree.fontMetrics().height() + 8)
        for section in self.comparison.sections:
            rows = [row for row in section.rows if row.differs or not self.only_differences.isChecked()]
            if not rows:
                continue
            head = QTreeWidgetItem([section.title])
            head.setFont(0, strong)
            head.setSizeHint(0, height)
            self.tree.addTopLevelItem(head)
            head.setFirstColumnSpanned(True)
            for row in rows:
                item = QTreeWidgetItem([row.title, *row.cells])
                item.setToolTip(0, row.title)
                for column, cell in enumerate(row.cells, 1):
                    item.setToolTip(column, cell)
                    if cell == row.cells[0] or not row.differs:
                        item.setForeground(column, muted)
                head.addChild(item)
        self.tree.expandAll()
        self.tree.header().setStretchLastSection(False)
        self.tree.header().resizeSections(QHeaderView.ResizeMode.ResizeToContents)
        for column in range(self.tree.columnCount()):
            # A narrow panel has room for the original and a candidate beside the titles.
            most = _TITLES_PX if column == 0 else _VALUES_PX
            self.tree.setColumnWidth(column, min(self.tree.columnWidth(column) + 4, most))

    def _candidate_chosen(self, id: object) -> None:
        if isinstance(id, str) and id not in self._ids:
            self._ids = (*self._ids[-1:], id)
            self.refresh()

    def _document_changed(self, change: Change) -> None:
        if change & (Change.CANDIDATES | Change.BASELINE):
            self.refresh()

    def _ask_export(self) -> None:
        ask_path(self, "Export comparison", "comparison.csv", "CSV (*.csv)", self._export)

    def _export(self, path: Path) -> None:
        save_text(self._session, path, self.comparison.to_csv())
