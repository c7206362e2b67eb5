"""Gives the open sizes of the model's inputs values, in the project and in what is known of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.domain.errors import ProjectError, WorkbenchError
from workbench.domain.reports import InspectReport
from workbench.jobs.specs import InspectJob
from workbench.project.commands import Command, SetDimensions, SetRun, Together
from workbench.project.state import Change
from workbench.ui.session import Session

TITLE = "Set sizes of dimensions"


def set_sizes(
    session: Session,
    sizes: Mapping[str, int],
    batch: int,
    done: Callable[[], object],
    failed: Callable[[WorkbenchError], None],
) -> str | None:
    """Describe the model with these sizes in a worker; if that works they become the project's, as one step to undo.

    Args:
        session: The project.
        sizes: By key, without the batch.
        batch: Samples in one inference while latency is measured.
        done: Called once they are the project's.
        failed: Called with what is wrong with them.
    """
    state, document = session.state, session.document
    model = state.model
    if model is None:
        return None

    def described(payload: dict[str, Any]) -> None:
        report = InspectReport.model_validate(payload)
        if session.document is not document or session.state.model != model:
            return
        if report.model.sha256 != model.sha256:
            failed(
                ProjectError(
                    "the model file was changed since the project measured it",
                    where=model.path,
                    action="Restore the original file, or open the changed one as a new model.",
                )
            )
            return
        edits: list[Command] = [SetDimensions(dict(sizes), report)]
        latency = session.state.latency
        if latency.batch != batch:
            edits.append(SetRun(latency=latency.model_copy(update={"batch": batch})))
        session.do(Together(tuple(edits), title=TITLE))
        done()

    spec = InspectJob(model=model.path, drawing=True, dimensions=dict(sizes))
    title = f"Set sizes of {Path(model.path).name}"
    return session.jobs.submit(spec, title, "interactive", on_result=described, on_failed=failed)


def describe_at_sizes(session: Session) -> str | None:
    """Describe the model again at the project's sizes, e.g. because its file moved or the program is a newer one."""
    state, document = session.state, session.document
    model = state.model
    if model is None:
        return None

    def described(payload: dict[str, Any]) -> None:
        report = InspectReport.model_validate(payload)
        now = session.state
        same = session.document is document and now.model == model and now.dimensions == state.dimensions
        if not same or report == now.inspect or report.model.sha256 != model.sha256:
            return
        try:
            document.record(Change.MODEL, inspect=report)
        except WorkbenchError as error:
            session.failed.emit(error)

    spec = InspectJob(model=model.path, drawing=True, dimensions=state.dimensions)
    return session.jobs.submit(spec, f"Open {Path(model.path).name}", "interactive", on_result=described)
