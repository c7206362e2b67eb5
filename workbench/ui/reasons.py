"""Why something can't be done now, in words that say what enables it, and the act that leads there."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.domain.reports import ParameterSchema
from workbench.project.state import ProjectState
from workbench.ui.models.reason import Reason
from workbench.ui.models.recipe_steps import run_blocked


def missing(
    state: ProjectState, methods: Sequence[ParameterSchema], candidate: str | None, needs: Sequence[str]
) -> Reason | None:
    """Return the first thing that an action lacks, or None.

    Args:
        state: The project.
        methods: The installed methods; none while they are still being read.
        candidate: Id of the selected candidate.
        needs: Among "model", "data", "methods", "candidate", "run" (all that a run with plan and recipe needs).
    """
    for need in needs:
        reason = _lacks(need, state, methods, candidate)
        if reason is not None:
            return reason
    return None


def _lacks(need: str, state: ProjectState, methods: Sequence[ParameterSchema], candidate: str | None) -> Reason | None:
    match need:
        case "model" if state.inspect is None:
            return Reason("Open a model first", "model.open")
        case "data" if state.data is None:
            return Reason("Choose data first", "data.choose")
        case "methods" if not methods:
            return Reason("The plugins are still being read")
        case "candidate" if candidate is None:
            return Reason("Select a candidate in the Pareto plot", "panel.pareto")
        case "run":
            return run_blocked(state, methods, loading=not methods)
    return None
