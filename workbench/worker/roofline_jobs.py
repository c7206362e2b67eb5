"""The job that places a model's layers under a device's roofs: its own peaks, and the time of every operator."""

from __future__ import annotations

import time
from typing import Any

from workbench.devices.peak_book import PeakBook
from workbench.domain.measurements import OperatorTime
from workbench.domain.roofline import DevicePeaks, LayerRoof, RooflineReport, under_roof
from workbench.engines.inference_ort.profile import WIDENED
from workbench.graph.shapes import require_known_dimensions
from workbench.graph.storage import model_sha256
from workbench.graph.traffic import INTEGER_KERNELS, LayerTraffic, layer_traffic
from workbench.jobs.context import JobContext
from workbench.jobs.specs import RooflineJob
from workbench.project.places import cache_folder
from workbench.worker.device_jobs import device_named
from workbench.worker.measuring_jobs import runnable_model
from workbench.worker.model_jobs import onnx_file


def place_layers(spec: RooflineJob, context: JobContext) -> dict[str, Any]:
    """Measure the device's peaks where they are not known, and the model's operators → RooflineReport."""
    began = time.perf_counter()
    path = onnx_file(spec.model, context, spec.model_sha256)
    graph = runnable_model(path)
    require_known_dimensions([graph], spec.dimensions)
    progress = context.progress
    progress.update(0.0, "asking the device")
    device = device_named(spec.device)
    book = PeakBook(cache_folder() / "kernels", spec.threads, device)
    peaks = book.peaks(renew=spec.renew, progress=progress.part(0.0, 0.6), cancel=context.cancel)
    report = device.measure(
        [path],
        threads=spec.threads,
        batch=spec.batch,
        seconds=spec.seconds,
        memory=False,
        dimensions=spec.dimensions,
        progress=progress.part(0.6, 1.0),
        cancel=context.cancel,
    )
    measured = report.models[0]
    by_layer: dict[str, list[OperatorTime]] = {}
    for operator in measured.operators:
        if operator.layer is not None:
            by_layer.setdefault(operator.layer, []).append(operator)
    total_ms = sum(operator.median_ms for operator in measured.operators)
    layers = tuple(
        _placed(traffic, by_layer.get(traffic.layer, []), peaks, total_ms)
        for traffic in layer_traffic(graph, measured.batch, spec.dimensions)
    )
    return RooflineReport(
        model=str(path),
        model_sha256=model_sha256(path),
        peaks=peaks,
        threads=spec.threads,
        asked_batch=spec.batch,
        batch=measured.batch,
        layers=layers,
        total_ms=total_ms,
        layers_ms=sum(layer.milliseconds for layer in layers),
        noise=report.noise,
        seconds=time.perf_counter() - began,
    ).model_dump(mode="json")


def _placed(traffic: LayerTraffic, operators: list[OperatorTime], peaks: DevicePeaks, total_ms: float) -> LayerRoof:
    reason = traffic.reason
    milliseconds = sum(operator.median_ms for operator in operators)
    if not reason and not operators:
        reason = "the runtime computes it within another operator, or once before any inference"
    elif not reason and milliseconds <= 0:
        reason = "it takes less than the runtime's clock can tell"
    if reason:
        return LayerRoof(layer=traffic.layer, op=traffic.op, reason=reason)
    slowest = max(operators, key=lambda operator: operator.median_ms)
    kernel = slowest.op
    return under_roof(
        peaks,
        traffic.layer,
        traffic.op,
        kernel=kernel,
        form="uint8" if kernel in INTEGER_KERNELS else "float32",
        flops=2 * traffic.macs,
        bytes=traffic.bytes(kernel, widened=slowest.node.startswith(WIDENED)),
        milliseconds=milliseconds,
        total_ms=total_ms,
    )
