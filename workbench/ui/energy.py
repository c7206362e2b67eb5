"""Has a worker take the energy of the original and of candidates, and keeps with the project what it found."""

from __future__ import annotations

from typing import Any

from workbench.domain.energy import EnergyCoefficients, EnergyReport
from workbench.domain.errors import WorkbenchError
from workbench.jobs.specs import EnergyJob
from workbench.project.state import Candidate, Change
from workbench.ui import workflow
from workbench.ui.session import Session


def take_energy(session: Session, candidates: tuple[Candidate, ...], coefficients: EnergyCoefficients) -> str | None:
    """Take the energy of an inference; returns the job, or None without a model or where a candidate's file is gone.

    Args:
        session: The window's.
        candidates: To measure in turn with the original.
        coefficients: Of the estimate.
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

    def taken(payload: dict[str, Any]) -> None:
        now = session.state
        if now.model is None or now.model.sha256 != model.sha256 or now.dimensions != dimensions:
            return
        try:
            session.document.record(Change.ENERGY, energy=EnergyReport.model_validate(payload))
        except WorkbenchError as error:
            session.failed.emit(error)

    spec = EnergyJob(
        models=(model.path, *files),
        device=state.latency.device,
        coefficients=coefficients,
        **workflow.measured_as(state),
    )
    return session.jobs.submit(spec, "Energy of an inference", "batch", on_result=taken)


def taking(session: Session) -> bool:
    """Whether a worker takes it now, or is about to."""
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(isinstance(spec, EnergyJob) for spec in specs)
