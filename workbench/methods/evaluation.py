"""Takes a metric of a model in the inference engine, sample by sample, so that two models can be compared in pairs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from workbench.data.dataset import Dataset
from workbench.data.metrics._base import Metric
from workbench.data.metrics.registry import metric_named
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, DataError, JobError
from workbench.domain.measurements import MetricMeasurement, PairedDifference
from workbench.engines.contracts import InferenceEngine, InferenceSession
from workbench.graph.model import ModelGraph

Model = ModelGraph | Path


class Runner(Protocol):
    """Makes a model ready to run: an inference engine, or another way to execute the same file."""

    def open(self, model: Model, *, threads: int = 0, cancel: CancelToken | None = None) -> InferenceSession:
        """See InferenceEngine.open."""
        ...


@dataclass(frozen=True)
class Evaluated:
    """A metric with the records (N, k) behind it, one row a sample, in the order of the data set."""

    measurement: MetricMeasurement
    per_sample: np.ndarray


class Reference:
    """The original model's outputs, which label-free metrics compare with; computed once, kept while they are small.

    Args:
        engine: Runs the model.
        model: The original.
        limit_bytes: Outputs beyond this are computed again for every evaluation instead of being kept.
    """

    def __init__(self, engine: InferenceEngine, model: Model, *, limit_bytes: int = 512 * 1024**2) -> None:
        self._engine = engine
        self._model = model
        self._limit = limit_bytes
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self._owner: tuple[str, str | None] | None = None
        self._sessions: dict[int, InferenceSession] = {}

    def outputs(
        self, dataset: Dataset, start: int, stop: int, inputs: dict[str, np.ndarray], threads: int
    ) -> np.ndarray:
        """Return the original's outputs for the samples `start` to `stop` of `dataset`, whose inputs are given."""
        owner = (dataset.fingerprint, dataset.output)
        if owner != self._owner:
            self._owner, self._kept = owner, {}
        if (start, stop) not in self._kept:
            if threads not in self._sessions:
                self._sessions[threads] = self._engine.open(self._model, threads=threads)
            found = chosen_output(self._sessions[threads].run(inputs), dataset.output)
            if sum(array.nbytes for array in self._kept.values()) + found.nbytes > self._limit:
                return found
            self._kept[start, stop] = found
        return self._kept[start, stop]


def evaluate(
    engine: Runner,
    model: Model,
    dataset: Dataset,
    *,
    metric: str | None = None,
    samples: int | Literal["all"] = "all",
    batch_size: int = 100,
    threads: int = 0,
    reference: Reference | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Evaluated:
    """Run a model over a data set and return its metric with the 95 % interval.

    Args:
        engine: Runs the model; a fixed batch size of the model is the engine's concern.
        model: Graph, or exported file.
        dataset: Samples; with fewer `samples` than it holds, evenly spread ones are taken.
        metric: Name; the description's own without it.
        samples: How many samples, or "all".
        batch_size: Samples a run.
        threads: Of the engine; 0 takes all cores.
        reference: The original, for metrics that compare with its outputs.
        progress: Updated after each batch.
        cancel: Polled between batches and within one.

    Raises:
        DataError: unknown metric, labels missing, or outputs that the metric can't judge.
        JobError: the metric of the model's outputs is not a number, or no output of any sample is one.
        CancelledError: `cancel` was set.
    """
    measure = checked_metric(dataset, metric)
    if measure.against == "reference" and reference is None:
        raise DataError(f"{measure.name} needs the original model to compare with", where="metric")
    part = chosen_samples(dataset, samples)
    began = time.perf_counter()
    session = engine.open(model, threads=threads, cancel=cancel)
    done, numbers = 0, False
    for batch in part.batches(batch_size):
        if cancel is not None:
            cancel.raise_if_cancelled()
        outputs = chosen_output(session.run(batch.inputs), part.output)
        against = batch.targets
        if measure.against == "reference" and reference is not None:
            against = reference.outputs(part, done, done + len(batch), dict(batch.inputs), threads)
        if against is None:
            raise DataError("labels are missing", where=f"{dataset.split}.targets")
        measure.update(outputs, against)
        # Metrics count NaN as a wrong answer; where nothing else comes out, 0 % would hide what happened.
        numbers = numbers or not only_nan(outputs)
        done += len(batch)
        if progress is not None:
            progress.update(done / len(part), f"{done} of {len(part)} samples")
    found = measured(measure, measure.per_sample, time.perf_counter() - began, _name(model))
    if not numbers:
        raise nothing_but_nan(measure.name, _name(model))
    return found


def only_nan(outputs: np.ndarray) -> bool:
    """Whether no number is among a model's outputs."""
    return np.issubdtype(outputs.dtype, np.floating) and bool(np.isnan(outputs).all())


def nothing_but_nan(metric: str, where: str | None) -> JobError:
    """Return the error of a model of which no output of any sample is a number."""
    return JobError(
        f"{metric} can't be taken: all that the model puts out is NaN",
        where=where,
        action="Look for weights that are not numbers, or undo the last change of the plan.",
    )


def checked_metric(dataset: Dataset, name: str | None = None) -> Metric:
    """Return a fresh metric (the description's own without `name`) that can be taken on the data set.

    Raises:
        DataError: there is no such metric, or the labels that it needs are missing.
    """
    measure = metric_named(name or dataset.description.metric, dataset.description.options)
    if measure.against == "targets" and dataset.targets is None:
        raise DataError(
            f"labels are missing for metric {measure.name!r}",
            where=f"{dataset.split}.targets",
            action="Name the labels, or use metric sqnr or cosine with `task: outputs`.",
        )
    return measure


def measured(measure: Metric, records: np.ndarray, seconds: float | None, where: str | None = None) -> Evaluated:
    """Return the measurement of records that were taken with `measure`.

    Raises:
        JobError: the value is not a finite number; `where` names the model.
    """
    value = measure.value_of(records)
    if not math.isfinite(value):
        raise JobError(
            f"{measure.name} of the model's outputs is {value}",
            where=where,
            action="Its outputs hold NaN, or a setting destroyed the model; undo the last change of the plan.",
        )
    measurement = MetricMeasurement(
        metric=measure.name,
        value=value,
        samples=len(records),
        ci95=measure.interval_of(records),
        higher_is_better=measure.higher_is_better,
        seconds=seconds,
    )
    return Evaluated(measurement, records)


def compare(original: Evaluated, candidate: Evaluated, options: dict[str, object] | None = None) -> PairedDifference:
    """Return candidate - original, paired on the same samples.

    Raises:
        DataError: they were not taken with the same metric on the same samples.
    """
    names = original.measurement.metric, candidate.measurement.metric
    if names[0] != names[1]:
        raise DataError("two metrics can't be compared", expected=names[0], found=names[1])
    return metric_named(names[0], options).difference(original.per_sample, candidate.per_sample)


def chosen_samples(dataset: Dataset, samples: int | Literal["all"]) -> Dataset:
    """Return `samples` evenly spread samples of the data set, always the same ones, or all of it.

    Evenly spread, because files are often sorted by class.

    Raises:
        DataError: `samples` is below 1.
    """
    if samples == "all" or samples >= len(dataset):
        return dataset
    if samples < 1:
        raise DataError(f"{samples} samples can't be evaluated", where="samples", expected="at least 1, or all")
    return dataset.subset(np.arange(samples, dtype=np.int64) * len(dataset) // samples)


def chosen_output(outputs: dict[str, np.ndarray], name: str | None) -> np.ndarray:
    """Return the named output, or the first one; BadInputError if there is none of that name."""
    if name is None:
        return next(iter(outputs.values()))
    if name not in outputs:
        raise BadInputError(
            f"the model has no output {name!r}", where="options.output", expected="one of " + ", ".join(outputs)
        )
    return outputs[name]


def _name(model: Model) -> str | None:
    return str(model) if isinstance(model, Path) else model.source
