"""Has a worker search for candidates, and keeps with the project each one as it comes, with its recipe and file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from workbench.domain.errors import WorkbenchError
from workbench.domain.search_reports import Outlook, SearchCandidate, SearchReport
from workbench.domain.study import Study
from workbench.jobs.record import JobRecord
from workbench.jobs.specs import SearchJob
from workbench.methods.recipe_file import read_recipe
from workbench.project import results
from workbench.project.state import Change
from workbench.ui.session import Session


class SearchRun(QObject):
    """The search of a project, while it runs and after; one at a time.

    Attributes:
        report: What was found so far; None before the first candidate.
        outlook: What is being built and what promises most next, while it runs.

    Signals:
        changed: Progress, another candidate, or the end.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._job: str | None = None
        self.report: SearchReport | None = None
        self.outlook = Outlook()
        session.jobs.jobChanged.connect(self._job_changed)

    @property
    def record(self) -> JobRecord | None:
        """The job while it waits or works."""
        return next((record for record in self._session.jobs.active if record.id == self._job), None)

    def start(self, study: Study, *, scheduler: str | None = None) -> None:
        """Search; a study that was begun before goes on."""
        session, model = self._session, self._session.state.model
        if model is None or self.record is not None:
            return
        self.report, self.outlook = None, Outlook()
        out = session.scratch / "searches" / study.identity()[:16]

        def came(payload: dict[str, Any]) -> None:
            self.report = SearchReport.model_validate(payload)
            if session.state.model == model:
                for candidate in self.report.candidates:
                    self._keep(candidate)
            self.changed.emit()

        def arrived(name: str, payload: dict[str, Any]) -> None:
            if name == "outlook":
                self.outlook = Outlook.model_validate(payload)
                self.changed.emit()
            else:
                came(payload)

        spec = SearchJob(
            model=model.path,
            model_sha256=model.sha256,
            study=study,
            out=str(out),
            scheduler=scheduler,
            staircases=session.state.staircases,
        )
        self._job = session.jobs.submit(spec, "Search", "batch", on_result=came, on_partial=arrived)
        self.changed.emit()

    def cancel(self) -> None:
        """End the search; what was found stays, and the same study goes on from there."""
        if self._job is not None:
            self._session.jobs.cancel(self._job)

    def _keep(self, found: SearchCandidate) -> None:
        """Add a candidate to the project, once: a search that goes on brings those of earlier runs again."""
        session = self._session
        known = {(kept.report.candidate.sha256, kept.report.recipe_sha256) for kept in session.state.candidates}
        if (found.candidate.sha256, found.recipe_sha256) in known:
            return
        try:
            recipe = read_recipe(Path(found.recipe_path))
            candidate = results.new_candidate(session.state, recipe, found.plain(), f"Search {found.number}")
            if session.document.artifacts is not None:
                session.document.artifacts.adopt(self._own_copy(found), candidate.artifact)
            session.document.record(Change.CANDIDATES, candidates=(*session.state.candidates, candidate))
        except WorkbenchError as error:
            session.failed.emit(error)

    def _own_copy(self, found: SearchCandidate) -> Path:
        """Return a file that the project may take: the study keeps its own, to go on from."""
        path = Path(found.candidate.path)
        copy = self._session.scratch / "runs" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        try:
            os.link(path, copy)
        except OSError:  # another drive, or one without links
            shutil.copyfile(path, copy)
        return copy

    def _job_changed(self, job: str) -> None:
        if job == self._job:
            self.changed.emit()


def search_of(session: Session) -> SearchRun:
    """Return the session's search, the same one every time."""
    return session.findChild(SearchRun) or SearchRun(session)
