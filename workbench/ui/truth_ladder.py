"""Has a worker climb the truth ladder of a candidate, and keeps with the candidate what it found."""

from __future__ import annotations

from typing import Any

from workbench.domain.data_description import DataDescription
from workbench.domain.errors import WorkbenchError
from workbench.domain.ladder import LadderReport
from workbench.jobs.specs import LadderJob
from workbench.project.state import Change
from workbench.ui.session import Session


def climbing(session: Session, id: str) -> bool:
    """Whether a worker checks the candidate's file now, or is about to."""
    artifact = session.state.candidate(id).artifact
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(isinstance(spec, LadderJob) and spec.model_sha256 == artifact for spec in specs)


def climb(session: Session, id: str) -> str | None:
    """Check a candidate's file; returns the job, or None where the file or the data is missing, which is said."""
    state = session.state
    if state.model is None:
        return None
    candidate = state.candidate(id)
    try:
        path = session.artifact_path(id)
    except WorkbenchError as error:
        session.failed.emit(error)
        return None

    def climbed(payload: dict[str, Any]) -> None:
        report = LadderReport.model_validate(payload)
        kept = tuple(
            entry.model_copy(update={"ladder": report}) if entry.id == id else entry
            for entry in session.state.candidates
        )
        try:
            session.document.record(Change.CANDIDATES, candidates=kept)
        except WorkbenchError as error:
            session.failed.emit(error)

    data = candidate.recipe.data
    if not isinstance(data, DataDescription):
        return None
    spec = LadderJob(
        model=str(path),
        model_sha256=candidate.artifact,
        original=state.model.path,
        data=data,
        samples=candidate.recipe.evaluate.samples,
    )
    return session.jobs.submit(spec, f"Truth ladder: {candidate.name}", "batch", on_result=climbed)
