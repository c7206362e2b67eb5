"""Jobs that compress: one candidate from a recipe, or a sweep of single settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DeviceError
from workbench.domain.measurements import LatencyReport
from workbench.domain.remote_device import LOCAL
from workbench.domain.reports import CandidateReport
from workbench.graph.compared_values import saturating_layers
from workbench.graph.storage import open_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob, EstimateJob, InteractionsJob, SweepJob
from workbench.methods.candidate import make_candidate
from workbench.methods.estimates import estimate
from workbench.methods.interactions import interactions
from workbench.methods.preparation import RecipeData
from workbench.methods.search.baseline import read_baseline
from workbench.methods.sensitivity import sweep
from workbench.methods.step_cache import StepCache
from workbench.methods.sweep_setup import Swept, Watched
from workbench.worker.device_jobs import device_named, saturates
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
        baseline=None if spec.baseline is None else read_baseline(Path(spec.baseline)),
        progress=context.progress,
        cancel=context.cancel,
        log=context.log,
    )
    if spec.measure_latency:
        report = _with_warning(report, spec.recipe.device)
    return report.model_dump(mode="json")


def _with_warning(report: CandidateReport, device: str) -> CandidateReport:
    """Return the report with a word where 8-bit sums saturate on the device, but not here where accuracy was taken."""
    if device == LOCAL or saturates(LOCAL):
        return report
    layers = saturating_layers(open_model(Path(report.candidate.path)))
    try:
        if not layers or not saturates(device):
            return report
    except DeviceError:  # it has gone since the latency was measured: no reason to lose a finished candidate
        return report
    warning = (
        f"On device {device} sums of 8-bit products can saturate in {len(layers)} layer(s), which they did not here: "
        "take the metric there too (workbench evaluate --device), or set reduce_range."
    )
    return report.model_copy(update={"warnings": (*report.warnings, warning)})


def sweep_layers(spec: SweepJob, context: JobContext) -> dict[str, Any]:
    """Take sensitivities → SweepReport; each point is also sent as it comes."""
    watched = Watched(context.progress, context.cancel, context.log)
    report = sweep(
        _swept(spec, context),
        spec.values,
        direction=spec.direction,
        done=spec.done,
        on_point=lambda point: context.partial("point", point.model_dump(mode="json")),
        watched=watched,
    )
    return report.model_dump(mode="json")


def measure_interactions(spec: InteractionsJob, context: JobContext) -> dict[str, Any]:
    """Set layers two at a time → InteractionsReport."""
    watched = Watched(context.progress, context.cancel, context.log)
    return interactions(_swept(spec, context), spec.value, watched=watched).model_dump(mode="json")


def estimate_sensitivities(spec: EstimateJob, context: JobContext) -> dict[str, Any]:
    """Rank layers by what the outputs do → EstimateReport."""
    watched = Watched(context.progress, context.cancel, context.log)
    swept = _swept(spec, context)
    found = estimate(swept, spec.values, by=spec.estimator, measured=spec.measured, watched=watched)
    return found.model_dump(mode="json")


def _swept(spec: SweepJob | InteractionsJob | EstimateJob, context: JobContext) -> Swept:
    registry = loaded_methods(context)
    graph = runnable_model(onnx_file(spec.model, context, spec.model_sha256))
    engine = inference_engine()
    dataset = test_data(spec.data, graph)
    data = None
    if spec.data.train is not None:
        data = RecipeData(spec.data, graph.inputs, engine, graph, seed=spec.seed, cancel=context.cancel)
    return Swept(
        graph,
        registry,
        spec.method,
        spec.knob,
        dataset,
        engine,
        # Beside trials that run in parallel, more than one thread of torch would wait for each other.
        DeferredTrainingEngine(threads=1),
        parameters=spec.parameters,
        layers=spec.layers,
        samples=spec.samples,
        data=data,
        seed=spec.seed,
        store=None if isinstance(spec, EstimateJob) or spec.store is None else Path(spec.store),
        early=isinstance(spec, EstimateJob) or spec.early,
        budget=spec.budget if isinstance(spec, SweepJob) else None,
    )
