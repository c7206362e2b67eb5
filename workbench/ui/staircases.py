"""Has a worker time layers against their width, and keeps with the project what it found, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workbench.domain.errors import WorkbenchError
from workbench.domain.staircase import StaircaseReport
from workbench.jobs.specs import StaircaseJob
from workbench.project.staircases import with_staircases
from workbench.project.state import Change
from workbench.ui import workflow
from workbench.ui.models import numbers
from workbench.ui.session import Session


def climb(session: Session, layers: Iterable[str] = ()) -> str | None:
    """Time layers, or all without any; returns the job, or None without a model."""
    chosen = tuple(layers)
    what = "all layers" if not chosen else chosen[0] if len(chosen) == 1 else numbers.plural(len(chosen), "layer")
    return _submit(session, chosen, f"Staircase of {what}", known_only=False)


def ask_what_is_known(session: Session) -> str | None:
    """Take over what was measured of the model's shapes before, in this project or another."""
    return _submit(session, (), "Look up staircases", known_only=True)


def climbing(session: Session, layer: str) -> bool:
    """Whether a worker times this layer now, or is about to."""
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(
        isinstance(spec, StaircaseJob) and not spec.known_only and (not spec.layers or layer in spec.layers)
        for spec in specs
    )


def _submit(session: Session, layers: tuple[str, ...], title: str, *, known_only: bool) -> str | None:
    state = session.state
    if state.model is None:
        return None
    model, dimensions = state.model, state.dimensions

    def found(payload: dict[str, Any]) -> None:
        now = session.state
        report = StaircaseReport.model_validate(payload)
        if now.model is None or now.model.sha256 != model.sha256 or now.dimensions != dimensions or not report.layers:
            return
        merged = with_staircases(now.staircases, report)
        if merged == now.staircases:
            return
        try:
            session.document.record(Change.STAIRCASE, staircases=merged)
        except WorkbenchError as error:
            session.failed.emit(error)

    spec = StaircaseJob(
        model=model.path,
        model_sha256=model.sha256,
        layers=layers,
        device=state.latency.device,
        known_only=known_only,
        shared=state.staircases,
        **workflow.measured_as(state),
    )
    return session.jobs.submit(
        spec,
        title,
        "interactive" if known_only else "batch",
        on_result=found,
        on_partial=lambda name, payload: found(payload),
    )
