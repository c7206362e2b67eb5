"""The original on the samples of a sweep: what every trial is paired with, fed from, and ordered by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from workbench.data.dataset import Dataset
from workbench.data.metrics._base import Metric
from workbench.data.statistics import Z95
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DataError
from workbench.domain.measurements import Interval, MetricMeasurement
from workbench.engines.contracts import Batch, InferenceEngine, Inputs, Replay, ReplayedPart
from workbench.graph.model import ModelGraph
from workbench.methods.evaluation import checked_metric, chosen_output, measured, nothing_but_nan, only_nan
from workbench.methods.preparation import as_batch
from workbench.methods.sampling import SamplingPlan, interval, margin_plan, spread_plan

_KEPT_OUTPUT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Drop:
    """What a variant loses on some samples.

    Attributes:
        drop: Loss of the metric against the original on the same samples, positive is worse.
        ci95: Its 95 % interval.
        error: Its standard error, above 0.
        metric: The metric that this means on all samples.
        divergence: Mean distance of its outputs from the original's; NaN where that means nothing.
    """

    drop: float
    ci95: Interval
    error: float
    metric: float
    divergence: float


class OriginalRun:
    """Runs the original once on all samples, and variants of it on chunks of them in the order of a sampling plan.

    Args:
        graph: The original.
        engine: Runs it.
        dataset: The samples.
        seed: Of their order.
        workers: Chunks that run at the same time.
        progress: Of the original's run.
        cancel: Interrupts runs.

    Raises:
        DataError: the metric is unknown, labels are missing, or outputs don't fit.
        JobError: the original's metric, or all that it puts out, is not a number.
        CancelledError: cancelled.
    """

    def __init__(
        self,
        graph: ModelGraph,
        engine: InferenceEngine,
        dataset: Dataset,
        *,
        seed: int,
        workers: int,
        progress: Progress,
        cancel: CancelToken,
    ) -> None:
        self.workers = workers
        self._engine, self._cancel = engine, cancel
        # Of outputs that are no scores of classes, neither margins nor probabilities mean anything.
        self._scores = dataset.description.task == "classification"
        plain = engine.replay(graph, _reader(dataset), len(dataset), cancel=cancel)
        metric = checked_metric(dataset)
        outputs: list[np.ndarray | None] = [None] * plain.chunks
        records: list[np.ndarray] = [np.zeros((0, 1))] * plain.chunks
        margins: list[np.ndarray | None] = [None] * plain.chunks

        numbers = [False] * plain.chunks

        def run(chunk: int) -> int:
            output, where = chosen_output(plain.outputs(chunk), dataset.output), plain.samples(chunk)
            own = checked_metric(dataset)
            targets = None if dataset.targets is None else dataset.targets[where]
            own.update(output, output if own.against == "reference" else _present(targets, dataset))
            records[chunk], outputs[chunk], numbers[chunk] = own.per_sample, output, not only_nan(output)
            margins[chunk] = _margins(output) if self._scores else None
            return output.nbytes

        kept = 0
        with ThreadPoolExecutor(workers, thread_name_prefix="original") as pool:
            for done, size in enumerate(pool.map(run, range(plain.chunks))):
                progress.update((done + 1) / plain.chunks, "original")
                kept += size
                if kept > _KEPT_OUTPUT_BYTES:
                    outputs[done] = None
        self.metric: Metric = metric
        self.measurement: MetricMeasurement = measured(metric, np.concatenate(records), None, graph.source).measurement
        if not any(numbers):
            raise nothing_but_nan(metric.name, graph.source)
        self.plan = self._plan(margins, len(dataset), seed)
        self.records = np.concatenate(records)[self.plan.order]
        self._ordered = dataset.subset(self.plan.order)
        whole = [output for output in outputs if output is not None]
        self._outputs = np.concatenate(whole)[self.plan.order] if len(whole) == len(outputs) else None
        self._own = self._replay_of(graph)
        self.replay = self._own

    def _replay_of(self, graph: ModelGraph) -> Replay:
        return self._engine.replay(graph, _reader(self._ordered), len(self._ordered), cancel=self._cancel)

    def feed_from(self, graph: ModelGraph) -> None:
        """Feed variants with the inner values of this graph, which has more in common with them than the original."""
        self.replay = self._replay_of(graph)

    def __len__(self) -> int:
        return len(self.records)

    def records_of(self, part: ReplayedPart, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a variant's records (n, k) on one chunk, and how far its outputs are from the original's (n,).

        Raises:
            DataError: the outputs don't fit the labels.
            JobError: the runtime failed.
            CancelledError: cancelled.
        """
        metric, where = checked_metric(self._ordered), self.replay.samples(chunk)
        output = chosen_output(self.replay.run(part, chunk), self._ordered.output)
        original = self._output(chunk)
        targets = None if self._ordered.targets is None else self._ordered.targets[where]
        metric.update(output, original if metric.against == "reference" else _present(targets, self._ordered))
        return metric.per_sample, divergences(original, output, scores=self._scores)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the samples in the order of the plan, for what needs gradients."""
        return map(as_batch, self._ordered.batches(size))

    @property
    def task(self) -> str:
        """Task of the data."""
        return self._ordered.description.task

    def divergence_of(
        self, part: ReplayedPart, chunks: Iterable[int], free: Mapping[str, np.ndarray], *, energy: bool = False
    ) -> np.ndarray:
        """Return how far a variant's outputs are from the original's on some chunks (n,).

        Args:
            part: The variant.
            chunks: Of the replay.
            free: Its weights.
            energy: Whether outputs are compared by their energy though they are scores.

        Raises:
            JobError: the runtime failed.
            CancelledError: cancelled.
        """
        found = []
        for chunk in chunks:
            output = chosen_output(self.replay.run(part, chunk, free), self._ordered.output)
            found.append(divergences(self._output(chunk), output, scores=self._scores and not energy))
        return np.concatenate(found)

    def _output(self, chunk: int) -> np.ndarray:
        """Return the original's output on a chunk."""
        if self._outputs is not None:
            return np.asarray(self._outputs[self.replay.samples(chunk)])
        return chosen_output(self._own.outputs(chunk), self._ordered.output)

    def drop(self, records: np.ndarray, divergence: np.ndarray) -> Drop:
        """Return what the metric loses by a variant, from its records (n, k) of the first n samples of the plan."""
        count = len(records)
        own, sign = self.records[:count], -1.0 if self.metric.higher_is_better else 1.0
        weights = self.plan.weights(count)
        if not self.metric.is_mean or count == len(self):
            # All samples, or nothing to weigh: what anybody would compute, to the last bit.
            found = self.metric.difference(own, records)
            low, high = sorted(sign * bound for bound in found.ci95)
            drop, error = sign * found.value, (high - low) / (2 * Z95)
        else:
            differences = sign * (records[:, 0] - own[:, 0])
            drop = float((weights * differences).sum())
            error = self.plan.spread(differences)
            if self.metric.unit == "share":
                # One more sample that changes is never ruled out.
                error = math.hypot(error, 1.0 / count)
            low, high = interval(drop, error, Z95)
        return Drop(
            drop=drop + 0.0,
            ci95=(low + 0.0, high + 0.0),
            error=max(error, 1e-12),
            metric=self.metric.value_of(records) if count == len(self) else self.measurement.value + sign * drop,
            divergence=float((weights * divergence).sum()),
        )

    def _plan(self, margins: list[np.ndarray | None], samples: int, seed: int) -> SamplingPlan:
        known = [margin for margin in margins if margin is not None]
        if len(known) < len(margins) or not self.metric.is_mean:
            return spread_plan(samples, seed)
        return margin_plan(np.concatenate(known), seed)


def _reader(dataset: Dataset) -> Callable[[int, int], Inputs]:
    def read(start: int, stop: int) -> Inputs:
        return next(dataset.batches(stop - start, start, stop)).inputs

    return read


def _present(targets: np.ndarray | None, dataset: Dataset) -> np.ndarray:
    if targets is None:
        raise DataError("labels are missing", where=f"{dataset.split}.targets")
    return targets


def _margins(output: np.ndarray) -> np.ndarray | None:
    """Return how far the highest score of each sample is ahead of the next (n,); None where outputs aren't scores."""
    if output.ndim != 2 or output.shape[1] < 2 or output.dtype.kind != "f":
        return None
    best = np.partition(output.astype(np.float64), -2, axis=1)
    return np.asarray(np.nan_to_num(best[:, -1] - best[:, -2]))


def divergences(original: np.ndarray, output: np.ndarray, *, scores: bool) -> np.ndarray:
    """Return how far each sample's output is from the original's (n,).

    For `scores` of classes (n, C) the Kullback-Leibler divergence of their probabilities, else the energy of the
    difference over that of the original's outputs.
    """
    count = len(original)
    if original.shape != output.shape or original.dtype.kind != "f" or not count:
        return np.full(len(output), np.nan)
    first, second = original.astype(np.float64), output.astype(np.float64)
    if scores and first.ndim == 2 and first.shape[1] > 1:
        before, after = _log_probabilities(first), _log_probabilities(second)
        return np.asarray((np.exp(before) * (before - after)).sum(axis=1))
    energy = np.square(first).reshape(count, -1).mean()
    return np.asarray(np.square(second - first).reshape(count, -1).mean(axis=1) / max(float(energy), 1e-30))


def _log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Return log-probabilities of logits, or of what already are probabilities (n, C)."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1.0, atol=1e-3):
        return np.asarray(np.log(np.maximum(scores, 1e-30)))
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
