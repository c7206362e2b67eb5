"""The Pareto panel: what was measured, drawn as one measure against another or over all of them, beside a table."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.jobs.specs import CompressJob, EvaluateJob, SearchJob
from workbench.project.commands import EditCandidate
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.models.candidate_filter import Bound, CandidateFilter, tags_of
from workbench.ui.models.candidate_table import BASELINE, Axis, CandidateTable, resolve_candidates
from workbench.ui.models.parallel_scene import DEFAULT_AXES, resolve_parallel
from workbench.ui.models.pareto_budget import bounds_of, first_budget
from workbench.ui.models.pareto_scene import Budget, Scene, budget_text, resolve_scene
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import copy_text
from workbench.ui.panels.parallel_plot import ParallelPlot
from workbench.ui.panels.pareto_axes import COSTS_FIRST, METRIC_FIRST, AxisChooser
from workbench.ui.panels.pareto_empty import show_empty
from workbench.ui.panels.pareto_export import ask_export, export_candidates, export_menu
from workbench.ui.panels.pareto_ghosts import ghosts_of
from workbench.ui.panels.pareto_legend import MarkLegend
from workbench.ui.panels.pareto_menu import MenuActions, candidate_menu
from workbench.ui.panels.pareto_plot import ParetoPlot
from workbench.ui.panels.pareto_table import CandidatesView
from workbench.ui.search import search_of
from workbench.ui.session import Session

_REFRESH = Change.MODEL | Change.DATA | Change.BASELINE | Change.CANDIDATES | Change.DEVICE
_PLOT, _PARALLEL = 0, 1


class ParetoPanel(QWidget):
    """Plot and table of the original and all candidates.

    Signals:
        settingsRequested: Id of a candidate whose settings the window should bring to front.
        compareRequested: Ids to compare, a tuple.
        openRequested: The button of the empty state, while there is no model.
    """

    title = "Pareto"
    settingsRequested = Signal(str)
    compareRequested = Signal(tuple)
    openRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._deleted_shown = False
        self._looked_for = CandidateFilter()
        self.table = CandidateTable()
        self.scene = Scene()
        self.tabs = QTabBar()
        self.tabs.setProperty("role", "dense")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.addTab("Plot")
        self.tabs.addTab("Parallel")
        self.tabs.setTabToolTip(_PLOT, "One measure against another, with the front")
        self.tabs.setTabToolTip(_PARALLEL, "All measures side by side, a line a candidate; drag along an axis to bound")
        self.score = AxisChooser(METRIC_FIRST)
        self.score.setToolTip("What stands upright")
        self.axis = AxisChooser(COSTS_FIRST, "Against ")
        self.axis.setToolTip("What the candidates cost")
        self.legend = MarkLegend(session.theme)
        self.budget = QToolButton()
        self.budget.setText("Budget")
        self.budget.setCheckable(True)
        self.budget.setToolTip("Show two lines to drag: what lies beyond is greyed, and left out of the table")
        self.fit = QToolButton()
        self.fit.setText("Fit")
        self.fit.setToolTip("Show all points (double-click in the plot)")
        self.more = QToolButton()
        self.more.setText("\N{MIDLINE HORIZONTAL ELLIPSIS}")
        self.more.setToolTip("Copy or export")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.plot = ParetoPlot(session.theme)
        self.parallel = ParallelPlot(session.theme)
        self.view = CandidatesView(session.theme)
        self.find_field = QLineEdit()
        self.find_field.setPlaceholderText("Filter: words, #tag, starred")
        self.find_field.setClearButtonEnabled(True)
        self.hint = QLabel()
        self.hint.setProperty("role", "muted")
        self.hint.setWordWrap(True)
        self.act = QPushButton()
        self.act.setProperty("role", "primary")
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self._pages = Pages(self._make_content())
        self.more.setMenu(export_menu(session, self, lambda: self.picture, self._copy, self.export))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)
        self._connect()
        self.refresh()

    @property
    def cost(self) -> Axis:
        """The measure that candidates are drawn against."""
        return self.axis.axis

    @property
    def looked_for(self) -> CandidateFilter:
        """What is shown: words, bounds on axes, and the budget."""
        return replace(self._looked_for, bounds=(*self._looked_for.bounds, *self._budget_bounds()))

    def refresh(self) -> None:
        """Resolve the document again and show what changed."""
        self.table = resolve_candidates(self._session.state, deleted=self._deleted_shown)
        if not any(row.metric is not None for row in self.table.rows) and len(self.table.rows) < 2:
            show_empty(self._session, self._pages, self.openRequested.emit)
            return
        self._pages.show_content()
        self.axis.name(self.table, self.score.axis)
        self.score.name(self.table, self.cost)
        best = self.table.on_front(self.cost.key, self.score.axis.key)
        self.view.set_table(self.table, best)
        self.parallel.set_scene(resolve_parallel(self.table, best, DEFAULT_AXES))
        self._draw()
        self._leave_out()
        self._follow_selection()

    def show_deleted(self, on: bool) -> None:
        """Show deleted candidates too, struck out, so that they can be brought back."""
        self._deleted_shown = on
        self.refresh()

    def show_parallel(self, on: bool) -> None:
        """Show parallel coordinates, or the plot."""
        self.tabs.setCurrentIndex(_PARALLEL if on else _PLOT)

    def look_for(self, wanted: CandidateFilter) -> None:
        """Show only what a filter lets through; the budget comes on top."""
        self._looked_for = wanted
        if self.find_field.text() != wanted.words:
            self.find_field.setText(wanted.words)
        self.parallel.set_bounds(wanted.bounds)
        self._leave_out()

    def export(self, path: Path) -> None:
        """Write the picture (.png, .svg) or the table (.csv, .json)."""
        export_candidates(self._session, path, self.table, self.cost.key, self.picture)

    def candidate_menu(self, ids: tuple[str, ...]) -> QMenu:
        """Return the context menu of some candidates."""
        actions = MenuActions(
            self._show_settings, self.compareRequested.emit, self._edit, self.show_deleted, self._deleted_shown
        )
        menu = candidate_menu(self._session, ids, actions, self)
        menu.aboutToHide.connect(menu.deleteLater)
        return menu

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the table beside the plot where the panel is wide and low, else below it."""
        super().resizeEvent(event)
        beside = self.width() >= 640 and self.height() < 440
        orientation = Qt.Orientation.Horizontal if beside else Qt.Orientation.Vertical
        if orientation != self.splitter.orientation() or not event.oldSize().isValid():
            self.splitter.setOrientation(orientation)
            room, share = (self.width(), 0.5) if beside else (self.height(), 0.62)
            self.splitter.setSizes([round(room * share), round(room * (1 - share))])

    # --- construction -------------------------------------------------------------------------------------------

    def _make_content(self) -> QWidget:
        content = QWidget()
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 8, 8, 4)
        bar.setSpacing(8)
        for part in (self.tabs, self.score, self.axis):
            bar.addWidget(part)
        bar.addStretch()
        for button in (self.budget, self.fit, self.more):
            bar.addWidget(button)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 4, 8, 4)
        foot.setSpacing(8)
        foot.addWidget(self.legend, 2)
        foot.addWidget(self.hint, 3)
        foot.addWidget(self.act)
        self.picture = QStackedWidget()
        self.picture.addWidget(self.plot)
        self.picture.addWidget(self.parallel)
        beside = QWidget()
        column = QVBoxLayout(beside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.find_field)
        column.addWidget(self.view, 1)
        self.splitter.addWidget(self.picture)
        self.splitter.addWidget(beside)
        self.splitter.setStretchFactor(0, 3)
        self.splitter.setStretchFactor(1, 2)
        self.splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.splitter, 1)
        layout.addLayout(foot)
        return content

    def _connect(self) -> None:
        session = self._session
        self.tabs.currentChanged.connect(self._tab_chosen)
        self.axis.activated.connect(self._axis_chosen)
        self.score.activated.connect(self._axis_chosen)
        self.budget.toggled.connect(self._budget_toggled)
        self.fit.clicked.connect(self.plot.fit)
        self.act.clicked.connect(self._act)
        self.find_field.textChanged.connect(lambda text: self.look_for(replace(self._looked_for, words=text)))
        for picture in (self.plot, self.parallel):
            picture.picked.connect(self._picked)
            picture.menuAsked.connect(self._plot_menu)
        self.plot.budgetMoved.connect(self._leave_out)
        self.parallel.bounded.connect(self._bounded)
        self.view.picked.connect(self._picked)
        self.view.menuAsked.connect(self._table_menu)
        self.view.copyAsked.connect(self._copy)
        self.view.edited.connect(self._edited)
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self._show_hint)
        session.jobs.jobChanged.connect(self._job_changed)
        session.selection.candidateChanged.connect(self._follow_selection)
        session.theme.themeChanged.connect(self.refresh)
        search_of(session).changed.connect(self._draw_ghosts)

    # --- what is shown ------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        ghosts = ghosts_of(self._session, self.table, self.cost, self.score.axis)
        self._show(resolve_scene(self.table, self.cost, ghosts, self.score.axis))

    def _draw_ghosts(self) -> None:
        """Draw what is under way; it changes often, and the points themselves do not."""
        ghosts = ghosts_of(self._session, self.table, self.cost, self.score.axis)
        if ghosts != self.scene.ghosts:
            self._show(replace(self.scene, ghosts=ghosts))

    def _show(self, scene: Scene) -> None:
        self.scene = scene
        self.plot.set_scene(scene)
        self.legend.set_kinds(self.scene.kinds, stars=any(mark.star for mark in self.scene.marks))
        self._show_hint()

    def _leave_out(self, *_: object) -> None:
        """Grey in the pictures, and hide in the table, what the filter and the budget leave out."""
        ids = self.looked_for.left_out(self.table)
        self.plot.set_dimmed(ids)
        self.parallel.set_dimmed(ids)
        self.view.leave_out(ids)
        self._follow_selection()
        self._show_hint()

    def _show_hint(self, *_: object) -> None:
        """Say what the budget leaves, or what to do next."""
        session, text, button, blocked = self._session, "", "", None
        candidates = [row for row in self.table.rows if not row.is_baseline]
        baseline = self.table.baseline
        if self.budget.isChecked():
            text = budget_text(self.table, self.cost, self.plot.budget, self.score.axis)
        elif self._looked_for.active:
            kept = len(candidates) - len(self.looked_for.left_out(self.table))
            text, button = f"{kept} of {numbers.plural(len(candidates), 'candidate')} shown.", "Show all"
        elif not candidates and not self.scene.ghosts:
            text = "This is the original. Give layers settings in the table, then run: each result appears here."
            button, blocked = "Run", session.missing("run")
        elif self.cost.key == "latency" and baseline is not None and baseline.latency is None:
            text, button = "The original's latency was not measured yet.", "Measure it"
        self.hint.setText(text)
        self.hint.setVisible(bool(text))
        self.act.setText(button)
        self.act.setVisible(bool(button))
        self.act.setEnabled(blocked is None)
        self.act.setToolTip(blocked or "")

    # --- what the user does -------------------------------------------------------------------------------------

    def _act(self) -> None:
        match self.act.text():
            case "Run":
                self._session.run()
            case "Show all":
                self.look_for(CandidateFilter())
            case _:
                self._session.profile_baseline()

    def _tab_chosen(self, number: int) -> None:
        self.picture.setCurrentIndex(number)
        for widget in (self.score, self.axis, self.budget, self.fit):
            widget.setVisible(number == _PLOT)

    def _axis_chosen(self) -> None:
        if self.budget.isChecked():
            # A bound on another measure means nothing on this axis.
            self.plot.set_budget(first_budget(self.table, self.cost, self.score.axis))
        self.refresh()
        self.plot.fit()

    def _budget_toggled(self, on: bool) -> None:
        self.plot.set_budget(first_budget(self.table, self.cost, self.score.axis) if on else Budget())
        self._leave_out()

    def _budget_bounds(self) -> tuple[Bound, ...]:
        if not self.budget.isChecked():
            return ()
        return bounds_of(self.plot.budget, self.table, self.cost, self.score.axis)

    def _bounded(self, bound: Bound) -> None:
        self.look_for(self._looked_for.with_bound(bound))

    def _picked(self, id: str) -> None:
        self._session.selection.set_candidate(id or None)

    def _show_settings(self, id: str) -> None:
        self._session.selection.set_candidate(id)
        self.settingsRequested.emit(id)

    def _edit(self, id: str, field: str) -> None:
        self._picked(id)
        self.view.edit_cell(id, field)

    def _edited(self, id: str, field: str, text: str) -> None:
        if field == "tags":
            self._session.do(EditCandidate(id, tags=tags_of(text)))
        else:
            self._session.do(EditCandidate(id, name=text) if field == "name" else EditCandidate(id, note=text))

    def plot_menu(self, id: str | None) -> QMenu:
        """Return the context menu of the plot: the candidate's under the pointer, then the picture's."""
        menu = self.candidate_menu((id,) if id else ())
        menu.addSeparator()
        pictures = menu.addMenu("Plot")
        pictures.addActions(self.more.menu().actions())
        return menu

    def _plot_menu(self, id: str | None, place: QPoint) -> None:
        if id:
            self._picked(id)
        self.plot_menu(id).popup(place)

    def _table_menu(self, place: QPoint) -> None:
        menu = self.candidate_menu(tuple(id for id in self.view.chosen() if id))
        menu.addSeparator()
        menu.addAction("Copy", self._copy)
        menu.addAction("Export CSV…", partial(ask_export, self, "CSV", "candidates.csv", self.export))
        menu.popup(place)

    def _copy(self) -> None:
        copy_text(self._session, self.view.as_text(), "candidates")

    # --- selection, document, jobs ------------------------------------------------------------------------------

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()
        elif change & (Change.PLAN | Change.RECIPE):
            self._show_hint()

    def _job_changed(self, job: str) -> None:
        spec = self._session.jobs.spec(job)
        if isinstance(spec, CompressJob | SearchJob):
            self._draw_ghosts()
        elif isinstance(spec, EvaluateJob):
            self.refresh()

    def _follow_selection(self, *_: object) -> None:
        chosen = self._session.selection.candidate
        for picture in (self.plot, self.parallel):
            picture.select(chosen or BASELINE)
        self.view.select(chosen)
