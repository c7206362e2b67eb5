"""Jobs that compress: one candidate from a recipe, or a sweep of single settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.measurements import LatencyReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob, SweepJob
from workbench.methods.candidate import make_candidate
from workbench.methods.preparation import RecipeData
from workbench.methods.sensitivity import sweep
from workbench.methods.step_cache import StepCache
from workbench.worker.device_jobs import device_named
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import loaded_methods
from workbench.worker.latency_gauge import DeviceGauge
from workbench.worker.measuring_jobs import check_measurable, latency, runnable_model, test_data
from workbench.worker.model_jobs import onnx_file


def compress(spec: CompressJob, context: JobContext) -> dict[str, Any]:
    """Run a recipe, export and measure → CandidateReport."""
    path = onnx_file(spec.model, context, spec.model_sha256)
    if spec.measure_latency:
        check_measurable(path, device=spec.recipe.device, batch=spec.batch, dimensions=spec.dimensions)
    registry = loaded_methods(context)

    def measure(paths: Sequence[Path], progress: Progress, cancel: CancelToken) -> LatencyReport:
        part = JobContext(progress=progress, cancel=cancel, log=context.log, partial=context.partial)
        return latency(
            list(paths),
            device=spec.recipe.device,
            threads=spec.threads,
            batch=spec.batch,
            seconds=spec.latency_seconds,
            operators=True,
            dimensions=spec.dimensions,
            context=part,
        )

    report = make_candidate(
        path,
        spec.recipe,
        Path(spec.out),
        registry=registry,
        inference=inference_engine(),
        training=DeferredTrainingEngine(),
        measure_latency=measure if spec.measure_latency else None,
        gauge=DeviceGauge(
            path,
            lambda: device_named(spec.recipe.device),
            threads=spec.threads,
            batch=spec.batch,
            dimensions=spec.dimensions,
            log=context.log,
        ),
        dimensions=spec.dimensions,
        cache=None if spec.cache is None else StepCache(Path(spec.cache)),
        progress=context.progress,
        cancel=context.cancel,
        log=context.log,
    )
    return report.model_dump(mode="json")


def sweep_layers(spec: SweepJob, context: JobContext) -> dict[str, Any]:
    """Take sensitivities → SweepReport; each point is also sent as it comes."""
    registry = loaded_methods(context)
    graph = runnable_model(onnx_file(spec.model, context, spec.model_sha256))
    engine = inference_engine()
    dataset = test_data(spec.data, graph)
    data = None
    if spec.data.train is not None:
        data = RecipeData(spec.data, graph.inputs, engine, graph, seed=spec.seed, cancel=context.cancel)
    report = sweep(
        graph,
        registry,
        method=spec.method,
        parameters=spec.parameters,
        knob=spec.knob,
        values=spec.values,
        layers=spec.layers,
        samples=spec.samples,
        seed=spec.seed,
        dataset=dataset,
        data=data,
        inference=engine,
        training=DeferredTrainingEngine(),
        store=None if spec.store is None else Path(spec.store),
        done=spec.done,
        on_point=lambda point: context.partial("point", point.model_dump(mode="json")),
        progress=context.progress,
        cancel=context.cancel,
        log=context.log,
    )
    return report.model_dump(mode="json")
