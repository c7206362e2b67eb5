"""The job that compares model files sample by sample."""

from __future__ import annotations

from typing import Any

from workbench.domain.errors import BadInputError
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompareJob
from workbench.methods.comparison import compare_models
from workbench.worker.engines import inference_engine
from workbench.worker.installed_methods import bring_data_plugins
from workbench.worker.measuring_jobs import runnable_model, test_data
from workbench.worker.model_jobs import onnx_file


def compare(spec: CompareJob, context: JobContext) -> dict[str, Any]:
    """Run models on the same samples → ComparisonReport.

    Raises:
        BadInputError: fewer than two models, or they can't be compared.
        ProjectError: a file has another hash.
    """
    if spec.model_sha256s and len(spec.model_sha256s) != len(spec.models):
        raise BadInputError(
            f"{len(spec.model_sha256s)} hashes are given for {len(spec.models)} models", expected="one for each"
        )
    hashes = spec.model_sha256s or (None,) * len(spec.models)
    paths = [onnx_file(model, context, sha256) for model, sha256 in zip(spec.models, hashes, strict=True)]
    graphs = [runnable_model(path) for path in paths]
    bring_data_plugins(spec.data, context)
    datasets = [test_data(spec.data, graph) for graph in graphs]
    report = compare_models(
        inference_engine(),
        paths,
        datasets[0],
        samples=spec.samples,
        pictures=spec.pictures,
        layer_samples=spec.layer_samples,
        progress=context.progress,
        cancel=context.cancel,
    )
    return report.model_dump(mode="json")
