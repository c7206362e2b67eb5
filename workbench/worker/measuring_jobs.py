"""Jobs that measure files: metric, latency, and the first look at data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.dataset import Dataset, open_split
from workbench.data.fit import check_fit
from workbench.data.preview import data_preview, sample_preview
from workbench.data.readers.array_headers import list_arrays
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, DataError
from workbench.domain.measurements import LatencyReport
from workbench.domain.remote_device import LOCAL
from workbench.engines.contracts import InferenceEngine
from workbench.engines.inference_ort.sample_inputs import batch_of, random_inputs
from workbench.graph.check import require_runtime_support
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import require_known_dimensions
from workbench.graph.storage import open_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import EvaluateJob, LadderJob, ListArraysJob, PreviewDataJob, ProfileJob
from workbench.methods.evaluation import Reference, chosen_output, evaluate
from workbench.methods.truth_ladder import Ladder
from workbench.worker.device_jobs import device_named, remote_device_named
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import bring_data_plugins
from workbench.worker.model_jobs import onnx_file


def evaluate_file(spec: EvaluateJob, context: JobContext) -> dict[str, Any]:
    """Take the metric of a model file → MetricMeasurement."""
    path = onnx_file(spec.model, context, spec.model_sha256)
    graph = runnable_model(path)
    bring_data_plugins(spec.data, context)
    engine = inference_engine()
    dataset = test_data(spec.data, graph)
    with ExitStack() as stack:
        there = None if spec.device == LOCAL else stack.enter_context(remote_device_named(spec.device).running())
        evaluated = evaluate(
            there or engine,
            path,
            dataset,
            samples=spec.samples,
            batch_size=spec.batch,
            threads=spec.threads,
            reference=Reference(engine, path),
            progress=context.progress,
            cancel=context.cancel,
        )
    return evaluated.measurement.model_dump(mode="json")


def climb_ladder(spec: LadderJob, context: JobContext) -> dict[str, Any]:
    """Execute a file in three ways and compare → LadderReport."""
    path = onnx_file(spec.model, context, spec.model_sha256)
    graph = runnable_model(path)
    bring_data_plugins(spec.data, context)
    if spec.compared_samples < 1:
        raise BadInputError(f"compared_samples is {spec.compared_samples}", expected="at least 1")
    # Rounding is many short steps; on two threads each waits for the slower core: 40 times longer beside other work.
    ladder = Ladder(inference_engine(), DeferredTrainingEngine(threads=1))
    report = ladder.climb(
        path,
        test_data(spec.data, graph),
        original=None if spec.original is None else onnx_file(spec.original, context),
        samples=spec.samples,
        compared_samples=spec.compared_samples,
        progress=context.progress,
        cancel=context.cancel,
    )
    return report.model_dump(mode="json")


def profile(spec: ProfileJob, context: JobContext) -> dict[str, Any]:
    """Measure latencies, interleaved → LatencyReport."""
    paths = [onnx_file(model, context) for model in spec.models]
    graphs = [runnable_model(path) for path in paths]
    require_known_dimensions(graphs, spec.dimensions)
    report = latency(
        paths,
        device=spec.device,
        threads=spec.threads,
        batch=spec.batch,
        seconds=spec.seconds,
        operators=spec.operators,
        dimensions=spec.dimensions,
        context=context,
    )
    return report.model_dump(mode="json")


def latency(
    paths: list[Path],
    *,
    device: str,
    threads: int,
    batch: int,
    seconds: float,
    operators: bool,
    dimensions: Mapping[str, int],
    context: JobContext,
) -> LatencyReport:
    """Measure on the named device.

    Raises:
        DeviceError: there is no such device, or it can't measure.
    """
    return device_named(device).measure(
        paths,
        threads=threads,
        batch=batch,
        seconds=seconds,
        operators=operators,
        dimensions=dimensions,
        progress=context.progress,
        cancel=context.cancel,
    )


def check_measurable(path: Path, *, device: str, batch: int, dimensions: Mapping[str, int]) -> None:
    """Refuse a latency measurement that would fail after the hour of work before it.

    Raises:
        BadInputError: a dynamic dimension has no value.
        DeviceError: there is no such device, or it can't measure.
    """
    inputs = runnable_model(path).inputs
    random_inputs(inputs, batch=batch_of(inputs, batch, path.name), dimensions=dimensions, where=path.name)
    device_named(device).check()


def preview(spec: PreviewDataJob, context: JobContext) -> dict[str, Any]:
    """Show samples, and check the preprocessing by evaluating the original on a few of them → DataPreview."""
    graph = None if spec.model is None else open_model(onnx_file(spec.model, context))
    bring_data_plugins(spec.data, context)
    inputs = () if graph is None else graph.inputs
    train = None if spec.data.train is None else open_split(spec.data, "train", inputs)
    test = None if spec.data.test is None else open_split(spec.data, "test", inputs)
    shown = data_preview(test, train, spec.samples)
    dataset = test or train
    if graph is None or dataset is None:
        return shown.model_dump(mode="json")
    context.progress.update(0.2, "trying the model")
    require_runtime_support(graph)
    check_fit(dataset, graph.inputs, graph.outputs)
    engine = inference_engine()
    predictions = _predictions(engine, graph, dataset, [sample.index for sample in shown.samples])
    samples = tuple(
        sample_preview(dataset, sample.index, prediction)
        for sample, prediction in zip(shown.samples, predictions, strict=True)
    )
    evaluated = evaluate(
        engine,
        graph,
        dataset,
        samples=min(spec.metric_samples, len(dataset)),
        reference=Reference(engine, graph),
        progress=context.progress.part(0.3, 1.0),
        cancel=context.cancel,
    )
    return shown.model_copy(update={"samples": samples, "metric": evaluated.measurement}).model_dump(mode="json")


def list_data_arrays(spec: ListArraysJob, context: JobContext) -> dict[str, Any]:
    """Read what the headers of NumPy files say → ArraysReport."""
    return list_arrays(Path(spec.path)).model_dump(mode="json")


def runnable_model(path: Path) -> ModelGraph:
    """Open a model that is going to run.

    Raises:
        ModelFileError: the file can't be used.
        UnsupportedGraphError: no runtime here has one of its operators; names the node.
    """
    graph = open_model(path)
    require_runtime_support(graph)
    return graph


def test_data(description: DataDescription, graph: ModelGraph) -> Dataset:
    """Open the test split and make sure that it fits the model.

    Raises:
        DataError: there is no test split, it can't be read, or it does not fit.
    """
    if description.test is None:
        raise DataError("the data has no test split", where="test", action="Add `test:` to the DATA.yaml.")
    dataset = open_split(description, "test", graph.inputs)
    check_fit(dataset, graph.inputs, graph.outputs)
    return dataset


def _predictions(
    engine: InferenceEngine, graph: ModelGraph, dataset: Dataset, indices: list[int]
) -> list[np.ndarray | None]:
    if dataset.description.task != "classification" or not indices:
        return [None] * len(indices)
    session = engine.open(graph)
    outputs = [
        chosen_output(session.run(batch.inputs), dataset.output)
        for batch in dataset.batches(len(indices), indices=np.asarray(indices))
    ]
    return list(np.concatenate(outputs))
