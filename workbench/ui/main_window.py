"""The window: step bar, banner, panels or welcome page, status line, and what closing means."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from workbench.domain.errors import DeviceError, JobError, WorkbenchError
from workbench.project.recent import RecentFiles
from workbench.project.references import ReferenceProblem
from workbench.project.state import Change, ProjectState
from workbench.ui import files
from workbench.ui.actions import Actions
from workbench.ui.banner import Banner, Remedy
from workbench.ui.bits_acts import register_bits_acts
from workbench.ui.device_acts import register_device_acts
from workbench.ui.file_drops import FileDrops
from workbench.ui.layouts import Workspace
from workbench.ui.leaving import when_free
from workbench.ui.menus import Menus
from workbench.ui.models import numbers
from workbench.ui.models.layer_table import layer_labels
from workbench.ui.models.named_layers import named_layers
from workbench.ui.models.reason import Reason
from workbench.ui.open_sizes import OpenSizes
from workbench.ui.palette import Palette
from workbench.ui.palette_entries import palette_entries
from workbench.ui.preferences import LayoutName, Preferences
from workbench.ui.project_acts import register_project_acts
from workbench.ui.projects import Projects
from workbench.ui.refusals import Refusals
from workbench.ui.session import Session
from workbench.ui.status_bar import StatusLine
from workbench.ui.step_bar import StepBar
from workbench.ui.welcome import Welcome
from workbench.ui.window_acts import PANEL_KEYS, register_window_acts
from workbench.ui.work_acts import register_work_acts

_SIZE = (1280, 800)


class MainWindow(QMainWindow):
    """The whole window around one session.

    Args:
        session: The project and its jobs.
        preferences: What is remembered of the window.
        recent: The files opened last.
        log_folder: Shown by "Open log folder".

    Signals:
        faultFound: (error, traceback) of a fault of the program itself, from any thread.
    """

    faultFound = Signal(object, str)

    def __init__(self, session: Session, preferences: Preferences, recent: RecentFiles, log_folder: Path) -> None:
        super().__init__()
        self.session = session
        self.preferences = preferences
        self.log_folder = log_folder
        self.workspace: Workspace | None = None
        self.panels: dict[str, Any] = {}
        self._closing = False
        self.setObjectName("mainWindow")
        self.setAcceptDrops(True)
        self.actions_ = Actions(session.theme, self)
        self.banner = Banner(session.theme)
        self.projects = Projects(session, self.banner, recent, self)
        self.opener = files.Opener(self, session, self.projects, self.ask_import)
        self._drops = FileDrops(self, session, self.opener.open_all)
        Refusals(self.actions_, session, self.banner)
        OpenSizes(session, self.banner, self.set_sizes, self)
        register_project_acts(self)
        register_work_acts(self)
        register_bits_acts(self)
        register_device_acts(self)
        register_window_acts(self)
        for act in self.actions_:
            self.addAction(self.actions_.action(act.id))
        self.steps = StepBar(session, self.actions_)
        self.welcome = Welcome(session.theme, self.actions_, recent)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.welcome)
        self._lay_out()
        self._menus = Menus(self.menuBar(), session, self.actions_, recent, self._panel_actions, self.open_file)
        self.setStatusBar(StatusLine(session))
        self._connect()
        self.resize(*_SIZE)
        if preferences.geometry is not None:
            self.restoreGeometry(preferences.geometry)
        self._refresh(~Change.NONE)

    # --- parts --------------------------------------------------------------------------------------------------

    def build_workspace(self) -> Workspace:
        """Make the panels, which takes a moment that the first picture of the window need not wait for."""
        if self.workspace is not None:
            return self.workspace
        from workbench.ui.panel_set import make_panels

        self.panels = make_panels(self.session, self)
        self.workspace = Workspace(self.panels, self.preferences)
        self.pages.addWidget(self.workspace)
        for name, key in PANEL_KEYS.items():
            self.workspace.docks[name].toggleViewAction().setToolTip(f"Show or hide; {key} goes there")
        self._refresh(~Change.NONE)
        return self.workspace

    @property
    def has_content(self) -> bool:
        """Whether there is anything in the project."""
        return self.session.state != ProjectState()

    @property
    def layout_name(self) -> LayoutName:
        """The layout in use."""
        return self.preferences.layout if self.workspace is None else self.workspace.name

    def _lay_out(self) -> None:
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.steps)
        column.addWidget(self.banner)
        column.addWidget(self.pages, 1)
        self.setCentralWidget(centre)

    def _connect(self) -> None:
        session, refresh_soon = self.session, self.actions_.refresh_soon
        session.documentChanged.connect(self._refresh)
        session.methodsChanged.connect(refresh_soon)
        session.selection.layersChanged.connect(refresh_soon)
        session.selection.candidateChanged.connect(refresh_soon)
        session.jobs.jobChanged.connect(refresh_soon)
        session.jobs.jobFailed.connect(self._add_log)
        self.faultFound.connect(self._show_fault, Qt.ConnectionType.QueuedConnection)
        self.steps.stepRequested.connect(self.go_to_step)
        self.steps.jobsRequested.connect(partial(self.bring, "jobs"))
        self.welcome.opened.connect(self.open_file)
        self.projects.pointRequested.connect(self._point_again)

    def _panel_actions(self) -> list[QAction]:
        return [] if self.workspace is None else [dock.toggleViewAction() for dock in self.workspace.docks.values()]

    # --- what is shown ------------------------------------------------------------------------------------------

    def _refresh(self, change: Change) -> None:
        self.actions_.refresh_soon()
        if change & (Change.PATH | Change.MODEL):
            self.setWindowTitle(self._title())
        if self.workspace is not None and self.has_content:
            if self.pages.currentWidget() is not self.workspace:
                self.pages.setCurrentWidget(self.workspace)
                self.workspace.restore()
        elif self.pages.currentWidget() is not self.welcome or change & Change.PATH:
            if self.workspace is not None:
                self.workspace.remember()
            self.welcome.refresh(self.session.document.path)
            self.pages.setCurrentWidget(self.welcome)

    def _title(self) -> str:
        state, document = self.session.state, self.session.document
        model = "" if state.model is None else Path(state.model.path).name
        name = model if document.is_untitled else " \N{EN DASH} ".join(filter(None, (document.title, model)))
        return " \N{EN DASH} ".join(filter(None, (name, "Model compression workbench")))

    def bring(self, name: str) -> None:
        """Show a panel and give it the keyboard."""
        if self.has_content:
            self.build_workspace().bring(name)

    def show_layout(self, name: LayoutName) -> None:
        """Arrange the panels another way."""
        self.build_workspace().show_layout(name)

    def reset_layout(self) -> None:
        """Put the panels where they were at first."""
        self.build_workspace().reset()

    def why_no_content(self) -> Reason | None:
        """Return why there is nothing for panels to show, or None."""
        return None if self.has_content else Reason("Open a model or project first", "file.open")

    def toggle_full_screen(self) -> None:
        """Fill the screen, or not."""
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    def find_in_graph(self) -> None:
        """Put the cursor into the graph's search field."""
        self.bring("graph")
        self.panels["graph"].focus_search()

    def zoom_graph(self, id: str) -> None:
        """Zoom the graph in, out or to fit."""
        canvas = self.panels["graph"].canvas
        canvas.fit() if id == "graph.fit" else canvas.zoom_by(1.25 if id == "graph.in" else 0.8)

    def clear_selection(self) -> None:
        """Clear the layers' selection, or, where there is none, the candidate's."""
        selection = self.session.selection
        selection.set_layers(()) if selection.layers else selection.set_candidate(None)

    def open_palette(self) -> Palette:
        """Open the command palette."""
        palette = Palette(self.session, palette_entries(self), self)
        palette.show()
        return palette

    # --- the course of the work ---------------------------------------------------------------------------------

    def go_to_step(self, name: str) -> None:
        """Go to where a step is done, or begin it."""
        state, actions = self.session.state, self.actions_
        match name:
            case "Model":
                actions.trigger("model.open") if state.inspect is None else self.bring("graph")
            case "Data":
                self.choose_data()
            case "Baseline":
                actions.trigger("analyse.original") if state.baseline is None else self.bring("pareto")
            case "Sensitivity":
                actions.trigger("analyse.sensitivity") if not state.sensitivities else self.bring("layers")
            case "Plan":
                self.bring("layers")
            case "Run":
                actions.trigger("compress.run")
            case "Choose":
                self.bring("pareto")

    def choose_data(self) -> None:
        """Open the data wizard."""
        from workbench.ui.panels.data_wizard import DataWizard

        DataWizard(self.session, self).open()

    def set_sizes(self) -> None:
        """Ask for the sizes that the model's inputs leave open."""
        from workbench.ui.sizes_dialog import SizesDialog

        SizesDialog(self.session, self).open()

    def start_demo(self, out: Path | None = None) -> None:
        """Show the demo."""
        from workbench.ui.demo_run import start_demo

        begin = partial(start_demo, self.session, self.projects, out)
        when_free(self, self.projects.busy, "Start the demo", begin)

    def ask_import(self, source: Path | None = None, then: tuple[Path, ...] = ()) -> None:
        """Ask what to import, and whether it is trusted; what becomes of it is opened, and `then` with it."""
        from workbench.ui.import_dialog import ImportDialog

        ImportDialog(self.session, lambda path: self.opener.open_all((path, *then)), source, self).open()

    def cancel_jobs(self) -> None:
        """Stop everything that works and waits."""
        for record in self.session.jobs.active:
            self.session.jobs.cancel(record.id)

    # --- files --------------------------------------------------------------------------------------------------

    def open_file(self, path: Path) -> None:
        """Open a model, project, archive, data description or recipe."""
        self.opener.open(path)

    def new_project(self) -> None:
        """Show an empty project."""
        when_free(self, self.projects.busy, "Leave this project", self.projects.new)

    def start_folder(self) -> str:
        """Return the folder in which file dialogs begin."""
        state, document = self.session.state, self.session.document
        if not document.is_untitled and document.path is not None:
            return str(document.path.parent)
        return str(Path.home() if state.model is None else Path(state.model.path).parent)

    def suggested_name(self) -> str:
        """Return a name for a project that has none."""
        model = self.session.state.model
        return "project" if model is None else Path(model.path).stem

    def show_model_folder(self) -> None:
        """Show where the model lies."""
        from workbench.ui.places_on_disk import show_folder

        model = self.session.state.model
        if model is not None:
            show_folder(Path(model.path).parent, self.session)

    def _point_again(self, problem: ReferenceProblem) -> None:
        if problem.kind == "data_missing":
            self.choose_data()
            return
        from workbench.ui.panels.export import ask_path

        ask_path(
            self,
            "Point to the model",
            str(problem.path.parent),
            files.MODELS,
            self.projects.point_to_model,
            opening=True,
        )

    # --- faults -------------------------------------------------------------------------------------------------

    def _add_log(self, job: str, error: WorkbenchError) -> None:
        record, report = self.session.jobs.record(job), self.session.state.inspect
        remedies = [Remedy("Show job", partial(self.bring, "jobs"))]
        layers = named_layers(error, report)
        if layers and report is not None:
            what = layer_labels(report)[layers[0]] if len(layers) == 1 else numbers.plural(len(layers), "layer")
            remedies.insert(0, Remedy(f"Select {what}", partial(self._select_layers, layers)))
        if isinstance(error, DeviceError):
            remedies.insert(0, Remedy("Devices…", partial(self.actions_.trigger, "devices.manage")))
        if "DATA.yaml" in (error.action or ""):
            remedies.insert(0, Remedy("Choose data…", self.choose_data))
        self.banner.add_details(error, "\n".join(record.log), *remedies)

    def _select_layers(self, layers: tuple[str, ...]) -> None:
        self.session.selection.set_layers(layers)
        self.bring("layers")

    def _show_fault(self, error: Exception, traceback: str) -> None:
        said = " ".join(str(error).split())
        fault = JobError(
            f"A fault in the program: {type(error).__name__}{': ' + said if said else ''}",
            action="What was stored is safe. The details help to mend it; they are in the log, too.",
        )
        self.banner.show_error(fault, details=traceback)

    # --- events -------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Clear the selection with Escape where no widget wants the key."""
        if event.key() == Qt.Key.Key_Escape:
            self.clear_selection()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Keep the full-screen mark right when the system changes it."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange:
            self.actions_.refresh_soon()

    def showEvent(self, event: QShowEvent) -> None:
        """Take dropped files from now on."""
        super().showEvent(event)
        self._drops.watch()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask once when jobs are at work; then remember the window and let go of everything."""
        if self.projects.busy and not self._closing:
            event.ignore()
            when_free(self, self.projects.busy, "Close the window", self.close_and_cancel)
            return
        self._closing = True
        self.preferences.geometry = self.saveGeometry()
        if self.workspace is not None and self.pages.currentWidget() is self.workspace:
            self.workspace.remember()
        self.preferences.save()
        self.hide()
        self._drops.stop()
        self.session.jobs.close()
        self.session.document.close()
        super().closeEvent(event)

    def close_and_cancel(self) -> None:
        """Close without asking; jobs that are not finished are cancelled."""
        self._closing = True
        self.close()
