"""What the window does with the results of jobs, as pure functions over the document's state, tested without Qt."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.domain.knobs import FIRST_PARTY_KNOBS, Knob, Setting
from workbench.domain.measurements import MetricMeasurement, SensitivityPoint
from workbench.domain.plan import LayerSettings, Plan, resolve
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import CandidateReport, InspectReport, ParameterSchema
from workbench.project.state import Candidate, ProjectState, Sensitivities


def with_points(
    sensitivities: tuple[Sensitivities, ...],
    method: str,
    knob: str,
    metric: str,
    points: Iterable[SensitivityPoint],
    baseline: MetricMeasurement | None = None,
) -> tuple[Sensitivities, ...]:
    """Return the sensitivities with new points; a point of the same layer and value replaces the old one."""
    found = next((entry for entry in sensitivities if (entry.method, entry.knob) == (method, knob)), None)
    entry = found or Sensitivities(method=method, knob=knob, metric=metric)
    if entry.metric != metric:
        entry = Sensitivities(method=method, knob=knob, metric=metric)
    merged = {(point.layer, point.value): point for point in entry.points}
    merged.update({(point.layer, point.value): point for point in points})
    entry = entry.model_copy(
        update={"points": tuple(merged.values()), "baseline": baseline if baseline is not None else entry.baseline}
    )
    if found is None:
        return (*sensitivities, entry)
    return tuple(entry if other is found else other for other in sensitivities)


def finished_points(state: ProjectState, method: str, knob: str) -> tuple[str, ...]:
    """Return the points that a resumed sweep need not repeat, as SweepJob.done wants them."""
    return tuple(
        f"{point.layer}\t{point.value}"
        for entry in state.sensitivities
        if (entry.method, entry.knob) == (method, knob)
        for point in entry.points
    )


def new_candidate(state: ProjectState, recipe: Recipe, report: CandidateReport, name: str | None = None) -> Candidate:
    """Return the candidate that a finished run adds to the project; its artifact is the exported file's hash."""
    taken = {candidate.name for candidate in state.candidates}
    number = len(state.candidates) + 1
    while name is None or name in taken:
        name = f"Candidate {number}"
        number += 1
    return Candidate(
        id=uuid.uuid4().hex[:12],
        name=name,
        recipe=recipe,
        report=report,
        artifact=report.candidate.sha256,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def settings_of(plan: Plan, report: InspectReport, knobs: tuple[Knob, ...] = FIRST_PARTY_KNOBS) -> LayerSettings:
    """Return every layer's settings under a plan.

    Raises:
        RecipeError: a line of the plan does not fit the model.
    """
    return resolve(plan, {layer.name: layer.knobs for layer in report.layers}, knobs)


def coupled_layers(report: InspectReport, layers: Iterable[str], knob: str) -> tuple[str, ...]:
    """Return `layers` and, for a knob that moves channels, every layer whose output channels are in the same group."""
    names = tuple(dict.fromkeys(layers))
    if knob != "prune_ratio":
        return names
    group_of = {layer.name: layer.group for layer in report.layers}
    groups = {group_of.get(name) for name in names} - {None}
    return names + tuple(layer.name for layer in report.layers if layer.group in groups and layer.name not in names)


def steps_for(plan: Plan, steps: tuple[Step, ...], methods: tuple[ParameterSchema, ...]) -> tuple[Step, ...]:
    """Return `steps`, or, where there are none yet, one step per stage that reads a knob of the plan.

    A pruning is followed by a training step where a method for it is installed, because a pruned network that was
    not trained again is rarely of use.
    """
    if steps:
        return steps
    used = plan.knobs()
    order = ("decompose", "prune", "train", "quantize", "encode")
    preferred = ("prune.l1", "train.finetune", "quantize.ptq")
    chosen: list[Step] = []
    for stage in order:
        offered = [method for method in methods if method.stage == stage]
        offered.sort(key=lambda method: (method.id not in preferred, method.id))
        if stage == "train":
            readers = offered if any(step.method.startswith("prune.") for step in chosen) else []
        else:
            readers = [method for method in offered if used & set(method.knobs)]
        if readers:
            chosen.append(Step(method=readers[0].id))
    return tuple(chosen)


def known_knobs(listed: Iterable[Mapping[str, Any]]) -> tuple[Knob, ...]:
    """Return the first-party knobs, then those that plugins brought, from the fields that a worker listed."""
    knobs = {knob.name: knob for knob in FIRST_PARTY_KNOBS}
    for fields in listed:
        # JSON has no tuples.
        knob = Knob(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
        knobs[knob.name] = knob
    return tuple(knobs.values())


def sweep_values(knob: Knob) -> tuple[Setting, ...]:
    """Return the values that a sweep tries when the user names none."""
    return knob.sweep or knob.choices
