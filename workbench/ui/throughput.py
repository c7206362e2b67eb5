"""Has a worker count the samples a second of original and candidates, and keeps with the project what it found."""

from __future__ import annotations

from workbench.domain.throughput import ThroughputReport
from workbench.jobs.specs import ThroughputJob
from workbench.project.state import Candidate, Change
from workbench.ui import workflow
from workbench.ui.session import Session
from workbench.ui.side_by_side import at_work, measure_side_by_side


def count_samples(session: Session, candidates: tuple[Candidate, ...], *, batch: int, streams: int) -> str | None:
    """Count samples a second; returns the job, or None without a model or where a candidate's file is gone.

    Args:
        session: The window's.
        candidates: To measure in turn with the original.
        batch: Samples in one inference.
        streams: Sessions that run at the same time.
    """
    state = session.state
    return measure_side_by_side(
        session,
        candidates,
        lambda paths: ThroughputJob(
            models=paths,
            device=state.latency.device,
            streams=streams,
            **{**workflow.measured_as(state), "batch": batch},
        ),
        "Measure throughput",
        lambda found: session.document.record(Change.THROUGHPUT, throughput=ThroughputReport.model_validate(found)),
    )


def counting(session: Session) -> bool:
    """Whether a worker counts now, or is about to."""
    return at_work(session, ThroughputJob)
