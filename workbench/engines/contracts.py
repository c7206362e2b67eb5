"""What the two engines promise: methods and jobs are written against these, never against a runtime.

Notation: a batch is a mapping from model input name to an array (N, …) and, where there are labels, targets (N, …).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.engines.reconstruction import RoundingResult, RoundingSettings, RoundingTask
from workbench.graph.model import ModelGraph

Inputs = Mapping[str, np.ndarray]
Task = Literal["classification", "regression", "segmentation", "language", "outputs"]


@dataclass(frozen=True)
class Batch:
    """Preprocessed samples as the model takes them, and their labels where there are any."""

    inputs: Inputs
    targets: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class TrainingData(Protocol):
    """Samples that can be gone through in epochs."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one epoch of augmented batches in an order that depends on `seed` only; the last may be smaller."""
        ...


class Observer(Protocol):
    """Accumulates something about one value, batch by batch, in memory that does not grow with the samples."""

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch (N, …)."""
        ...


class InferenceSession(Protocol):
    """A model that is ready to run."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs to feed."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        ...

    def run(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Run one batch.

        Raises:
            CancelledError: the session's cancel token was set while it ran.
            JobError: the runtime failed; names the node where it says.
        """
        ...


class ReplayedPart(Protocol):
    """What differs between a changed graph and its original, ready to run on chunks of samples."""

    @property
    def fed(self) -> tuple[str, ...]:
        """Inner values of the original that it reads."""
        ...

    def close(self) -> None:
        """Give the runtime's memory back; the next run takes it again."""
        ...


class Replay(Protocol):
    """An original on a fixed sequence of samples, from whose inner values changed graphs are run."""

    @property
    def chunks(self) -> int:
        """Number of chunks that the samples are cut into."""
        ...

    def samples(self, chunk: int) -> slice:
        """Return which samples a chunk holds."""
        ...

    def part(self, changed: ModelGraph, free: Collection[str] = ()) -> ReplayedPart:
        """Return what of a changed graph has to run; initializers that are `free` are given with every run."""
        ...

    def keep(self, names: Iterable[str], chunks: Sequence[int]) -> None:
        """Run the original on some chunks and keep the named inner values, as far as there is room."""
        ...

    def outputs(self, chunk: int) -> dict[str, np.ndarray]:
        """Return the original's outputs for a chunk; safe to call in several threads."""
        ...

    def run(
        self, part: ReplayedPart, chunk: int, free: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return a changed graph's outputs for a chunk; safe to call for several parts at the same time.

        Raises:
            ModelFileError: the runtime refuses the part.
            CancelledError: cancelled.
            JobError: the runtime failed.
        """
        ...

    def forget(self) -> None:
        """Give all kept values back."""
        ...


class InferenceEngine(Protocol):
    """Runs, measures and calibrates a graph exactly as it will be deployed."""

    @property
    def integer_dot_products(self) -> bool | None:
        """Whether products of 8-bit integers are added in 32 bits here, or in pairs in 16; None if not known."""
        ...

    def replay(
        self,
        original: ModelGraph,
        read: Callable[[int, int], Inputs],
        samples: int,
        *,
        cancel: CancelToken | None = None,
    ) -> Replay:
        """Return the original on a sequence of samples; `read` gives the inputs of those from start to stop."""
        ...

    def open(
        self,
        model: ModelGraph | Path,
        *,
        threads: int = 0,
        optimize: bool = True,
        cancel: CancelToken | None = None,
    ) -> InferenceSession:
        """Make a session; `threads` 0 takes all cores. ModelFileError if the runtime refuses the model."""
        ...

    def observe(
        self,
        graph: ModelGraph,
        observers: Mapping[str, Sequence[Observer]],
        batches: Iterable[Batch],
        *,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Feed every batch's intermediate values to the observers of their names (`total` = samples to come)."""
        ...


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        epochs: Passes over the data.
        batch_size: Samples a step.
        learning_rate: Peak of the cosine schedule.
        warmup_epochs: Linear warm-up, may be fractional.
        momentum, weight_decay, nesterov: Of SGD.
        label_smoothing: 0-1.
        distillation_weight: Share of the loss that comes from the teacher's softened outputs, 0-1.
        temperature: Softening of both outputs for distillation (Hinton et al., 2015).
        feature_weight: Weight of the distance to the teacher's feature maps (Romero et al., 2015); it is added to the
            loss. 0 leaves them out.
        mixing: Share of the batches in which pictures are pasted into each other and labelled by the teacher alone
            (Yun et al., 2019); for models that take one picture.
        batch_norm: "train" updates statistics and parameters, "frozen" leaves the statistics as they are.
        task: Decides the loss.
        seed: Of shuffling, augmentation and dropout.
        threads: Of torch; 0 takes all cores. The last bits of the result depend on their number.
        precision: Of products and convolutions; "auto" takes bfloat16 where the hardware multiplies it. Weights,
            statistics and the loss are always float32.
        also: Initializers that are trained although they usually are settings, such as quantizers' scales and zero
            points; without weight decay.
        also_rate: Their learning rate as a multiple of the weights'.
    """

    epochs: int = 1
    batch_size: int = 128
    learning_rate: float = 0.02
    warmup_epochs: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    label_smoothing: float = 0.0
    distillation_weight: float = 0.9
    temperature: float = 4.0
    feature_weight: float = 0.0
    mixing: float = 0.0
    batch_norm: Literal["train", "frozen"] = "train"
    task: Task = "classification"
    seed: int = 0
    threads: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    also: tuple[str, ...] = ()
    also_rate: float = 1.0


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss, the validation score after it (None if not validated), wall seconds."""

    epoch: int
    loss: float
    score: float | None
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """The best graph so far; `stopped_early` when a cancel ended the training after at least one epoch."""

    graph: ModelGraph
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int | None = None
    stopped_early: bool = False
    notes: tuple[str, ...] = field(default=())


class TrainingHook(Protocol):
    """Takes part in a training: adds penalties to gradients, or keeps weights where they belong.

    Weights are torch parameters by initializer name; every method is called without gradients being recorded.
    """

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Take the weights, before the first step."""
        ...

    def after_backward(self, step: int) -> None:
        """Change the gradients of step 0, 1, …, before the optimizer uses them."""
        ...

    def after_step(self, step: int) -> None:
        """Change the weights, after the optimizer did."""
        ...

    def after_epoch(self, epoch: int) -> None:
        """Change the weights after epoch 0, 1, …, before they are scored and written back."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on: tensors and plain values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, after `begin`."""
        ...


@dataclass(frozen=True)
class ChannelAxis:
    """A value or weight by name, and the axis that its channels lie on (negative ones count from the end)."""

    value: str
    axis: int


class SlopeObserver(Protocol):
    """Accumulates something about slopes, batch by batch, in memory that does not grow with the samples.

    The slope of a channel is the derivative of a sample's loss by a factor on that channel.
    """

    def update(self, slopes: Mapping[ChannelAxis, np.ndarray]) -> None:
        """Take the slopes of one batch, (N, channels); (1, channels) for weights, summed over the batch."""
        ...


class TrainingEngine(Protocol):
    """Executes the same graph with gradients and writes weights back by name."""

    def unsupported(self, graph: ModelGraph) -> tuple[str, ...]:
        """Return "Op (node name)" for every node that this engine can't execute; () if it can run the graph."""
        ...

    def run(self, graph: ModelGraph, inputs: Inputs, values: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run one batch in inference mode; returns the graph's outputs, or the named values.

        Raises:
            UnsupportedGraphError: names the operators that are missing.
        """
        ...

    def reestimate_batch_norm(
        self,
        graph: ModelGraph,
        batches: Iterable[Batch],
        *,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> ModelGraph:
        """Return the graph with every BatchNormalization's mean and variance taken anew from the batches."""
        ...

    def observe_slopes(
        self,
        graph: ModelGraph,
        axes: Sequence[ChannelAxis],
        observer: SlopeObserver,
        batches: Iterable[Batch],
        *,
        task: str,
        labels: Literal["data", "model"] = "data",
        seed: int = 0,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Feed every batch's slopes (gradient times value, summed over positions) to the observer.

        Args:
            graph: The model; it runs in inference mode.
            axes: What to observe.
            observer: Takes the slopes of each batch.
            batches: Samples; consumed once.
            task: As in TrainingSettings; decides the loss.
            labels: "data" takes those of the batches, "model" draws them from the model's prediction.
            seed: Of drawn labels.
            progress: Updated after each batch where `total` is given.
            total: Number of samples to come.
            cancel: Checked between batches.

        Raises:
            UnsupportedGraphError: the graph has an operator that this engine can't execute.
            DataError: labels are missing or don't fit the model's output, or there are no batches.
            CancelledError: cancelled.
        """
        ...

    def fit(
        self,
        graph: ModelGraph,
        data: TrainingData,
        settings: TrainingSettings,
        *,
        teacher: ModelGraph | None = None,
        validate: Callable[[ModelGraph], float] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        log: Callable[[str], None] | None = None,
        hook: TrainingHook | None = None,
        checkpoint: Path | None = None,
    ) -> TrainingResult:
        """Train all float initializers and return the epoch that `validate` (higher is better) scores best.

        A cancel after the first epoch returns the best so far with `stopped_early`; before that it raises. With a
        `checkpoint` file every epoch is stored, and the same training goes on from there with the same result.

        Raises:
            UnsupportedGraphError: the graph has an operator that this engine can't execute.
            DataError: the labels don't fit the model's output.
            CancelledError: cancelled before one epoch was complete.
        """
        ...

    def reconstruct(
        self,
        task: RoundingTask,
        settings: RoundingSettings,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> RoundingResult:
        """Learn how to round the weights of a part of a network, so that it makes what the exact part makes.

        Returns the nearest rounding where what was learned is not better on all samples.

        Raises:
            UnsupportedGraphError: the part has an operator that this engine can't execute.
            JobError: the error is not finite.
            CancelledError: cancelled.
        """
        ...
