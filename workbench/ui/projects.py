"""Which project the window shows: opens, names and leaves projects, and mends what they refer to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from workbench.domain.errors import WorkbenchError
from workbench.domain.reports import InspectReport
from workbench.jobs.specs import InspectJob, ListMethodsJob
from workbench.project.commands import SetModel
from workbench.project.document import Document
from workbench.project.recent import RecentFiles
from workbench.project.references import ReferenceProblem, changed_model, find_problems
from workbench.project.state import Change, ModelReference
from workbench.ui.banner import Banner, Notice, Remedy
from workbench.ui.model_sizes import describe_at_sizes
from workbench.ui.session import Session


class Projects(QObject):
    """Keeps the window's document.

    Signals:
        pointRequested: A ReferenceProblem for whose file the user is to be asked.
    """

    pointRequested = Signal(object)

    def __init__(self, session: Session, banner: Banner, recent: RecentFiles, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._banner = banner
        self.recent = recent
        session.documentChanged.connect(self._document_changed)

    @property
    def busy(self) -> int:
        """How many jobs work for the project shown."""
        bridge = self._session.jobs
        return sum(not isinstance(bridge.spec(record.id), ListMethodsJob) for record in bridge.active)

    def open(self, path: Path) -> bool:
        """Show another project; a fault is shown and leaves everything as it is."""
        try:
            document = Document.open(path)
        except WorkbenchError as error:
            self._banner.show_error(error)
            return False
        self.show(document)
        if not document.is_untitled:
            self.remember(path)
        if document.read_only:
            self._banner.show_notice(
                Notice(
                    f"{path.name} was opened to be read only",
                    f"{path.parent} can't be written. Choose Save As to keep changes.",
                    kind="warning",
                    key="read-only",
                )
            )
        self.check_references()
        return True

    def new(self) -> bool:
        """Show an empty project; the one before stays stored where it is."""
        try:
            document = Document.untitled()
        except WorkbenchError as error:
            self._banner.show_error(error)
            return False
        self.show(document)
        return True

    def save_as(self, path: Path) -> None:
        """Continue under another name."""
        path = path if path.suffix == ".mcw" else path.with_name(path.name + ".mcw")
        try:
            self._session.document.save_as(path)
        except WorkbenchError as error:
            self._banner.show_error(error)
            return
        self.remember(path)
        self._session.said.emit(f"Stored as {path.name}; every edit from now on, too")

    def open_model(self, path: Path, then: Callable[[], object] | None = None) -> str:
        """Open a model: in this project if it has none yet or lost this one, else in a new one; `then` goes on."""
        if self._session.state.model is None:
            return self._session.open_model(path, then)

        def inspected(report: InspectReport) -> None:
            shown = self._take_known(path, report) or self._open_in_new_project(path, report)
            if shown and then is not None:
                then()

        return self.inspect(path, inspected)

    def check_references(self) -> None:
        """Look whether model, data and candidates are where they were, and whether the model is still the same."""
        document = self._session.document
        state = document.state
        problems = find_problems(state, document.artifacts)
        candidates = [problem for problem in problems if problem.kind == "candidate_missing"]
        for problem in problems:
            if problem.kind != "candidate_missing":
                self._show_problem(problem)
        if candidates:
            self._banner.show_notice(
                Notice(
                    candidates[0].message
                    if len(candidates) == 1
                    else f"The files of {len(candidates)} candidates are gone",
                    candidates[0].action,
                    "\n".join(problem.message for problem in candidates),
                    kind="warning",
                    key="candidate_missing",
                )
            )
        if state.model is not None and not any(problem.kind == "model_missing" for problem in problems):
            self.inspect(Path(state.model.path), partial(self._compare_model, document))

    def point_to_model(self, path: Path) -> None:
        """Take the file at `path` as the project's model, if it is the one that was measured."""
        self.inspect(path, partial(self._point_to, path))

    def show(self, document: Document) -> None:
        """Show a document; jobs of the one before are stopped, since their results have nowhere to go."""
        bridge = self._session.jobs
        for record in bridge.active:
            if not isinstance(bridge.spec(record.id), ListMethodsJob):
                bridge.forget(record.id)
        left = self._session.document
        self._banner.clear()
        self._session.set_document(document)
        left.close()

    def inspect(self, path: Path, then: Callable[[InspectReport], None]) -> str:
        """Describe a model file in a worker and go on with `then`; a fault is shown in the banner."""

        def inspected(payload: dict[str, Any]) -> None:
            then(InspectReport.model_validate(payload))

        spec = InspectJob(model=str(path.absolute()), drawing=True)
        return self._session.jobs.submit(spec, f"Open {path.name}", "interactive", on_result=inspected)

    def take_model(self, path: Path, report: InspectReport, title: str) -> None:
        """Make a file that was described the project's model."""
        reference = ModelReference(path=str(path.absolute()), sha256=report.model.sha256)
        self._session.do(SetModel(reference, title=title))
        self._take_description(report)

    # --- within -------------------------------------------------------------------------------------------------

    def _take_known(self, path: Path, report: InspectReport, *, pointed: bool = False) -> bool:
        """Stay in the project whose model this file is: at its place already, lost and found again, or pointed to."""
        model = self._session.state.model
        if model is None or model.sha256 != report.model.sha256:
            return False
        if Path(model.path) == path.absolute() and not pointed:
            self._session.said.emit(f"{path.name} is open already")
        elif Path(model.path).exists() and not pointed:
            return False
        else:
            self.take_model(path, report, f"Point to {path.name}")
            for key in ("model_missing", "model_changed"):
                self._banner.withdraw(key)
            self._session.said.emit(f"{path.name} is the model that was measured; everything is kept")
        return True

    def _open_in_new_project(self, path: Path, report: InspectReport) -> bool:
        if not self.new():
            return False
        self.take_model(path, report, f"Open {path.name}")
        self._session.said.emit(f"{path.name} was opened in a new project; the one before is stored")
        return True

    def _compare_model(self, document: Document, report: InspectReport) -> None:
        if document is not self._session.document:
            return
        problem = changed_model(document.state, report.model.sha256)
        if problem is not None:
            self._show_problem(problem)
        elif document.state.inspect != report:
            self._take_description(report)

    def _point_to(self, path: Path, report: InspectReport) -> None:
        if self._take_known(path, report, pointed=True):
            return
        self._banner.show_notice(
            Notice(
                f"{path.name} is not the model that was measured",
                "Its content differs. Taken as this project's model, plan, baseline and sensitivities are dropped; "
                "undo brings them back.",
                kind="warning",
                key="other-model",
                remedies=(
                    Remedy("Open in a new project", partial(self._open_in_new_project, path, report)),
                    Remedy("Take it all the same", partial(self.take_model, path, report, f"Open {path.name}")),
                ),
            )
        )

    def _show_problem(self, problem: ReferenceProblem) -> None:
        remedies = [Remedy("Point to it again…", partial(self.pointRequested.emit, problem))]
        if problem.kind == "model_changed":
            remedies.append(Remedy("Open in a new project", partial(self.open_model, problem.path)))
        self._banner.show_notice(
            Notice(
                problem.message,
                f"{problem.path}. {problem.action}",
                kind="warning",
                key=problem.kind,
                remedies=tuple(remedies),
            )
        )

    def _take_description(self, report: InspectReport) -> None:
        if self._session.state.dimensions:
            # The file was opened without the project's sizes, which it need not have.
            describe_at_sizes(self._session)
            return
        try:
            self._session.document.record(Change.MODEL, inspect=report)
        except WorkbenchError as error:
            self._banner.show_error(error)

    def _document_changed(self, change: Change) -> None:
        model = self._session.state.model
        if change & Change.MODEL and model is not None and self._session.document.is_untitled:
            self.remember(Path(model.path))

    def remember(self, path: Path) -> None:
        """Put a file on the list of recent ones."""
        with contextlib.suppress(OSError):  # the list is a convenience; a full disk is reported by the project itself
            self.recent.add(path)
