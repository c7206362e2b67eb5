"""Gives methods their data: training, held-out and calibration samples, and never the test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from workbench.data.dataset import Dataset, Samples, open_split
from workbench.data.metrics.registry import metric_named
from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import DataError
from workbench.engines.contracts import Batch, InferenceEngine
from workbench.graph.model import ModelGraph, ValueInfo
from workbench.methods.evaluation import Reference, evaluate

VALIDATION_SHARE: Final = 0.1
VALIDATION_SAMPLES: Final = 1000


class EpochSamples:
    """Training samples as the training engine takes them; implements TrainingData."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one augmented epoch in an order that depends on `seed` only."""
        return map(as_batch, self._dataset.shuffled(batch_size, seed))


def as_batch(samples: Samples) -> Batch:
    """Return samples as the engines' batch."""
    return Batch(samples.inputs, samples.targets)


class RecipeData:
    """The recipe's data as methods see it; implements MethodData.

    A tenth of the training split, at most 1,000 samples, is held out for `validate`. Which ones does not depend on the
    recipe's seed, so that scores of several recipes are of the same samples.

    Args:
        description: DATA.yaml.
        model_inputs: Inputs of the original model.
        engine: Runs validation.
        reference: The original, for metrics that compare with it.
        seed: Of the calibration samples.
        cancel: Polled while validating.
    """

    def __init__(
        self,
        description: DataDescription,
        model_inputs: Sequence[ValueInfo],
        engine: InferenceEngine,
        reference: ModelGraph,
        *,
        seed: int = 0,
        cancel: CancelToken | None = None,
    ) -> None:
        self._description = description
        self._model_inputs = tuple(model_inputs)
        self._engine = engine
        self._reference = Reference(engine, reference)
        self._seed = seed
        self._cancel = cancel

    @property
    def task(self) -> str:
        """Task of DATA.yaml."""
        return self._description.task

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self._description.metric

    @cached_property
    def train_split(self) -> Dataset:
        """The whole training split; DataError if the data has none."""
        return open_split(self._description, "train", self._model_inputs)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training and held-out samples."""
        total = len(self.train_split)
        held = min(VALIDATION_SAMPLES, round(total * VALIDATION_SHARE))
        order = np.random.default_rng(0x7A11D).permutation(total)
        return np.sort(order[held:]), np.sort(order[:held])

    @cached_property
    def training(self) -> EpochSamples:
        """Training samples less those held out; DataError if the data has no train split."""
        return EpochSamples(self.train_split.subset(self._parts[0]))

    @cached_property
    def held_out(self) -> Dataset:
        """The samples that `validate` scores on.

        Raises:
            DataError: there is no train split, or it is too small to hold anything out.
        """
        if len(self._parts[1]) == 0:
            raise DataError(
                f"{len(self.train_split)} training samples are too few to hold some out for validation",
                where="train",
                expected="at least 10",
            )
        return self.train_split.subset(self._parts[1])

    @property
    def model_inputs(self) -> tuple[ValueInfo, ...]:
        """Inputs of the original model."""
        return self._model_inputs

    def calibration_positions(self, samples: int) -> np.ndarray:
        """Return which training samples `calibration` yields, ascending; those of fewer are among those of more."""
        rng = np.random.default_rng([0xCA11B, self._seed])
        return np.sort(rng.permutation(self._parts[0])[:samples])

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        """Yield up to `samples` training samples without augmentation, the same ones for the same seed."""
        chosen = self.calibration_positions(samples)
        return map(as_batch, self.train_split.batches(batch_size, indices=chosen))

    def validate(self, graph: ModelGraph) -> float:
        """Return the metric on the held-out samples, negated where lower is better."""
        evaluated = evaluate(
            self._engine, graph, self.held_out, metric=self.metric, reference=self._reference, cancel=self._cancel
        )
        better = metric_named(self.metric).higher_is_better
        return evaluated.measurement.value if better else -evaluated.measurement.value

    def fingerprint(self) -> str:
        """Return a hash of everything that methods can see; "" where the data has no train split."""
        return "" if self._description.train is None else self.train_split.fingerprint
