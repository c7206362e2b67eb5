"""Makes a candidate: runs a recipe, writes the file, and measures everything on that file and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.data.dataset import Dataset, open_split
from workbench.data.fit import check_fit
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, StorageError
from workbench.domain.measurements import LatencyReport, MetricMeasurement, PairedDifference
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateFile, CandidateReport, ModelSummary
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.bit_operations import bit_operations
from workbench.graph.check import require_runtime_support
from workbench.graph.diff import layer_changes, new_layers, operator_changes
from workbench.graph.inspection import summary
from workbench.graph.model import ModelGraph
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.passes.drop_traces import drop_traces
from workbench.graph.shapes import open_dimensions
from workbench.graph.storage import open_model, save_model
from workbench.methods.evaluation import Evaluated, Reference, checked_metric, chosen_samples, compare, evaluate
from workbench.methods.foresight import look_at_test
from workbench.methods.latency_gauge import LatencyGauge
from workbench.methods.pipeline import description_of, run_recipe
from workbench.methods.registry import MethodRegistry
from workbench.methods.step_cache import StepCache

MeasureLatency = Callable[[Sequence[Path], Progress, CancelToken], LatencyReport]


@dataclass(frozen=True)
class _Accuracy:
    baseline: MetricMeasurement | None = None
    candidate: MetricMeasurement | None = None
    difference: PairedDifference | None = None


def make_candidate(
    model_path: Path,
    recipe: Recipe,
    out_path: Path,
    *,
    registry: MethodRegistry,
    inference: InferenceEngine,
    training: TrainingEngine,
    measure_latency: MeasureLatency | None = None,
    gauge: LatencyGauge | None = None,
    cache: StepCache | None = None,
    threads: int = 0,
    dimensions: Mapping[str, int] | None = None,
    baseline: Evaluated | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> CandidateReport:
    """Run a recipe on a model file, export the result and measure the exported file.

    Model, data and the place of the result are checked before the first step runs.

    Args:
        model_path: The original.
        recipe: With its data embedded; without data, accuracy is not measured.
        out_path: Where the candidate is written, at once or not at all.
        registry: The known methods.
        inference: Engine that evaluates.
        training: Engine that trains.
        measure_latency: Measures the original and the candidate, interleaved, on the recipe's device; None leaves
            latency out.
        gauge: Times graphs for steps that aim at a latency, or None.
        cache: Of step results, or None.
        threads: Of evaluation; 0 takes all cores.
        dimensions: Sizes of dynamic dimensions besides the batch, for the costs in the report.
        baseline: The original's metric on the same samples where it is known already.
        progress: Of the whole.
        cancel: Polled throughout; a cancel before the export leaves no file.
        log: Takes lines for the job's log.

    Raises:
        BadInputError: model, recipe or data can't be used.
        StorageError: the candidate can't be written.
        CancelledError: `cancel` was set.
    """
    progress, cancel = progress or Progress(), cancel or CancelToken()
    began = time.perf_counter()
    _check_target(model_path, out_path)
    original = open_model(model_path)
    require_runtime_support(original)
    open_dimensions(original, dimensions)
    test = _test_split(recipe, original)
    # Where the original's metric is known, they were all read.
    if test is not None and baseline is None:
        look_at_test(chosen_samples(test, recipe.evaluate.samples))
    warnings: list[str] = []
    if recipe.data is None:
        warnings.append("The recipe names no data: accuracy was not measured.")
    elif test is None:
        warnings.append("The data has no test split: accuracy was not measured.")

    result = run_recipe(
        original,
        recipe,
        registry,
        inference,
        training,
        gauge=gauge,
        cache=cache,
        progress=progress.part(0.0, 0.7),
        cancel=cancel,
        log=log,
    )
    cancel.raise_if_cancelled()
    save_model(drop_traces(result.graph), out_path)
    exported = open_model(out_path)
    accuracy = _Accuracy()
    if test is not None:
        part = progress.part(0.7, 0.9)
        accuracy = _accuracy(inference, original, model_path, out_path, test, recipe, threads, baseline, part, cancel)
        log(_accuracy_line(accuracy))
    report = None
    if measure_latency is not None:
        part = progress.part(0.9, 1.0, "latency")
        part.update(0.0)
        report = measure_latency((model_path, out_path), part, cancel)
        ratio = report.models[1].ratio_to_first
        log(f"Latency: {ratio.median:.3f} of the original ({ratio.ci95[0]:.3f} to {ratio.ci95[1]:.3f})")
    file = summary(exported, out_path, dimensions=dimensions)
    progress.update(1.0)
    return CandidateReport(
        model=_with_bits(summary(original, model_path, dimensions=dimensions), original, dimensions),
        candidate=_file_report(_with_bits(file, exported, dimensions), exported),
        metric=accuracy.candidate,
        baseline_metric=accuracy.baseline,
        difference=accuracy.difference,
        latency=None if report is None else report.models[1],
        latency_report=report,
        layers=layer_changes(original, exported),
        new_layers=new_layers(original, exported),
        operators=operator_changes(original, exported),
        steps=result.steps,
        recipe_sha256=recipe.sha256(),
        warnings=(*result.warnings, *warnings),
        seconds=time.perf_counter() - began,
    )


def _with_bits(model: ModelSummary, graph: ModelGraph, dimensions: Mapping[str, int] | None) -> ModelSummary:
    return model.model_copy(update={"bit_operations": bit_operations(graph, dimensions)})


def _file_report(file: ModelSummary, exported: ModelGraph) -> CandidateFile:
    packed = packed_size_bytes(exported, file.size_bytes)
    return CandidateFile(
        path=file.path,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        params=file.params,
        macs=file.macs,
        bit_operations=file.bit_operations,
        packed_bytes=packed if packed < file.size_bytes else None,
    )


def _check_target(model_path: Path, out_path: Path) -> None:
    """Refuse a place that can't be written to before an hour of work, not after.

    Raises:
        BadInputError: it is the original itself, or no model's name.
        StorageError: the folder does not exist or is read-only.
    """
    require_model_name(out_path)
    if out_path.exists() and model_path.exists() and os.path.samefile(model_path, out_path):
        raise BadInputError(
            "the candidate would replace the original", where=str(out_path), action="Choose another name."
        )
    folder = out_path.absolute().parent
    if not folder.is_dir():
        raise StorageError(f"the folder {folder} does not exist", where=str(out_path), action="Create it first.")
    if not os.access(folder, os.W_OK) or out_path.is_dir():
        raise StorageError("can't be written", where=str(out_path), action="Choose another folder or name.")


def require_model_name(path: Path) -> None:
    """Refuse to write a model under another kind of file's name: it may be the data or the recipe, mistyped.

    Raises:
        BadInputError: the name does not end in .onnx.
    """
    if path.suffix.lower() != ".onnx" and not path.is_dir():
        raise BadInputError("a model can't be written under this name", where=str(path), expected="a name in .onnx")


def _test_split(recipe: Recipe, original: ModelGraph) -> Dataset | None:
    if recipe.data is None or description_of(recipe).test is None:
        return None
    dataset = open_split(description_of(recipe), "test", original.inputs)
    check_fit(dataset, original.inputs, original.outputs)
    checked_metric(dataset)
    chosen_samples(dataset, recipe.evaluate.samples)
    return dataset


def _accuracy(
    engine: InferenceEngine,
    original: ModelGraph,
    model_path: Path,
    out_path: Path,
    test: Dataset,
    recipe: Recipe,
    threads: int,
    known: Evaluated | None,
    progress: Progress,
    cancel: CancelToken,
) -> _Accuracy:
    """Evaluate both files on the same samples, the original only where its metric is not known yet."""
    reference = Reference(engine, original)
    measured = [] if known is None else [known]
    for path, part in (
        (model_path, progress.part(0.0, 0.5, "original")),
        (out_path, progress.part(0.5, 1.0, "candidate")),
    )[len(measured) :]:
        measured.append(
            evaluate(
                engine,
                path,
                test,
                samples=recipe.evaluate.samples,
                threads=threads,
                reference=reference,
                progress=part,
                cancel=cancel,
            )
        )
    baseline, candidate = measured
    return _Accuracy(baseline.measurement, candidate.measurement, compare(baseline, candidate))


def _accuracy_line(accuracy: _Accuracy) -> str:
    if accuracy.candidate is None or accuracy.baseline is None:
        return "Accuracy: not measured"
    return (
        f"{accuracy.candidate.metric}: {accuracy.candidate.value:.4f}, original {accuracy.baseline.value:.4f} "
        f"({accuracy.candidate.samples} samples)"
    )
