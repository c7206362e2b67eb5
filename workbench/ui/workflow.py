"""What the window concludes from a plan, a model and the installed methods, as pure functions tested without Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.domain.knobs import FIRST_PARTY_KNOBS, Knob, Setting
from workbench.domain.plan import LayerSettings, Plan, resolve
from workbench.domain.recipe import Step
from workbench.domain.reports import InspectReport, ParameterSchema
from workbench.project.state import ProjectState

RECOMMENDED = ("decompose.auto", "prune.l1", "prune.sparsegpt", "train.finetune", "quantize.ptq")
"""Methods to begin with: what a run without steps takes, and what stands first in menus."""


def settings_of(plan: Plan, report: InspectReport, knobs: tuple[Knob, ...] = FIRST_PARTY_KNOBS) -> LayerSettings:
    """Return every layer's settings under a plan.

    Raises:
        RecipeError: a line of the plan does not fit the model.
    """
    return resolve(plan, {layer.name: layer.knobs for layer in report.layers}, knobs)


def steps_for(plan: Plan, steps: tuple[Step, ...], methods: tuple[ParameterSchema, ...]) -> tuple[Step, ...]:
    """Return `steps`, or, where there are none yet, for each stage the steps it takes to read the plan's knobs.

    A pruning is followed by a training step where a method for it is installed, because a pruned network that was
    not trained again is rarely of use.
    """
    if steps:
        return steps
    used = plan.knobs()
    order = ("decompose", "prune", "train", "quantize", "encode")
    chosen: list[Step] = []
    for stage in order:
        offered = [method for method in methods if method.stage == stage]
        offered.sort(key=lambda method: (method.id not in RECOMMENDED, method.id))
        if stage == "train":
            pruned = any(step.method.startswith("prune.") for step in chosen)
            chosen.extend(new_step(method) for method in offered[:1] if pruned)
            continue
        unread = set(used)
        for method in offered:
            if unread & set(method.knobs):
                chosen.append(new_step(method))
                unread -= set(method.knobs)
    return tuple(chosen)


def new_step(method: ParameterSchema) -> Step:
    """Return a step of a method as it is put into a recipe: defaults, and what this computer's integers ask for."""
    return Step(method=method.id, parameters=dict(method.within_16_bits[0]) if method.within_16_bits else {})


def as_put_in(steps: Iterable[Step], methods: Iterable[ParameterSchema]) -> tuple[Step, ...]:
    """Return a preset's steps with what `new_step` gives those of its methods; the preset's own word stands."""
    known = {method.id: new_step(method).parameters for method in methods}
    return tuple(
        step.model_copy(update={"parameters": {**known.get(step.method, {}), **step.parameters}}) for step in steps
    )


def known_knobs(listed: Iterable[Mapping[str, Any]]) -> tuple[Knob, ...]:
    """Return the first-party knobs, then those that plugins brought, from the fields that a worker listed."""
    knobs = {knob.name: knob for knob in FIRST_PARTY_KNOBS}
    for fields in listed:
        # JSON has no tuples.
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in fields.items()}
        knob = Knob(**values)
        knobs[knob.name] = knob
    return tuple(knobs.values())


def measured_as(state: ProjectState) -> dict[str, Any]:
    """Return the fields of a job that say how the project measures latency, and at what sizes."""
    return {"threads": state.latency.threads, "batch": state.latency.batch, "dimensions": state.dimensions}


def sweep_values(knob: Knob) -> tuple[Setting, ...]:
    """Return the values that a sweep tries when the user names none."""
    return knob.sweep or knob.choices
