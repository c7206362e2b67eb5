"""How far the job has come, from the opened model to the chosen candidate, as a pure function of the project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from workbench.jobs.record import JobRecord
from workbench.jobs.specs import CompressJob, EvaluateJob, InspectJob, JobSpec, PreviewDataJob, SweepJob
from workbench.project.state import ProjectState
from workbench.ui.models import numbers

StepName = Literal["Model", "Data", "Baseline", "Sensitivity", "Plan", "Run", "Choose"]
StepState = Literal["done", "stale", "working", "next", "open"]
NAMES: tuple[StepName, ...] = ("Model", "Data", "Baseline", "Sensitivity", "Plan", "Run", "Choose")


@dataclass(frozen=True)
class StepView:
    """One step as the bar shows it; `tip` says what is there, or what a click does."""

    name: StepName
    state: StepState
    tip: str


def resolve_steps(state: ProjectState, jobs: Iterable[tuple[JobRecord, JobSpec | None]]) -> tuple[StepView, ...]:
    """Return the seven steps; `jobs` are those that wait or work, with what they were asked to do."""
    working = {name for _, spec in jobs if (name := _step_of(spec)) is not None}
    found = (
        _model(state),
        _data(state),
        _baseline(state),
        _sensitivity(state),
        _plan(state),
        _run(state),
        _choose(state),
    )
    views: list[StepView] = []
    next_found = False
    for name, (reached, tip) in zip(NAMES, found, strict=True):
        here: StepState = reached
        if name in working:
            here, tip = "working", f"{tip} (being worked on)"
        elif reached == "open" and not next_found and name != "Sensitivity":
            here, next_found = "next", True
        views.append(StepView(name, here, tip))
    return tuple(views)


_Found = tuple[Literal["done", "stale", "open"], str]


def _model(state: ProjectState) -> _Found:
    if state.inspect is None or state.model is None:
        return "open", "Open a model"
    return "done", f"{state.model.path}\n{numbers.plural(len(state.inspect.layers), 'layer')}"


def _data(state: ProjectState) -> _Found:
    if state.data is None:
        return "open", "Choose the data that accuracy is measured on"
    return "done", f"{state.data.task.capitalize()}, {numbers.metric_title(state.data.metric)}, {state.data_folder}"


def _baseline(state: ProjectState) -> _Found:
    if state.baseline is None:
        return "open", "Measure the original: every candidate is compared with it"
    return "done", f"The original: {numbers.metric_text(state.baseline)} on {state.baseline.samples} samples"


def _sensitivity(state: ProjectState) -> _Found:
    points = sum(len(entry.points) for entry in state.sensitivities)
    if not points:
        return "open", "Measure how much every layer minds (optional)"
    stale = state.data is not None and any(entry.metric != state.data.metric for entry in state.sensitivities)
    text = f"{numbers.plural(points, 'point')} of {numbers.plural(len(state.sensitivities), 'sweep')}"
    return ("stale", f"{text}, some for another metric") if stale else ("done", text)


def _plan(state: ProjectState) -> _Found:
    knobs = state.plan.knobs()
    if not knobs and not state.steps:
        return "open", "Give layers their settings, or add steps to the recipe"
    named = numbers.plural(len(state.plan.layers), "line")
    return "done", f"{numbers.plural(len(knobs), 'setting')} in {named}, {numbers.plural(len(state.steps), 'step')}"


def _run(state: ProjectState) -> _Found:
    shown = [candidate for candidate in state.candidates if not candidate.deleted]
    if not shown:
        return "open", "Compress with the plan and measure the exported file"
    text = numbers.plural(len(shown), "candidate")
    if (state.plan.knobs() or state.steps) and not _is_run(state):
        return "stale", f"{text}; the plan has changed since"
    return "done", text


def _choose(state: ProjectState) -> _Found:
    stars = [candidate.name for candidate in state.candidates if candidate.star and not candidate.deleted]
    if not stars:
        return "open", "Star or export the candidate you take"
    return "done", f"Chosen: {', '.join(stars)}"


def _is_run(state: ProjectState) -> bool:
    recipe = state.recipe()
    return any(
        candidate.recipe.plan == recipe.plan and candidate.recipe.steps == recipe.steps
        for candidate in state.candidates
    )


def _step_of(spec: JobSpec | None) -> StepName | None:
    match spec:
        case InspectJob():
            return "Model"
        case PreviewDataJob():
            return "Data"
        case EvaluateJob():
            return "Baseline"
        case SweepJob():
            return "Sensitivity"
        case CompressJob():
            return "Run"
    return None
