"""The contract of metrics: records per sample and a way to combine them, so that every metric can be paired.

Notation: n samples of a batch, N in all; a record is k numbers (k,) that one sample contributes; a metric's value is a
function of the records' sums and the number of samples, which makes streaming, pairing and bootstrap one thing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.data.statistics import bootstrap_interval, mcnemar_exact, mean_interval, paired_share_interval, wilson
from workbench.domain.errors import DataError, PluginError, WorkbenchError
from workbench.domain.measurements import Interval, PairedDifference


class Metric(ABC):
    """A metric being taken; feed batches with `update`.

    Attributes:
        name: Word in DATA.yaml.
        title: Axis label.
        unit: "share" (0-1), "dB", "" …
        higher_is_better: Direction.
        against: What outputs are compared with: labels, or the original model's outputs.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    against: ClassVar[Literal["targets", "reference"]] = "targets"

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options = dict(options or {})
        self._records: list[np.ndarray] = []

    @abstractmethod
    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the records (n, k) of a batch.

        Raises:
            DataError: outputs and targets don't fit each other.
        """

    def combine(self, sums: np.ndarray, samples: int) -> np.ndarray:
        """Return the values (…) for sums of records (…, k); the mean of the only number unless overridden."""
        return np.asarray(sums[..., 0] / samples)

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Take a batch of outputs (n, …) and what they are compared with (n, …)."""
        if len(outputs) != len(targets):
            raise DataError(
                f"the model gives {len(outputs)} outputs for {len(targets)} samples",
                expected="an output whose first dimension is the batch",
                action="Name another one with options.output in the DATA.yaml.",
            )
        with self._naming():
            records = np.asarray(self.records(outputs, targets))
        if records.ndim != 2 or len(records) != len(targets) or records.dtype.kind not in "biuf":
            raise PluginError(
                f"metric {self.name!r} gives no records",
                expected=f"numbers of shape ({len(targets)}, k), one row a sample",
                found=f"{records.dtype} of shape {records.shape}",
            )
        self._records.append(records)

    @property
    def per_sample(self) -> np.ndarray:
        """All records so far (N, k)."""
        return np.concatenate(self._records) if self._records else np.zeros((0, 1))

    def value(self) -> float:
        """Return the metric over all samples so far."""
        return self.value_of(self.per_sample)

    def value_of(self, records: np.ndarray) -> float:
        """Return the metric of records (N, k) taken earlier."""
        with self._naming():
            return float(self.combine(records.sum(axis=0), len(records)))

    def interval_of(self, records: np.ndarray) -> Interval:
        """Return the 95 % interval: Wilson for shares of samples, Student's t for means, bootstrap otherwise."""
        if self._is_share(records):
            return wilson(float(records.sum()), len(records))
        if self.is_mean:
            return mean_interval(records[:, 0])
        with self._naming():
            return bootstrap_interval(lambda weights: self.combine(weights @ records, len(records)), len(records))

    def difference(self, first: np.ndarray, second: np.ndarray) -> PairedDifference:
        """Return second - first, paired: records (N, k) of two models on the same samples.

        Raises:
            DataError: the records are of different samples or metrics.
        """
        if first.shape != second.shape:
            raise DataError(
                "the two evaluations are not of the same samples", expected=str(first.shape), found=str(second.shape)
            )
        value = self.value_of(second) - self.value_of(first)
        if self._is_share(first) and self._is_share(second):
            lost = int(((first == 1) & (second == 0)).sum())
            won = int(((first == 0) & (second == 1)).sum())
            return PairedDifference(
                value=value,
                ci95=paired_share_interval(lost, won, len(first)),
                p_value=mcnemar_exact(lost, won),
                only_original_correct=lost,
                only_candidate_correct=won,
            )
        if self.is_mean:
            return PairedDifference(value=value, ci95=mean_interval(second[:, 0] - first[:, 0]))
        n = len(first)
        return PairedDifference(
            value=value,
            ci95=bootstrap_interval(
                lambda weights: self.combine(weights @ second, n) - self.combine(weights @ first, n), n
            ),
        )

    def correct(self, records: np.ndarray) -> np.ndarray | None:
        """Return which samples are right (N,) for a share of correct samples, else None."""
        return records[:, 0] == 1 if self._is_share(records) else None

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Name the metric in whatever it raises unexpectedly: it may be a plugin's."""
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:  # the border to foreign code: anything may come
            raise PluginError(f"metric {self.name!r} raised {type(error).__name__}: {error}") from error

    @property
    def is_mean(self) -> bool:
        """Whether the value is the mean of one number a sample."""
        return type(self).combine is Metric.combine

    def _is_share(self, records: np.ndarray) -> bool:
        return self.unit == "share" and self.is_mean and bool(((records == 0) | (records == 1)).all())


def class_scores(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return scores with the classes last: (n, C), or (n, L, C) for token models.

    Raises:
        DataError: the output is not a score per class, or a label has no score.
    """
    scores = outputs
    if targets.ndim == 1:
        scores = outputs.reshape(len(outputs), -1)
    elif outputs.ndim == targets.ndim + 1 and outputs.shape[1 : targets.ndim] != targets.shape[1:]:
        scores = np.moveaxis(outputs, 1, -1)
    if scores.shape[:-1] != targets.shape:
        raise DataError(
            f"the model's output has shape {outputs.shape}",
            expected=f"a score per class for labels of shape {targets.shape}",
            action="Choose the output with options.output in the DATA.yaml.",
        )
    if targets.size and int(targets.max()) >= scores.shape[-1]:
        raise DataError(f"label {int(targets.max())} has no score", expected=f"labels below {scores.shape[-1]}")
    return scores


def same_shape(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 rows (n, m); DataError if a sample's sizes differ."""
    if outputs[0].size != targets[0].size:
        raise DataError(
            f"the model's output has shape {outputs.shape[1:]}", expected=f"that of the targets, {targets.shape[1:]}"
        )
    n = len(outputs)
    return outputs.reshape(n, -1).astype(np.float64), targets.reshape(n, -1).astype(np.float64)


def decibel(ratio: np.ndarray, ceiling: float) -> np.ndarray:
    """Return 10·log₁₀ of a ratio, at most `ceiling`, which stands for "no error at all"."""
    with np.errstate(divide="ignore", invalid="ignore"):
        finite = np.nan_to_num(10.0 * np.log10(ratio), nan=math.nan, posinf=ceiling, neginf=-ceiling)
    return np.asarray(np.minimum(finite, ceiling))
