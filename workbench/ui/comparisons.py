"""Has a worker compare candidates with the original, and keeps what it found while files and data are the same.

Two jobs: one runs the files on the test data and tells classes, samples and errors of layers; the other times their
operators, interleaved. What was found is also kept beside the project's caches, so that reopening repeats nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from PySide6.QtCore import QObject, Signal

from workbench.domain.comparison_reports import ComparisonReport
from workbench.domain.errors import WorkbenchError
from workbench.domain.measurements import LatencyReport
from workbench.jobs.record import JobRecord
from workbench.jobs.specs import CompareJob, ProfileJob
from workbench.project.state import Candidate
from workbench.ui import workflow
from workbench.ui.session import Session

Report = TypeVar("Report", bound=BaseModel)


class Comparisons(QObject):
    """What is known of sets of candidates beside what was measured when they were made.

    Signals:
        changed: Something was found, or a job of ours goes on.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._found: dict[str, BaseModel] = {}
        self._jobs: dict[str, str] = {}
        session.jobs.jobChanged.connect(self._job_changed)

    def report(self, ids: Sequence[str]) -> ComparisonReport | None:
        """Return how the candidates compare with the original on the data, or None while nobody looked."""
        return self._known(self._key("samples", ids), ComparisonReport)

    def latency(self, ids: Sequence[str]) -> LatencyReport | None:
        """Return the times of operators, the original's first, or None while nobody measured them together."""
        return self._known(self._key("latency", ids), LatencyReport)

    def comparing(self, ids: Sequence[str]) -> JobRecord | None:
        """Return the job that compares these candidates now, or None."""
        return self._record(self._key("samples", ids))

    def timing(self, ids: Sequence[str]) -> JobRecord | None:
        """Return the job that times these candidates now, or None."""
        return self._record(self._key("latency", ids))

    def compare(self, ids: Sequence[str]) -> None:
        """Have the files run on the test data."""
        session, state = self._session, self._session.state
        files = self._files(ids)
        if files is None or state.data is None or state.model is None:
            return
        spec = CompareJob(
            models=(state.model.path, *map(str, files)),
            model_sha256s=(state.model.sha256, *(candidate.artifact for candidate in self._chosen(ids))),
            data=state.data.model_copy(update={"folder": state.data_folder}),
            samples=state.evaluate.samples,
        )
        key = self._key("samples", ids)
        title = f"Compare on the data: {self._names(ids)}"
        self._jobs[key] = session.jobs.submit(spec, title, "batch", on_result=self._keeper(key, ComparisonReport))
        self.changed.emit()

    def time(self, ids: Sequence[str]) -> None:
        """Have the operators of the files timed, interleaved with the original's."""
        session, state = self._session, self._session.state
        files = self._files(ids)
        if files is None or state.model is None:
            return
        spec = ProfileJob(
            models=(state.model.path, *map(str, files)),
            device=state.latency.device,
            operators=True,
            **workflow.measured_as(state),
        )
        key = self._key("latency", ids)
        title = f"Latency by layer: {self._names(ids)}"
        self._jobs[key] = session.jobs.submit(spec, title, "batch", on_result=self._keeper(key, LatencyReport))
        self.changed.emit()

    def cancel(self, record: JobRecord) -> None:
        """Stop one of our jobs."""
        self._session.jobs.cancel(record.id)

    def _chosen(self, ids: Sequence[str]) -> list[Candidate]:
        return [self._session.state.candidate(id) for id in ids]

    def _names(self, ids: Sequence[str]) -> str:
        return ", ".join(candidate.name for candidate in self._chosen(ids))

    def _files(self, ids: Sequence[str]) -> list[Path] | None:
        try:
            return [self._session.artifact_path(id) for id in ids]
        except WorkbenchError as error:
            self._session.failed.emit(error)
            return None

    def _key(self, what: str, ids: Sequence[str]) -> str:
        """Return a name that changes with everything that the result depends on."""
        state = self._session.state
        known = {candidate.id: candidate.artifact for candidate in state.candidates}
        facts: list[object] = [
            what,
            None if state.model is None else state.model.sha256,
            *(known.get(id) for id in ids),
        ]
        if what == "samples":
            facts += [None if state.data is None else state.data.model_dump_json(), state.data_folder]
            facts.append(state.evaluate.samples)
        else:
            facts += [state.latency.model_dump_json(), sorted(state.dimensions.items())]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]

    def _known(self, key: str, kind: type[Report]) -> Report | None:
        found = self._found.get(key)
        if found is None and (path := self._path(key)).is_file():
            try:
                found = kind.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                # A cache from another version, or a broken one: asking again mends it.
                return None
            self._found[key] = found
        return found if isinstance(found, kind) else None

    def _path(self, key: str) -> Path:
        return self._session.scratch / "comparisons" / f"{key}.json"

    def _keeper(self, key: str, kind: type[BaseModel]) -> Callable[[dict[str, Any]], None]:
        def keep(payload: dict[str, Any]) -> None:
            report = kind.model_validate(payload)
            self._found[key] = report
            path = self._path(key)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(report.model_dump_json(), encoding="utf-8")
            except OSError as error:
                self._session.said.emit(f"The comparison is not kept for next time: {error.strerror}")
            self.changed.emit()

        return keep

    def _record(self, key: str) -> JobRecord | None:
        job = self._jobs.get(key)
        return next((record for record in self._session.jobs.active if record.id == job), None)

    def _job_changed(self, job: str) -> None:
        if job in self._jobs.values():
            self.changed.emit()


def comparisons_of(session: Session) -> Comparisons:
    """Return the session's comparisons, the same every time."""
    return session.findChild(Comparisons) or Comparisons(session)
