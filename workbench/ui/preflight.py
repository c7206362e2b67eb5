"""Has a worker foretell what the present recipe will take, and keeps with the project what it found."""

from __future__ import annotations

from typing import Any

from workbench.domain.errors import WorkbenchError
from workbench.domain.preflight import Preflight
from workbench.domain.recipe import Recipe
from workbench.jobs.specs import PreflightJob
from workbench.project.state import Change, Foretold
from workbench.ui import workflow
from workbench.ui.session import Session


def recipe_to_foretell(session: Session) -> Recipe:
    """Return what Run would do: the plan and the steps, with those that the plan's settings need."""
    state = session.state
    return state.recipe().model_copy(update={"steps": workflow.steps_for(state.plan, state.steps, session.methods)})


def foretelling(session: Session) -> bool:
    """Whether a worker foretells now, or is about to."""
    specs = (session.jobs.spec(record.id) for record in session.jobs.active)
    return any(isinstance(spec, PreflightJob) for spec in specs)


def up_to_date(session: Session) -> bool:
    """Whether what is known was foretold of the present recipe and setting."""
    known = session.state.preflight
    setting = session.state.latency
    return (
        known is not None
        and known.recipe_sha256 == recipe_to_foretell(session).sha256()
        and (known.threads, known.report.batch) == (setting.threads, setting.batch)
    )


def foretell(session: Session) -> str | None:
    """Foretell the present recipe; returns the job, or None without a model."""
    state = session.state
    if state.model is None:
        return None
    recipe, model = recipe_to_foretell(session), state.model
    setting = workflow.measured_as(state)

    def done(payload: dict[str, Any]) -> None:
        if session.state.model != model:
            return
        found = Foretold(
            recipe_sha256=recipe.sha256(),
            threads=setting["threads"],
            report=Preflight.model_validate(payload),
        )
        try:
            session.document.record(Change.PREFLIGHT, preflight=found)
        except WorkbenchError as error:
            session.failed.emit(error)

    spec = PreflightJob(model=model.path, model_sha256=model.sha256, recipe=recipe, **setting)
    return session.jobs.submit(spec, "Will it help here?", "batch", on_result=done)
