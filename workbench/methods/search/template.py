"""Fills in what a study leaves open, and turns a proposal into the recipe that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workbench.domain.cores import available_cores
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import ACTIVATION_BITS, KEEP, PRUNE_RATIO, WEIGHT_BITS
from workbench.domain.plan import Plan, resolve
from workbench.domain.recipe import Recipe, Step
from workbench.domain.study import USUAL_STEPS, KnobInPlay, Study
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import layer_knobs
from workbench.methods.method import Stage
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.space import PRECISION_KNOBS, Proposal, Space

_DEPTH, _CHANNELS, _TRAINING, _QUANTIZATION = USUAL_STEPS
_EPOCHS: Final = 4


def completed(study: Study, graph: ModelGraph, registry: MethodRegistry, *, saturates: bool = False) -> Study:
    """Return the study with steps and knobs where it names none.

    Without steps: whole branches out, channels out, a brief training on labels and the original's outputs, and
    8-bit integers, as far as those methods are installed, the model has something for them and the data suffices.
    Without knobs: those that the steps read, bits alike on all layers.

    Args:
        study: What was asked.
        graph: The original.
        registry: The known methods.
        saturates: Whether 8-bit products are added in 16 bits where the study's files run: steps that it fills in stay
            within.

    Raises:
        RecipeError: nothing suits, an unknown method or parameter, or a knob that no step reads.
    """
    steps = study.steps or _usual_steps(study, graph, registry, saturates=saturates)
    registry.instantiate_all(Recipe(steps=steps))
    read = {knob.name: knob for step in steps if step.enabled for knob in registry.get(step.method).method.knobs}
    knobs = dict(study.knobs)
    if not knobs:
        knobs = {name: KnobInPlay(together=name in PRECISION_KNOBS) for name in read}
    for name in knobs:
        registry.knob(name, "knobs")
        if name not in read:
            raise RecipeError(
                f"no step reads {name}",
                where=f"knobs.{name}",
                expected="one of " + (", ".join(read) or "the knobs of the steps, but none of them reads any"),
                action="Add a step that does, or take the knob out of play.",
            )
    return study.model_copy(update={"steps": steps, "knobs": knobs})


def _usual_steps(study: Study, graph: ModelGraph, registry: MethodRegistry, *, saturates: bool) -> tuple[Step, ...]:
    able = {knob for knobs in layer_knobs(graph, registry).values() for knob in knobs}
    trains = isinstance(study.data, DataDescription) and study.data.train is not None
    learns = trains and isinstance(study.data, DataDescription) and study.data.task != "outputs"
    steps: list[Step] = []
    if learns and _DEPTH in registry and KEEP.name in able:
        steps.append(Step(method=_DEPTH))
    if learns and _CHANNELS in registry and PRUNE_RATIO.name in able:
        steps.append(Step(method=_CHANNELS))
    if steps and _TRAINING in registry:
        steps.append(Step(method=_TRAINING, parameters={"epochs": _EPOCHS}))
    if trains and _QUANTIZATION in registry and {WEIGHT_BITS.name, ACTIVATION_BITS.name} & able:
        ways = registry.get(_QUANTIZATION).method.within_16_bits if saturates else ()
        steps.append(Step(method=_QUANTIZATION, parameters=dict(ways[0]) if ways else {}))
    if not steps:
        raise RecipeError(
            "there are no steps that suit this model and data by themselves",
            where="steps",
            found="data without a train split" if not trains else "no layer that the usual methods can change",
            action="Name the steps, or a train split in the DATA.yaml.",
        )
    return tuple(steps)


class Template:
    """Makes recipes of proposals.

    Args:
        study: Completed.
        graph: The original.
        registry: The known methods.
        space: Of the study.
    """

    def __init__(self, study: Study, graph: ModelGraph, registry: MethodRegistry, space: Space) -> None:
        self._study, self._registry, self._space = study, registry, space
        self._layers = layer_knobs(graph, registry)
        self._in_play = frozenset(study.knobs)
        # Trainings side by side that each take all cores are many times slower than one after the other.
        self._threads = max(1, available_cores() // study.workers) if study.workers > 1 else 0

    def recipe(self, proposal: Proposal) -> Recipe:
        """Return the recipe of a proposal."""
        return self.recipe_of_plan(self._space.plan_of(proposal))

    def recipe_of_plan(self, plan: Plan) -> Recipe:
        """Return the recipe with a plan; steps that it gives nothing to do are disabled, and keep their place."""
        touched = self._touched(plan)
        steps: list[Step] = []
        changed, could_change = False, False
        for step in self._study.steps:
            method = self._registry.get(step.method).method
            knobs = frozenset(knob.name for knob in method.knobs)
            enabled = step.enabled
            if enabled and knobs and knobs & self._in_play:
                enabled = bool(knobs & touched)
            if enabled and method.stage is Stage.TRAIN and not knobs and could_change:
                enabled = changed
            if method.stage in (Stage.DECOMPOSE, Stage.PRUNE):
                could_change, changed = True, changed or enabled
            steps.append(self._sharing_cores(step.model_copy(update={"enabled": enabled})))
        return Recipe(
            seed=self._study.seed,
            data=self._study.data,
            plan=plan,
            steps=tuple(steps),
            evaluate=self._study.evaluate,
            device=self._study.device,
        )

    def trained(self, recipe: Recipe) -> bool:
        """Whether a recipe trains."""
        return any(
            step.enabled and self._registry.get(step.method).method.stage is Stage.TRAIN for step in recipe.steps
        )

    def reader(self, knob: str) -> Step | None:
        """Return the first step that reads a knob."""
        return next(
            (
                step
                for step in self._study.steps
                if step.enabled and any(each.name == knob for each in self._registry.get(step.method).method.knobs)
            ),
            None,
        )

    def _sharing_cores(self, step: Step) -> Step:
        """Return a step with its share of the cores, where it takes threads and the study names none."""
        schema = self._registry.get(step.method).method.Parameters.model_fields
        if not self._threads or "threads" not in schema or step.parameters.get("threads"):
            return step
        return step.model_copy(update={"parameters": {**step.parameters, "threads": self._threads}})

    def _touched(self, plan: Plan) -> frozenset[str]:
        settings = resolve(plan, self._layers, self._registry.knobs)
        return frozenset(knob.name for knob in self._registry.knobs if settings.touched(knob))


def labels(space: Space, proposals: Sequence[Proposal]) -> list[str]:
    """Return proposals in words, for logs."""
    found = []
    for proposal in proposals:
        parts = [
            dimension.label(choice)
            for dimension, choice in zip(space.dimensions, space.canonical(proposal), strict=True)
            if dimension.choices[choice]
        ]
        found.append("; ".join(parts) or "everything as it is")
    return found
