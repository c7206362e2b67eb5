"""Has a worker place the model's layers under the device's roofs, and keeps with the project what it found."""

from __future__ import annotations

from typing import Any

from workbench.domain.errors import WorkbenchError
from workbench.domain.roofline import RooflineReport
from workbench.jobs.specs import RooflineJob
from workbench.project.rooflines import with_roofline
from workbench.project.state import Candidate, Change
from workbench.ui import workflow
from workbench.ui.session import Session


def place_layers(session: Session, candidate: Candidate | None = None, *, renew: bool = False) -> str | None:
    """Measure the roofs where they are not known, or anew, and all layers; returns the job, or None without a model.

    Args:
        session: The window's.
        candidate: Whose layers; the original's without one.
        renew: The roofs, too.
    """
    state = session.state
    if state.model is None:
        return None
    model, dimensions = state.model, state.dimensions
    own = (model.path, model.sha256)
    path, sha256 = own if candidate is None else (str(session.artifact_path(candidate.id)), candidate.artifact)

    def found(payload: dict[str, Any]) -> None:
        now = session.state
        if now.model is None or now.model.sha256 != model.sha256 or now.dimensions != dimensions:
            return
        try:
            kept = with_roofline(now.rooflines, RooflineReport.model_validate(payload))
            session.document.record(Change.ROOFLINE, rooflines=kept)
        except WorkbenchError as error:
            session.failed.emit(error)

    spec = RooflineJob(
        model=path,
        model_sha256=sha256,
        device=state.latency.device,
        renew=renew,
        **workflow.measured_as(state),
    )
    return session.jobs.submit(
        spec, f"Roofline of {'all layers' if candidate is None else candidate.name}", "batch", on_result=found
    )


def placing(session: Session) -> bool:
    """Whether a worker measures it now, or is about to."""
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(isinstance(spec, RooflineJob) for spec in specs)
