"""The Pareto panel: what was measured, drawn as metric against cost, beside the same candidates as a table."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.measurements import is_share
from workbench.jobs.specs import CompressJob, EvaluateJob
from workbench.project.commands import EditCandidate
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import (
    AXES,
    BASELINE,
    Axis,
    CandidateTable,
    resolve_candidates,
    to_csv,
    to_json,
)
from workbench.ui.models.pareto_scene import Budget, Ghost, Scene, budget_text, resolve_scene
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import ask_path, copy_picture, copy_text, save_picture, save_text
from workbench.ui.panels.pareto_legend import MarkLegend
from workbench.ui.panels.pareto_menu import MenuActions, candidate_menu
from workbench.ui.panels.pareto_plot import ParetoPlot
from workbench.ui.panels.pareto_table import CandidatesView
from workbench.ui.session import Session

_REFRESH = Change.MODEL | Change.DATA | Change.BASELINE | Change.CANDIDATES | Change.DEVICE


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
        self.table = CandidateTable()
        self.scene = Scene()
        self.axis = QComboBox()
        self.axis.addItems([f"Against {axis.title if axis.key == 'macs' else axis.title.lower()}" for axis in AXES])
        self.axis.setToolTip("What the candidates cost")
        self.legend = MarkLegend(session.theme)
        self.budget = QToolButton()
        self.budget.setText("Budget")
        self.budget.setCheckable(True)
        self.budget.setToolTip("Show two lines to drag: the least metric and the most cost that you accept")
        self.fit = QToolButton()
        self.fit.setText("Fit")
        self.fit.setToolTip("Show all points (double-click in the plot)")
        self.more = QToolButton()
        self.more.setText("\N{MIDLINE HORIZONTAL ELLIPSIS}")
        self.more.setToolTip("Copy or export")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(self._export_menu())
        self.plot = ParetoPlot(session.theme)
        self.view = CandidatesView(session.theme)
        self.hint = QLabel()
        self.hint.setProperty("role", "muted")
        self.hint.setWordWrap(True)
        self.act = QPushButton()
        self.act.setProperty("role", "primary")
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self._pages = Pages(self._make_content())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)

        self.axis.activated.connect(self._axis_chosen)
        self.budget.toggled.connect(self._budget_toggled)
        self.fit.clicked.connect(self.plot.fit)
        self.act.clicked.connect(self._act)
        self.plot.picked.connect(self._picked)
        self.plot.menuAsked.connect(self._plot_menu)
        self.plot.budgetMoved.connect(self._show_hint)
        self.view.picked.connect(self._picked)
        self.view.menuAsked.connect(self._table_menu)
        self.view.copyAsked.connect(self._copy)
        self.view.edited.connect(self._edited)
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self._show_hint)
        session.jobs.jobChanged.connect(self._job_changed)
        session.selection.candidateChanged.connect(self._follow_selection)
        session.theme.themeChanged.connect(self.refresh)
        self.refresh()

    @property
    def cost(self) -> Axis:
        """The axis that candidates are drawn against."""
        return AXES[max(self.axis.currentIndex(), 0)]

    def refresh(self) -> None:
        """Resolve the document again and show what changed."""
        self.table = resolve_candidates(self._session.state, deleted=self._deleted_shown)
        if not any(row.metric is not None for row in self.table.rows) and len(self.table.rows) < 2:
            self._show_empty()
            return
        self._pages.show_content()
        self.view.set_table(self.table, self.table.on_front(self.cost.key))
        self._draw()
        self._follow_selection()

    def show_deleted(self, on: bool) -> None:
        """Show deleted candidates too, struck out, so that they can be brought back."""
        self._deleted_shown = on
        self.refresh()

    def export(self, path: Path) -> None:
        """Write the plot (.png, .svg) or the table (.csv, .json)."""
        suffix = path.suffix.lower()
        if suffix == ".csv":
            save_text(self._session, path, to_csv(self.table, self.cost.key))
        elif suffix == ".json":
            save_text(self._session, path, to_json(self.table, self.cost.key))
        else:
            save_picture(self._session, path, self.picture)

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
            room, share = (self.width(), 0.46) if beside else (self.height(), 0.62)
            self.splitter.setSizes([round(room * share), round(room * (1 - share))])

    # --- construction -------------------------------------------------------------------------------------------

    def _make_content(self) -> QWidget:
        content = QWidget()
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 8, 8, 4)
        bar.setSpacing(8)
        bar.addWidget(self.axis)
        bar.addWidget(self.legend, 1)
        for button in (self.budget, self.fit, self.more):
            bar.addWidget(button)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 4, 8, 4)
        foot.addWidget(self.hint, 1)
        foot.addWidget(self.act)
        self.picture = QWidget()
        frame = QVBoxLayout(self.picture)
        frame.setContentsMargins(0, 0, 0, 0)
        frame.addWidget(self.plot)
        self.splitter.addWidget(self.picture)
        self.splitter.addWidget(self.view)
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

    def _export_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction("Copy rows", self._copy)
        menu.addAction("Copy picture", lambda: copy_picture(self._session, self.picture, "plot"))
        menu.addSeparator()
        kinds = (("PNG", "front.png"), ("SVG", "front.svg"), ("CSV", "candidates.csv"), ("JSON", "candidates.json"))
        for kind, name in kinds:
            menu.addAction(f"Export {kind}…", partial(self._ask_export, kind, name))
        return menu

    # --- what is shown ------------------------------------------------------------------------------------------

    def _show_empty(self) -> None:
        session = self._session
        if session.state.inspect is None:
            self._pages.show_empty(
                "No model yet",
                "Every candidate becomes a point here: its metric against its latency, size or MACs, all measured on "
                "the exported file. Open an .onnx file first.",
                "Open model…",
                self.openRequested.emit,
            )
            return
        running = any(isinstance(session.jobs.spec(record.id), EvaluateJob) for record in session.jobs.active)
        self._pages.show_empty(
            "Nothing measured yet",
            "The original is the first point; every candidate you run becomes another one, with 95 % intervals.",
            "Measure the original",
            session.evaluate_baseline,
            blocked="The original is being measured" if running else session.missing("model", "data"),
        )

    def _draw(self) -> None:
        self._show(resolve_scene(self.table, self.cost, self._ghosts()))

    def _show(self, scene: Scene) -> None:
        self.scene = scene
        self.plot.set_scene(scene)
        self.legend.set_kinds(self.scene.kinds, stars=any(mark.star for mark in self.scene.marks))
        self._show_hint()

    def _ghosts(self) -> list[Ghost]:
        jobs = self._session.jobs
        return [
            Ghost(
                job=record.id,
                title=record.title,
                fraction=record.fraction,
                hover="\n".join(
                    line
                    for line in (
                        record.title,
                        record.text or ("Waiting" if record.state == "queued" else ""),
                        "" if record.seconds_left is None else f"{numbers.duration_text(record.seconds_left)} left",
                        "It moves to its place once its file is measured.",
                    )
                    if line
                ),
            )
            for record in jobs.active
            if isinstance(jobs.spec(record.id), CompressJob)
        ]

    def _show_hint(self, *_: object) -> None:
        """Say what the budget leaves, or what to do next."""
        session, text, button, blocked = self._session, "", "", None
        candidates = [row for row in self.table.rows if not row.is_baseline]
        baseline = self.table.baseline
        if self.budget.isChecked():
            text = budget_text(self.table, self.cost, self.plot.budget)
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
        if self.act.text() == "Run":
            self._session.run()
        else:
            self._session.profile_baseline()

    def _axis_chosen(self) -> None:
        if self.budget.isChecked():
            # A bound on another cost means nothing on this axis.
            self.plot.set_budget(Budget(self._first_budget().cost, self.plot.budget.score))
        self.refresh()
        self.plot.fit()

    def _first_budget(self) -> Budget:
        """Return bounds to start from: the original's metric less a hundredth, and the cheapest three quarters."""
        marks = self.scene.marks if self.scene.marks else ()
        scene = resolve_scene(self.table, self.cost)
        xs = sorted(mark.x for mark in scene.marks)
        baseline = next((mark for mark in marks if mark.id == BASELINE), marks[-1] if marks else None)
        if not xs or baseline is None:
            return Budget()
        sign = 1.0 if self.table.higher_is_better else -1.0
        step = 1.0 if is_share(self.table.metric) else abs(baseline.y) * 0.01
        return Budget(xs[(3 * (len(xs) - 1)) // 4], baseline.y - sign * step)

    def _budget_toggled(self, on: bool) -> None:
        self.plot.set_budget(self._first_budget() if on else Budget())
        self._show_hint()

    def _picked(self, id: str) -> None:
        self._session.selection.set_candidate(id or None)

    def _show_settings(self, id: str) -> None:
        self._session.selection.set_candidate(id)
        self.settingsRequested.emit(id)

    def _edit(self, id: str, field: str) -> None:
        self._picked(id)
        self.view.edit_cell(id, field)

    def _edited(self, id: str, field: str, text: str) -> None:
        command = EditCandidate(id, name=text) if field == "name" else EditCandidate(id, note=text)
        self._session.do(command)

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
        menu.addAction("Export CSV…", partial(self._ask_export, "CSV", "candidates.csv"))
        menu.popup(place)

    def _copy(self) -> None:
        copy_text(self._session, self.view.as_text(), "candidates")

    def _ask_export(self, kind: str, name: str) -> None:
        ask_path(self, f"Export {kind}", name, f"{kind} (*.{kind.lower()})", self.export)

    # --- selection, document, jobs ------------------------------------------------------------------------------

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()
        elif change & (Change.PLAN | Change.RECIPE):
            self._show_hint()

    def _job_changed(self, job: str) -> None:
        spec = self._session.jobs.spec(job)
        if isinstance(spec, CompressJob):
            # Progress comes often; the points themselves have not changed.
            ghosts = tuple(self._ghosts())
            if ghosts != self.scene.ghosts:
                self._show(replace(self.scene, ghosts=ghosts))
        elif isinstance(spec, EvaluateJob):
            self.refresh()

    def _follow_selection(self, *_: object) -> None:
        chosen = self._session.selection.candidate
        self.plot.select(chosen or BASELINE)
        self.view.select(chosen)
