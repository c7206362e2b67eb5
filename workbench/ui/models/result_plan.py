"""Takes what a method decided for each layer over into the plan, where it is shown and edited like any setting."""

from __future__ import annotations

from collections.abc import Mapping
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
    """What one step decided.

    Attributes:
        method: Of the step.
        plan: What it decided.
        settled: Parameters of the method that the plan answers from then on.
        presumed: Parameters that the plan was found with, and means the same with only.
    """

    method: str
    plan: Plan
    settled: tuple[tuple[str, Any], ...] = ()
    presumed: tuple[tuple[str, Any], ...] = ()


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
            found.append(
                ResultPlan(step.method, plan, _pairs(step.details, "settled"), _pairs(step.details, "presumed"))
            )
    return tuple(found)


def _pairs(details: Mapping[str, Any], key: str) -> tuple[tuple[str, Any], ...]:
    found = details.get(key)
    return tuple(found.items()) if isinstance(found, dict) else ()


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
    decided = {result.method: result for result in results}
    steps = tuple(_answered(step, decided.get(step.method)) for step in state.steps)
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


def _answered(step: Step, result: ResultPlan | None) -> Step:
    """Return a step that leaves to the plan what the plan answers now."""
    if result is None:
        return step
    changed = {key: value for key, value in result.settled if step.parameters.get(key, value) != value}
    changed |= {key: value for key, value in result.presumed if step.parameters.get(key) != value}
    return step.model_copy(update={"parameters": {**step.parameters, **changed}}) if changed else step
