"""The job that counts how many samples a second models get through when several streams ask at once."""

from __future__ import annotations

from typing import Any

from workbench.graph.shapes import require_known_dimensions
from workbench.jobs.context import JobContext
from workbench.jobs.specs import ThroughputJob
from workbench.worker.device_jobs import device_named
from workbench.worker.measuring_jobs import runnable_model
from workbench.worker.model_jobs import onnx_file


def count_samples(spec: ThroughputJob, context: JobContext) -> dict[str, Any]:
    """Count samples a second, models interleaved → ThroughputReport."""
    paths = [onnx_file(model, context) for model in spec.models]
    require_known_dimensions([runnable_model(path) for path in paths], spec.dimensions)
    report = device_named(spec.device).throughput(
        paths,
        threads=spec.threads,
        batch=spec.batch,
        streams=spec.streams,
        seconds=spec.seconds,
        dimensions=spec.dimensions,
        progress=context.progress,
        cancel=context.cancel,
    )
    return report.model_dump(mode="json")
