"""Runs a recipe: checks all of it before the first second of work, then step by step, cached, timed and cancellable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError, StorageError
from workbench.domain.integer_sums import saturation
from workbench.domain.plan import LayerSettings, resolve
from workbench.domain.recipe import Recipe
from workbench.domain.reports import StepReport
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import check_lines, layer_knobs
from workbench.methods.foresight import look_at_samples, look_at_weights
from workbench.methods.latency_gauge import LatencyGauge
from workbench.methods.method import Method, MethodResult, Requirement, Stage, Tools
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry, Registered
from workbench.methods.requirements import check_requirements
from workbench.methods.step import apply_method, fold_given_back, naming
from workbench.methods.step_cache import StepCache, StepKey, graph_sha256

_CACHED_WEIGHT_BYTES: Final = 1_500_000_000


@dataclass(frozen=True)
class PipelineResult:
    """The compressed graph, one report per executed step, and warnings of the preflight."""

    graph: ModelGraph
    steps: tuple[StepReport, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A recipe that passed the preflight: enabled methods with their positions, resolved settings, data, warnings."""

    methods: tuple[tuple[int, Method], ...]
    settings: LayerSettings
    data: RecipeData | None
    warnings: tuple[str, ...]


def prepare(
    graph: ModelGraph,
    recipe: Recipe,
    registry: MethodRegistry,
    inference: InferenceEngine,
    *,
    training: TrainingEngine | None = None,
    gauge: LatencyGauge | None = None,
    cancel: CancelToken | None = None,
) -> Prepared:
    """Check a recipe against a model without running anything.

    Args:
        graph: The original model.
        recipe: With its data embedded.
        registry: The known methods.
        inference: Engine that methods will validate with.
        training: Engine that methods will take gradients from; None leaves unchecked whether it can.
        gauge: Times graphs for methods that aim at a latency, or None.
        cancel: Polled while methods validate.

    Raises:
        RecipeError: unknown method, parameter or knob, a value out of range, a glob that matches no layer, a setting
            that a method can't honour, or data or labels that a step needs and the recipe does not name.
        UnsupportedGraphError: a step needs gradients and the graph has an operator without them.
        UnsupportedGraphError: a weight is not finite.
        DataError: the data that a step needs can't be opened, or a calibration sample is not finite.
        PluginError: a method's check raised something unexpected.
    """
    methods = registry.instantiate_all(recipe)
    settings = resolve(recipe.plan, _placed(graph, recipe, registry), registry.knobs)
    warnings = _unread(recipe, settings, methods, registry)
    data = None
    if recipe.data is not None:
        data = RecipeData(description_of(recipe), graph.inputs, inference, graph, seed=recipe.seed, cancel=cancel)
    if methods:
        warnings.extend(look_at_weights(graph))
    samples = 0
    for index, method in methods:
        with naming(registry.get(method.id), f"step {index + 1}"):
            warnings.extend(method.check(graph, settings))
            if inference.integer_dot_products is False and (layers := method.saturating(graph, settings)):
                warnings.append(saturation(layers, method.within_16_bits, f"step {index + 1}"))
            needed = method.requirements(graph)
            samples = max(samples, method.calibrates_on(graph))
            foreseen = method.foreseen(graph)
        check_requirements(f"step {index + 1}", method, needed, graph, data, training, gauge)
        graph = foreseen
    if samples and data is not None:
        warnings.extend(look_at_samples(data, samples))
    return Prepared(methods, settings, data, tuple(dict.fromkeys(warnings)))


def _placed(graph: ModelGraph, recipe: Recipe, registry: MethodRegistry) -> dict[str, tuple[str, ...]]:
    check_lines(recipe.plan, graph, registry)
    return layer_knobs(graph, registry)


def _unread(
    recipe: Recipe, settings: LayerSettings, methods: tuple[tuple[int, Method], ...], registry: MethodRegistry
) -> list[str]:
    read = {knob.name for _, method in methods for knob in method.knobs}
    found = []
    for name in sorted(recipe.plan.knobs() - read):
        touched = settings.touched(registry.knob(name))
        if touched:
            layers = "1 layer" if len(touched) == 1 else f"{len(touched)} layers"
            found.append(f"No step reads {name}, which the plan sets on {layers}: it has no effect.")
    return found


def run_recipe(
    graph: ModelGraph,
    recipe: Recipe,
    registry: MethodRegistry,
    inference: InferenceEngine,
    training: TrainingEngine,
    *,
    gauge: LatencyGauge | None = None,
    cache: StepCache | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> PipelineResult:
    """Run all enabled steps of a recipe on a graph.

    Each step's random numbers depend on the recipe's seed, the step's position and its method only. Batch norm that
    steps gave back to a graph without any is folded again before a step that quantizes or encodes, and at the end.

    Args:
        graph: The original model; it stays as it is, and is the teacher of trainings.
        recipe: With its data embedded.
        registry: The known methods.
        inference: Engine that runs, measures and calibrates.
        training: Engine that trains.
        gauge: Times graphs for methods that aim at a latency, or None.
        cache: Of step results, or None.
        progress: Of the whole recipe.
        cancel: Polled between steps and handed to them.
        log: Takes lines for the job's log.

    Raises:
        RecipeError: the preflight found something; nothing ran.
        PluginError: a method raised something unexpected or returned an invalid graph; names method and plugin.
        CancelledError: `cancel` was set.
    """
    progress, cancel = progress or Progress(), cancel or CancelToken()
    prepared = prepare(graph, recipe, registry, inference, training=training, gauge=gauge, cancel=cancel)
    for warning in prepared.warnings:
        log(f"Warning: {warning}")
    if cache is not None and graph.weight_bytes > _CACHED_WEIGHT_BYTES:
        log("Step results of a model this large are not cached.")
        cache = None
    current, reports = graph, []
    reference = "" if cache is None else graph_sha256(graph)
    total = len(prepared.methods)
    for position, (index, method) in enumerate(prepared.methods):
        cancel.raise_if_cancelled()
        entry = registry.get(method.id)
        if method.stage in (Stage.QUANTIZE, Stage.ENCODE):
            current = fold_given_back(current, graph)
        part = progress.part(position / total, (position + 1) / total, entry.method.title)
        part.update(0.0)
        began = time.perf_counter()
        seed = step_seed(recipe.seed, index, method.id)
        with naming(entry, f"step {index + 1}"):
            aims_at_time = Requirement.LATENCY in method.requirements(current)
        # What a step measures belongs to the machine and the setting it was measured in, and so does its result.
        timed = gauge.setting if gauge is not None and aims_at_time else ""
        key = "" if cache is None else _key(current, reference, entry, method, prepared, seed, timed).digest()
        result = None if cache is None else cache.get(key)
        cached = result is not None
        if result is None:
            tools = Tools(
                reference=graph,
                data=prepared.data,
                inference=inference,
                training=training,
                rng=np.random.default_rng(seed),
                seed=seed,
                progress=part,
                cancel=cancel,
                log=log,
                checkpoint=None if cache is None else cache.checkpoint(key),
                latency_ratio=None if gauge is None else partial(gauge.ratio, cancel=cancel),
            )
            result = apply_method(method, entry, f"step {index + 1}", current, prepared.settings, tools)
            # What a cancel cut short is not the step's result: a later run goes on from its checkpoint.
            if cache is not None and not cancel.cancelled:
                _keep(cache, key, result, log)
        seconds = time.perf_counter() - began
        current = result.graph
        reports.append(
            StepReport(
                method=method.id, seconds=seconds, notes=result.notes, cached=cached, details=dict(result.details)
            )
        )
        log(f"{entry.method.title}: {'taken from an earlier run' if cached else f'{seconds:.1f} s'}")
        part.update(1.0)
    return PipelineResult(fold_given_back(current, graph), tuple(reports), prepared.warnings)


def step_seed(recipe_seed: int, index: int, method: str) -> int:
    """Return the seed (32 bits) of a step, which no other step's parameters change."""
    text = f"{recipe_seed}/{index}/{method}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def description_of(recipe: Recipe) -> DataDescription:
    """Return the recipe's embedded data.

    Raises:
        RecipeError: it names none, or a file that was not read yet.
    """
    if isinstance(recipe.data, DataDescription):
        return recipe.data
    if recipe.data is None:
        raise RecipeError("the recipe names no data", where="data", action="Name a DATA.yaml under `data`.")
    raise RecipeError(
        f"the data {recipe.data!r} is a path",
        where="data",
        action="Read the recipe with `read_recipe`, which embeds it.",
    )


def _keep(cache: StepCache, key: str, result: MethodResult, log: Callable[[str], None]) -> None:
    """Cache a result; a full disk must not cost the work that was just done, so it is only told."""
    try:
        cache.put(key, result)
    except StorageError as error:
        log(f"Warning: this step's result was not cached. {error}")


def _key(
    graph: ModelGraph, reference: str, entry: Registered, method: Method, prepared: Prepared, seed: int, timed: str
) -> StepKey:
    settings = {
        layer: {
            knob.name: [values[knob.name], int(prepared.settings.origin(layer, knob))]
            for knob in method.knobs
            if knob.name in values
        }
        for layer, values in prepared.settings.items()
    }
    return StepKey(
        graph=graph_sha256(graph),
        reference=reference,
        method=(method.id, method.version, entry.plugin, entry.plugin_version),
        parameters=method.parameters.model_dump(mode="json"),
        settings={layer: values for layer, values in settings.items() if values},
        seed=seed,
        data="" if prepared.data is None else prepared.data.fingerprint(),
        timed=timed,
    )
