"""Takes what a method decided for each layer over into the plan, where it is shown and edited like any setting."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from workbench.domain.knobs import KEEP, PRUNE_RATIO, Setting
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.project.commands import Command, ReplacePlan, SetSteps, Together
from workbench.project.state import Candidate, ProjectState


@dataclass(frozen=True)
class ResultPlan:
    """What one step decided; `settled` are parameters of its method that the plan answers from then on."""

    method: str
    plan: Plan
    settled: tuple[tuple[str, Any], ...] = ()


def result_plans(candidate: Candidate | None) -> tuple[ResultPlan, ...]:
    """Return what the steps of a candidate decided, those that decided nothing left out."""
    found = []
    for step in () if candidate is None else candidate.report.steps:
        try:
            plan = Plan.model_validate(step.details.get("plan"))
        except ValidationError:
            # What a method puts there is its own affair; only a plan can be taken over.
            continue
        if plan.knobs():
            settled = step.details.get("settled")
            pairs = tuple(settled.items()) if isinstance(settled, dict) else ()
            found.append(ResultPlan(step.method, plan, pairs))
    return tuple(found)


def take_over_title(results: tuple[ResultPlan, ...]) -> str:
    """Return what the act is called, by what was decided."""
    knobs = frozenset[str]().union(*(result.plan.knobs() for result in results))
    if PRUNE_RATIO.name in knobs:
        return "Use these ratios as plan"
    return "Use these branches as plan" if KEEP.name in knobs else "Use this result as plan"


def take_over(state: ProjectState, candidate: Candidate) -> Command | None:
    """Return the one edit that puts a candidate's results into the plan; None where the plan says so already.

    Of the knobs that were decided, the plan becomes the candidate's own with the results on top; others stay. Steps of
    the recipe that would decide the same once more are told not to.
    """
    results = result_plans(candidate)
    layers = () if state.inspect is None else tuple(layer.name for layer in state.inspect.layers)
    plan = _merged(state.plan, candidate.recipe.plan, results, layers)
    settled = {result.method: dict(result.settled) for result in results}
    steps = tuple(_answered(step, settled.get(step.method, {})) for step in state.steps)
    edits: list[Command] = []
    if plan != state.plan or list(plan.layers) != list(state.plan.layers):
        edits.append(ReplacePlan(plan))
    if steps != state.steps:
        edits.append(SetSteps(steps))
    title = f"{take_over_title(results).removesuffix(' as plan')} of {candidate.name} as plan"
    return Together(tuple(edits), title) if edits else None


def _merged(plan: Plan, base: Plan, results: tuple[ResultPlan, ...], layers: tuple[str, ...]) -> Plan:
    decided = frozenset[str]().union(*(result.plan.knobs() for result in results))
    default = {knob: value for knob, value in plan.default.items() if knob not in decided}
    lines = {
        pattern: {knob: value for knob, value in line.items() if knob not in decided}
        for pattern, line in plan.layers.items()
    }
    for source in (base, *(result.plan for result in results)):
        default.update({knob: value for knob, value in source.default.items() if knob in decided})
        for pattern, line in source.layers.items():
            _add(lines, pattern, {knob: value for knob, value in line.items() if knob in decided}, layers)
    return Plan(default=default, layers={pattern: line for pattern, line in lines.items() if line})


def _add(
    lines: dict[str, dict[str, Setting]], pattern: str, settings: dict[str, Setting], layers: tuple[str, ...]
) -> None:
    """Put settings last, where they win; lines of layers that only exist within the recipe are left out."""
    if settings and any(name == pattern or fnmatchcase(name, pattern) for name in layers):
        lines[pattern] = {**lines.pop(pattern, {}), **settings}


def _answered(step: Step, settled: dict[str, Any]) -> Step:
    """Return a step that leaves to the plan what the plan answers now."""
    changed = {key: value for key, value in settled.items() if step.parameters.get(key, value) != value}
    return step.model_copy(update={"parameters": {**step.parameters, **changed}}) if changed else step
