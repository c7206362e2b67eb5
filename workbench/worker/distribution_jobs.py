"""The job that counts a layer's numbers before and after its quantizer, on the method's own levels or a file's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.domain.errors import DataError
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Step
from workbench.engines.contracts import Batch
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.fold_constants import fold_constants
from workbench.graph.storage import model_sha256, open_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import DistributionJob
from workbench.methods.distribution import activation_distribution, weight_distribution
from workbench.methods.method import Method, Requirement, Tools
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry
from workbench.methods.step import apply_method, naming
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import bring_data_plugins, loaded_methods
from workbench.worker.model_jobs import onnx_file

_PLAIN = "quantize.ptq"
_MOST_KEPT = 4

# The channels of a layer are asked for one after the other, and all are of the same graphs.
_kept: OrderedDict[str, tuple[ModelGraph, ModelGraph | None, str, tuple[str, ...]]] = OrderedDict()


def distribution(spec: DistributionJob, context: JobContext) -> dict[str, Any]:
    """Count numbers and levels → DistributionReport.

    Raises:
        BadInputError: the model or the candidate has no such layer, or no such channel.
        DataError: activations are asked for, and there are no training samples.
        RecipeError: the step can't honour the layer's bits.
    """
    path = onnx_file(spec.model, context, spec.model_sha256)
    context.progress.update(0.0, "opening")
    key = f"{model_sha256(path)} {spec.model_copy(update={'channel': None, 'model': ''}).model_dump_json()}"
    if key not in _kept:
        _kept[key] = _graphs(spec, path, context)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    before, after, quantizer, notes = _kept[key]
    if spec.of == "weights":
        report = weight_distribution(before, after, spec.layer, channel=spec.channel, quantizer=quantizer)
    else:
        data = _data(spec, before, context)
        if data is None:
            raise DataError("there are no samples to observe activations on", action="Choose data with a train split.")

        def batches() -> Iterable[Batch]:
            return data.calibration(spec.samples, min(spec.samples, 32))

        report = activation_distribution(
            before,
            after,
            spec.layer,
            batches,
            min(spec.samples, len(data.training)),
            inference_engine(),
            quantizer=quantizer,
            progress=context.progress.part(0.5, 1.0, "observing"),
            cancel=context.cancel,
        )
    return report.model_copy(update={"notes": (*notes, *report.notes)}).model_dump(mode="json")


def _graphs(
    spec: DistributionJob, path: Path, context: JobContext
) -> tuple[ModelGraph, ModelGraph | None, str, tuple[str, ...]]:
    """Return the float graph, the deployed one, who made it, and what should be known of it."""
    graph = open_model(path)
    # Methods fold batch norm before they round, and so must what their levels are compared with.
    before = fold_batch_norm(fold_constants(graph))
    if spec.candidate is not None:
        return before, open_model(Path(spec.candidate)), f"the file of {spec.name}", ()
    if spec.step is None:
        return before, None, "", ()
    registry = loaded_methods(context)
    method, notes = _quick(registry, registry.instantiate(spec.step), spec.step, graph)
    settings = LayerSettings({spec.layer: dict(spec.settings)})
    entry = registry.get(method.id)
    where = f"levels of {spec.layer}"
    with naming(entry, where):
        method.check(graph, settings)
    tools = Tools(
        reference=graph,
        data=_data(spec, graph, context),
        inference=inference_engine(),
        training=DeferredTrainingEngine(threads=1),
        rng=np.random.default_rng(spec.seed),
        seed=spec.seed,
        progress=context.progress.part(0.0, 0.5, "quantizing"),
        cancel=context.cancel,
        log=context.log,
    )
    result = apply_method(method, entry, where, graph, settings, tools)
    return before, result.graph, method.title, notes


def _quick(registry: MethodRegistry, method: Method, step: Step, graph: ModelGraph) -> tuple[Method, tuple[str, ...]]:
    """Return the method itself, or the plain rounding that one which trains, or decides on all layers, begins at."""
    trains = Requirement.GRADIENTS in method.requirements(graph)
    if (not trains and method.sweep_obstacle() is None) or _PLAIN not in registry or method.id == _PLAIN:
        return method, ()
    plain = registry.get(_PLAIN).method
    # Ranges and types are found with the same parameters, where both have them.
    shared = {name: value for name, value in step.parameters.items() if name in plain.Parameters.model_fields}
    what = "trains its levels" if trains else "decides for all layers together"
    note = f"{method.title} {what}: these are the levels of plain rounding; a finished candidate shows its own"
    return registry.instantiate(Step(method=_PLAIN, parameters=shared)), (note,)


def _data(spec: DistributionJob, graph: ModelGraph, context: JobContext) -> RecipeData | None:
    if spec.data is None or spec.data.train is None:
        return None
    bring_data_plugins(spec.data, context)
    return RecipeData(spec.data, graph.inputs, inference_engine(), graph, seed=spec.seed, cancel=context.cancel)
