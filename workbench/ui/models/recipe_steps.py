"""The recipe panel's snapshot: steps with their warnings, whether it can run and why not, and presets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS, Knob, Setting
from workbench.domain.operator_kinds import computes_in_integers
from workbench.domain.recipe import Step
from workbench.domain.reports import ParameterSchema
from workbench.project.state import ProjectState
from workbench.ui.models.reason import Reason
from workbench.ui.workflow import steps_for

_Step = TypeVar("_Step")

BACK_TO_FLOAT = Step(method="quantize.to_float")
STAGES = ("decompose", "prune", "train", "quantize", "encode")


@dataclass(frozen=True)
class StepRemedy:
    """What would mend the thing that a step's last warning says.

    Attributes:
        title, tooltip: Of the button.
        first: A step to put before all others, or None.
        instead: What this step becomes, or None.
    """

    title: str
    tooltip: str
    first: Step | None = None
    instead: Step | None = None


@dataclass(frozen=True)
class StepView:
    """One step as the list shows it.

    Attributes:
        schema: None when no installed plugin brings the method.
        remedy: What would mend the thing that the last warning says, if anything would.
    """

    step: Step
    title: str
    stage: str
    schema: ParameterSchema | None
    warnings: tuple[str, ...] = ()
    remedy: StepRemedy | None = None


@dataclass(frozen=True)
class RecipeView:
    """All steps, and why a run is impossible (None when it is possible)."""

    steps: tuple[StepView, ...] = ()
    blocked: Reason | None = None


@dataclass(frozen=True)
class Preset:
    """Steps and plan defaults that a menu entry puts in place; `settings` are knob defaults."""

    title: str
    doc: str
    steps: tuple[Step, ...]
    settings: tuple[tuple[str, Any], ...] = ()

    def missing(self, methods: Iterable[ParameterSchema]) -> tuple[str, ...]:
        """Return the ids of its methods that no installed plugin brings."""
        known = {method.id for method in methods}
        return tuple(step.method for step in self.steps if step.method not in known)


# Runtimes compute odd numbers of channels slowly.
_HALVED = Step(method="prune.l1", parameters={"channel_multiple": 8})
_TRAINED = Step(method="train.finetune", parameters={"epochs": 3})
PRESETS = (
    Preset(
        "Quantize to 8 bits",
        "Weights and activations of every layer to 8 bits, calibrated on training samples; no training.",
        (Step(method="quantize.ptq"),),
        (("weight_bits", 8), ("activation_bits", 8)),
    ),
    Preset(
        "Prune and fine-tune",
        "Remove half of the output channels by L1 norm, in multiples of 8, then train for three epochs.",
        (_HALVED, _TRAINED),
        (("prune_ratio", 0.5),),
    ),
    Preset(
        "Prune to 60 % of the time, fine-tune",
        "Remove channels by L1 norm until trials take 60 % of the original's time, then train for three epochs.",
        (
            Step(method="prune.l1", parameters={"target": "latency", "target_ratio": 0.6, "channel_multiple": 8}),
            _TRAINED,
        ),
    ),
    Preset(
        "Prune, fine-tune, quantize",
        "Remove half of the output channels, in multiples of 8, train for three epochs, then quantize to 8 bits.",
        (_HALVED, _TRAINED, Step(method="quantize.ptq")),
        (("prune_ratio", 0.5), ("weight_bits", 8), ("activation_bits", 8)),
    ),
)


def resolve_recipe(state: ProjectState, methods: Sequence[ParameterSchema], *, loading: bool = False) -> RecipeView:
    """Return the panel's snapshot; `loading` while the list of methods has not arrived yet."""
    known = {method.id: method for method in methods}
    steps = tuple(_step(step, state, known, loading) for step in state.steps)
    if quantized_already(state) and BACK_TO_FLOAT.method in known:
        steps = tuple(_offering(view, state.steps[:place]) for place, view in enumerate(steps))
    return RecipeView(steps, run_blocked(state, methods, loading=loading))


def run_blocked(state: ProjectState, methods: Sequence[ParameterSchema], *, loading: bool = False) -> Reason | None:
    """Return why the recipe can't run now and what would enable it, or None when it can."""
    known = {method.id: method for method in methods}
    if state.model is None:
        return Reason("Open a model first", "model.open")
    if not state.steps and not state.plan.knobs():
        return Reason("Add a step, or give a layer a setting", "panel.layers")
    if state.steps and not any(step.enabled for step in state.steps):
        return Reason("Every step is switched off: enable one", "panel.recipe")
    if loading:
        return Reason("The installed methods are still being read")
    enabled = [step for step in steps_for(state.plan, state.steps, tuple(methods)) if step.enabled]
    if not enabled:
        knobs = ", ".join(sorted(state.plan.knobs()))
        return Reason(f"No installed plugin reads what the plan sets ({knobs}): add a step", "panel.recipe")
    unknown = [step.method for step in enabled if step.method not in known]
    if unknown:
        text = f"No installed plugin brings {unknown[0]}: install it, or disable or remove the step"
        return Reason(text, "panel.recipe")
    hungry = [known[step.method].title for step in enabled if known[step.method].needs_data]
    if hungry and state.data is None:
        return Reason(f"{hungry[0]} needs samples: choose data first", "data.choose")
    return None


def moved(steps: Sequence[_Step], source: int, target: int) -> tuple[_Step, ...]:
    """Return the steps with the one at `source` at place `target` of the result."""
    rest = [*steps[:source], *steps[source + 1 :]]
    return (*rest[:target], steps[source], *rest[target:])


def by_stage(methods: Iterable[ParameterSchema]) -> tuple[tuple[str, tuple[ParameterSchema, ...]], ...]:
    """Return the methods grouped by stage, stages in the order in which recipes run them."""
    found: dict[str, list[ParameterSchema]] = {}
    for method in methods:
        found.setdefault(method.stage, []).append(method)
    order = [*STAGES, *sorted(set(found) - set(STAGES))]
    return tuple((stage, tuple(sorted(found[stage], key=lambda m: m.title))) for stage in order if stage in found)


def _step(step: Step, state: ProjectState, known: dict[str, ParameterSchema], loading: bool) -> StepView:
    schema = known.get(step.method)
    if schema is None:
        text = "Still being read" if loading else "No installed plugin brings this method; it can't run, but it is kept"
        return StepView(step, step.method, "", None, (text,))
    warnings = []
    if schema.needs_data and state.data is None:
        warnings.append("Needs samples: choose data")
    if schema.knobs and not _touches(state, schema.knobs):
        warnings.append(f"The plan sets none of {', '.join(schema.knobs)}: this step would change nothing")
    properties = schema.json_schema.get("properties", {})
    warnings.extend(f"{key} is not a parameter of this method" for key in step.parameters if key not in properties)
    remedy = _within_16_bits(step, state, schema)
    if remedy is not None:
        warnings.append("Sums of 8-bit products saturate on this processor, which costs accuracy")
    return StepView(step, schema.title, schema.stage, schema, tuple(warnings), remedy)


def _within_16_bits(step: Step, state: ProjectState, schema: ParameterSchema) -> StepRemedy | None:
    """Return the way out where the plan sets weights and activations of 8 bits, and the step does nothing about it."""
    ways = schema.within_16_bits
    if not step.enabled or not ways or any(way.items() <= step.parameters.items() for way in ways):
        return None
    if not all(_given(state, knob, 8) for knob in (WEIGHT_BITS, ACTIVATION_BITS)):
        return None
    properties = schema.json_schema.get("properties", {})
    titles = [str(properties.get(name, {}).get("title", name)) for name in ways[0]]
    instead = step.model_copy(update={"parameters": {**step.parameters, **ways[0]}})
    settings = ", ".join(f"{name} = {value}" for name, value in ways[0].items())
    return StepRemedy(" and ".join(titles), f"Set {settings} in this step", instead=instead)


def _given(state: ProjectState, knob: Knob, value: Setting) -> bool:
    """Whether the plan gives any layer a value."""
    lines = (state.plan.default, *state.plan.layers.values())
    return any(line.get(knob.name) == value for line in lines)


def quantized_already(state: ProjectState) -> bool:
    """Whether the model that was opened holds quantizers or integer operators."""
    drawing = None if state.inspect is None else state.inspect.drawing
    return drawing is not None and any(computes_in_integers(node.op) for node in drawing.nodes)


def _offering(view: StepView, before: Sequence[Step]) -> StepView:
    """Return a step that wants a float model with the offer to make it one, unless a step before it does."""
    steps = [*before, view.step]
    if view.stage not in ("prune", "quantize") or not view.step.enabled:
        return view
    if any(step.enabled and step.method == BACK_TO_FLOAT.method for step in steps):
        return view
    text = "The model is quantized already: switch this step off to keep it so, or turn it back to float first"
    remedy = StepRemedy("Put Back to float first", f"Add {BACK_TO_FLOAT.method} as the first step", first=BACK_TO_FLOAT)
    return replace(view, warnings=(*view.warnings, text), remedy=remedy)


def _touches(state: ProjectState, knobs: Iterable[str]) -> bool:
    return bool(state.plan.knobs() & set(knobs))
