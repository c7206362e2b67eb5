"""Has a worker measure the original and candidates in turn, and keeps what it found while they stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.domain.errors import WorkbenchError
from workbench.jobs.specs import JobSpec
from workbench.project.state import Candidate
from workbench.ui.session import Session


def measure_side_by_side(
    session: Session,
    candidates: tuple[Candidate, ...],
    make: Callable[[tuple[str, ...]], JobSpec],
    title: str,
    keep: Callable[[dict[str, Any]], None],
) -> str | None:
    """Begin a job; returns its id, or None without a model or where a candidate's file is gone.

    Args:
        session: The window's.
        candidates: To measure in turn with the original.
        make: Returns the job for the paths of the original and of the candidates.
        title: Of the job.
        keep: Takes the result, unless the project has another model or other sizes by then.
    """
    state = session.state
    if state.model is None:
        return None
    model, dimensions = state.model, state.dimensions
    try:
        files = tuple(str(session.artifact_path(candidate.id)) for candidate in candidates)
    except WorkbenchError as error:
        session.failed.emit(error)
        return None

    def found(payload: dict[str, Any]) -> None:
        now = session.state
        if now.model is None or now.model.sha256 != model.sha256 or now.dimensions != dimensions:
            return
        try:
            keep(payload)
        except WorkbenchError as error:
            session.failed.emit(error)

    return session.jobs.submit(make((model.path, *files)), title, "batch", on_result=found)


def at_work(session: Session, kind: type[JobSpec]) -> bool:
    """Whether a job of a kind is under way, or about to be."""
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(isinstance(spec, kind) for spec in specs)


def work_words(session: Session, kind: type[JobSpec], words: str) -> str:
    """Return what is said while a job of a kind is under way: that it waits, or `words` once it runs."""
    own = [record for record in session.jobs.active if isinstance(session.jobs.spec(record.id), kind)]
    return "Waits until the jobs ahead of it are done." if own and own[0].state == "queued" else words
