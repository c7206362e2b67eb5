"""Has a worker count the samples a second of original and candidates, and keeps with the project what it found."""

from __future__ import annotations

from typing import Any

from workbench.domain.errors import WorkbenchError
from workbench.domain.throughput import ThroughputReport
from workbench.jobs.specs import ThroughputJob
from workbench.project.state import Candidate, Change
from workbench.ui import workflow
from workbench.ui.session import Session


def count_samples(session: Session, candidates: tuple[Candidate, ...], *, batch: int, streams: int) -> str | None:
    """Count samples a second; returns the job, or None without a model or where a candidate's file is gone.

    Args:
        session: The window's.
        candidates: To measure in turn with the original.
        batch: Samples in one inference.
        streams: Sessions that run at the same time.
    """
    state = session.state
    if state.model is None:
        return None
    model, dimensions = state.model, state.dimensions
    try:
        files = [str(session.artifact_path(candidate.id)) for candidate in candidates]
    except WorkbenchError as error:
        session.failed.emit(error)
        return None

    def counted(payload: dict[str, Any]) -> None:
        now = session.state
        if now.model is None or now.model.sha256 != model.sha256 or now.dimensions != dimensions:
            return
        try:
            session.document.record(Change.THROUGHPUT, throughput=ThroughputReport.model_validate(payload))
        except WorkbenchError as error:
            session.failed.emit(error)

    spec = ThroughputJob(
        models=(model.path, *files),
        device=state.latency.device,
        streams=streams,
        **{**workflow.measured_as(state), "batch": batch},
    )
    return session.jobs.submit(spec, "Measure throughput", "batch", on_result=counted)


def counting(session: Session) -> bool:
    """Whether a worker counts now, or is about to."""
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(isinstance(spec, ThroughputJob) for spec in specs)
