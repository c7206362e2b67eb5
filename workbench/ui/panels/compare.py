"""Two or more candidates side by side: settings and figures, layers, classes, and the samples that changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QMenu,
    QStackedWidget,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.project.state import Candidate, Change
from workbench.ui.comparisons import comparisons_of
from workbench.ui.models.comparison import Comparison, compare_candidates
from workbench.ui.panels.compare_overview import OverviewTree
from workbench.ui.panels.compare_pages import ClassesPage, LayersPage, SamplesPage
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import ask_path, copy_text, save_text
from workbench.ui.session import Session

_TABS = ("Overview", "Layers", "Classes", "Samples")
_REFRESH = Change.CANDIDATES | Change.BASELINE | Change.MODEL | Change.DATA | Change.DEVICE


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
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(True)
        for title in _TABS:
            self.tabs.addTab(title)
        self.only_differences = QCheckBox("Only what differs")
        self.more = QToolButton()
        self.more.setText("\N{MIDLINE HORIZONTAL ELLIPSIS}")
        self.more.setToolTip("Copy or export the comparison")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        menu.addAction("Copy as CSV", self.copy)
        menu.addAction("Export as CSV…", partial(self._ask_export, "CSV"))
        self._as_json = menu.addAction("Export all as JSON…", partial(self._ask_export, "JSON"))
        menu.setToolTipsVisible(True)
        self.more.setMenu(menu)
        self.tree = OverviewTree(session.theme)
        self.tree.customContextMenuRequested.connect(lambda at: menu.popup(self.tree.viewport().mapToGlobal(at)))
        self.layers, self.classes, self.samples = LayersPage(session), ClassesPage(session), SamplesPage(session)
        self.stack = QStackedWidget()
        for page in (self._overview(), self.layers, self.classes, self.samples):
            self.stack.addWidget(page)
        self._pages = Pages(self._content())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)
        self.tabs.currentChanged.connect(self._tab_chosen)
        self.only_differences.toggled.connect(self.refresh)
        session.documentChanged.connect(self._document_changed)
        session.selection.candidateChanged.connect(self._candidate_chosen)
        session.theme.themeChanged.connect(self.refresh)
        comparisons_of(session).changed.connect(self._fill_pages)
        for view in (self.tree, self.layers.view, self.classes.view, self.samples.grid):
            QShortcut(QKeySequence.StandardKey.Copy, view, self.copy, context=Qt.ShortcutContext.WidgetShortcut)
        self.refresh()

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        """The candidates that are compared."""
        return tuple(self._session.state.candidate(id) for id in self._ids)

    def set_candidates(self, ids: tuple[str, ...]) -> None:
        """Compare these candidates."""
        self._ids = ids
        self.refresh()

    def show_tab(self, title: str) -> None:
        """Bring one of the pages to front."""
        self.tabs.setCurrentIndex(_TABS.index(title))

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
        self.tree.show_comparison(self.comparison, only_differences=self.only_differences.isChecked())
        self._fill_pages()

    def csv(self) -> str:
        """Return what the current page shows."""
        pages = (self.comparison.to_csv, self.layers.csv, self.classes.csv, self.samples.csv)
        return pages[self.tabs.currentIndex()]()

    def copy(self) -> None:
        """Put the current page's figures on the clipboard."""
        copy_text(self._session, self.csv(), "comparison")

    def _overview(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tree, 1)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 4, 8, 4)
        foot.addWidget(self.only_differences)
        foot.addStretch()
        column.addLayout(foot)
        return page

    def _content(self) -> QWidget:
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 8, 8, 4)
        bar.setSpacing(8)
        bar.addWidget(self.choose)
        bar.addWidget(self.tabs)
        bar.addStretch()
        bar.addWidget(self.more)
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(0)
        inner.addLayout(bar)
        inner.addWidget(self.stack, 1)
        return content

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

    def _tab_chosen(self, number: int) -> None:
        self.stack.setCurrentIndex(number)
        self._fill_pages()

    def _fill_pages(self) -> None:
        """Fill the page in view; the others follow when they are looked at."""
        if not all(any(entry.id == id for entry in self._session.state.candidates) for id in self._ids):
            return
        found = bool(self._ids) and comparisons_of(self._session).report(self._ids) is not None
        self._as_json.setEnabled(found)
        self._as_json.setToolTip("" if found else "Compare on the data first: see the page Classes")
        page = self.stack.currentWidget()
        if isinstance(page, LayersPage | ClassesPage | SamplesPage) and self._ids:
            page.show_candidates(self.chosen)

    def _candidate_chosen(self, id: object) -> None:
        if isinstance(id, str) and id not in self._ids:
            self._ids = (*self._ids[-1:], id)
            self.refresh()

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()

    def _ask_export(self, kind: str) -> None:
        name = _TABS[self.tabs.currentIndex()].lower() if kind == "CSV" else "all"
        file = f"comparison-{name}.{kind.lower()}"
        ask_path(self, "Export comparison", file, f"{kind} (*.{kind.lower()})", self.export)

    def export(self, path: Path) -> None:
        """Write the current page's figures (.csv), or all that was found (.json)."""
        if path.suffix.lower() == ".json":
            report = comparisons_of(self._session).report(self._ids)
            if report is not None:
                save_text(self._session, path, report.model_dump_json(indent=1) + "\n")
            return
        save_text(self._session, path, self.csv())
