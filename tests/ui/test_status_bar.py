"""The status line says in figures what is shown, and whether what is planned was measured already."""

from __future__ import annotations

from typing import Any

from tests.fakes.projects import resnet20_state
from workbench.domain.plan import Plan
from workbench.project.state import ProjectState
from workbench.ui.status_bar import plan_text


def _with(state: ProjectState, **fields: Any) -> ProjectState:
    return state.model_copy(update=fields)


def test_a_plan_that_was_run_is_measured() -> None:
    state = resnet20_state()
    assert plan_text(state).endswith("not measured yet")
    run = state.candidates[0].model_copy(update={"name": "Mine", "recipe": state.recipe()})
    state = _with(state, candidates=(run, *state.candidates[1:]))
    assert plan_text(state).endswith("measured as Mine")
    assert plan_text(_with(state, seed=state.seed + 1)).endswith("not measured yet")
    hidden = run.model_copy(update={"deleted": True})
    assert plan_text(_with(state, candidates=(hidden, *state.candidates[1:]))).endswith("not measured yet")


def test_an_empty_plan_says_so() -> None:
    assert plan_text(ProjectState()) == ""
    assert plan_text(_with(resnet20_state(), plan=Plan())) == "Plan: nothing set yet"
