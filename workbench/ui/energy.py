"""Has a worker take the energy of the original and of candidates, and keeps with the project what it found."""

from __future__ import annotations

from workbench.domain.energy import EnergyCoefficients, EnergyReport
from workbench.jobs.specs import EnergyJob
from workbench.project.state import Candidate, Change
from workbench.ui import workflow
from workbench.ui.session import Session
from workbench.ui.side_by_side import at_work, measure_side_by_side


def take_energy(session: Session, candidates: tuple[Candidate, ...], coefficients: EnergyCoefficients) -> str | None:
    """Take the energy of an inference; returns the job, or None without a model or where a candidate's file is gone.

    Args:
        session: The window's.
        candidates: To measure in turn with the original.
        coefficients: Of the estimate.
    """
    state = session.state
    return measure_side_by_side(
        session,
        candidates,
        lambda paths: EnergyJob(
            models=paths,
            device=state.latency.device,
            coefficients=coefficients,
            **workflow.measured_as(state),
        ),
        "Energy of an inference",
        lambda found: session.document.record(Change.ENERGY, energy=EnergyReport.model_validate(found)),
    )


def taking(session: Session) -> bool:
    """Whether a worker takes it now, or is about to."""
    return at_work(session, EnergyJob)
