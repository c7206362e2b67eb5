"""The training loop: epochs over data, a teacher beside the student, the best epoch kept, cancel at any batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.domain.cancel import CancelToken, Progress, TimeLeft
from workbench.domain.errors import CancelledError, DataError, JobError, StorageError
from workbench.engines.contracts import (
    EpochRecord,
    Inputs,
    TrainingData,
    TrainingHook,
    TrainingResult,
    TrainingSettings,
)
from workbench.engines.training_torch import checkpoint
from workbench.engines.training_torch.devices import (
    Precision,
    autocast,
    precision_of,
    training_device,
)
from workbench.engines.training_torch.features import FeatureLoss, joined_features
from workbench.engines.training_torch.from_graph import GraphModule, prefers_channels_last
from workbench.engines.training_torch.losses import Losses, trained_values
from workbench.engines.training_torch.mixing import Mixing
from workbench.engines.training_torch.schedule import CosineSchedule
from workbench.graph.model import ModelGraph


@dataclass(frozen=True)
class Watch:
    """Who looks on while a model is trained.

    Attributes:
        validate: Scores a graph (higher is better) after every epoch, or None to keep the last epoch.
        progress, cancel, log: As in TrainingEngine.fit.
    """

    validate: Callable[[ModelGraph], float] | None
    progress: Progress
    cancel: CancelToken
    log: Callable[[str], None]


class Trainer:
    """Trains one graph.

    Args:
        graph: What to train.
        settings: How.
        teacher: The original model, or None to train on labels alone.
        threads: That torch was given, for the notes.
        hook: Takes part in every step, or None.

    Raises:
        UnsupportedGraphError: student or teacher has an operator that is missing.
        JobError: there is nothing that could be trained.
    """

    def __init__(
        self,
        graph: ModelGraph,
        settings: TrainingSettings,
        teacher: ModelGraph | None,
        threads: int,
        hook: TrainingHook | None = None,
    ) -> None:
        self._settings = settings
        self._hook = hook
        self._threads = threads
        self._device = training_device()
        self._precision: Precision = precision_of(settings, self._device)
        channels_last = prefers_channels_last(graph)
        self._student = GraphModule(
            graph, also=settings.also, device=self._device, channels_last=channels_last, fused=True
        )
        if not self._student.weights:
            raise JobError(
                "the model has no weight that could be trained",
                where=graph.source,
                action="Leave training steps out of the recipe.",
            )
        self._values = trained_values(graph, settings.task)
        self._teacher: GraphModule | None = None
        self._teacher_values: tuple[str, ...] = ()
        imitates = settings.distillation_weight > 0 or settings.feature_weight > 0 or settings.task == "outputs"
        if teacher is not None and imitates:
            self._teacher = GraphModule(teacher, trainable=False, device=self._device, channels_last=channels_last)
            self._teacher_values = trained_values(teacher, settings.task)
        self._features: FeatureLoss | None = None
        if self._teacher is not None and settings.feature_weight > 0:
            features = joined_features(graph, self._teacher.graph)
            self._features = FeatureLoss(features, self._device) if features else None
        self._mixing, self._mixing_note = Mixing.of(settings, graph, taught=self._teacher is not None)
        self._losses = Losses.of(settings)
        self._optimizer = _optimizer(self._student, settings)

    def run(self, data: TrainingData, watch: Watch, stored: Path | None = None) -> TrainingResult:
        """Train; see TrainingEngine.fit."""
        settings, batches = self._settings, -(-len(data) // self._settings.batch_size)
        schedule = CosineSchedule.of(settings.learning_rate, settings.epochs, settings.warmup_epochs, batches)
        history: list[EpochRecord] = []
        best = _Best(self._student.graph)
        if self._hook is not None:
            self._hook.begin(self._student.weights, settings.epochs, batches)
        resumed = self._resumed(stored, best, history)
        left = TimeLeft()
        stopped = False
        for epoch in range(resumed, settings.epochs):
            began = time.monotonic()
            try:
                loss = self._epoch(data, epoch, batches, schedule, watch, left)
            except CancelledError:
                if not history:
                    raise
                stopped = True
                break
            if self._hook is not None:
                with torch.no_grad():
                    self._hook.after_epoch(epoch)
            graph = self._student.written_back()
            score, stopped = _validated(graph, watch)
            best.offer(graph, score, epoch + 1)
            history.append(EpochRecord(epoch + 1, loss, score, time.monotonic() - began))
            watch.log(_line(history[-1], settings.epochs))
            # A score that a cancel cut short would count as none when the training goes on.
            if stored is not None and not stopped:
                try:
                    self._store(stored, best, history)
                except StorageError as error:
                    # Not being able to go on after a crash is no reason to stop now.
                    watch.log(f"Warning: {error}")
                    stored = None
            if stopped:
                break
        where = f"{self._threads} threads" if self._device.type == "cpu" else "CUDA"
        notes = [f"went on after epoch {resumed}, which was stored"] if resumed else []
        notes.append(f"trained in {self._precision} on {where}")
        if self._features is not None:
            notes.append(f"imitated {len(self._features.values)} feature maps of the original")
        elif settings.feature_weight > 0 and self._teacher is not None:
            notes.append("imitated no feature maps: none has a counterpart in the original")
        if self._mixing_note:
            notes.append(self._mixing_note)
        if stopped:
            notes.append(f"cancelled after {len(history)} of {settings.epochs} epochs")
        return TrainingResult(best.graph, tuple(history), best.epoch, stopped, tuple(notes))

    def _epoch(
        self,
        data: TrainingData,
        epoch: int,
        batches: int,
        schedule: CosineSchedule,
        watch: Watch,
        left: TimeLeft,
    ) -> float:
        settings, total, samples = self._settings, 0.0, 0
        self._student.mode.dropout = True
        self._student.mode.batch_norm = "train" if settings.batch_norm == "train" else "fixed"
        seed, dropout_seed = (int(word) for word in np.random.SeedSequence([settings.seed, epoch]).generate_state(2))
        # Every epoch begins anew, so that one that goes on from a checkpoint drops the same values.
        torch.manual_seed(dropout_seed)
        if self._mixing is not None:
            self._mixing.begin(epoch)
        for number, batch in enumerate(data.shuffled(settings.batch_size, seed)):
            watch.cancel.raise_if_cancelled()
            if len(batch) < 2 <= settings.batch_size and batches > 1:
                continue  # one sample has no batch statistics
            rate = schedule.rate(epoch * batches + number)
            for group in self._optimizer.param_groups:
                group["lr"] = rate * group["rate"]
            loss = self._step(batch.inputs, batch.targets, epoch * batches + number)
            if not math.isfinite(loss):
                raise JobError(
                    f"training diverged: the loss is {loss} in epoch {epoch + 1}",
                    found=f"learning rate {settings.learning_rate:g}",
                    action=f"Use a lower learning rate, such as {settings.learning_rate / 10:g}.",
                )
            total, samples = total + loss * len(batch), samples + len(batch)
            done = (epoch + (number + 1) / batches) / settings.epochs
            watch.progress.update(done, _progress_text(epoch, settings.epochs, total / samples, left.seconds(done)))
        if not samples:
            raise DataError("there are no training samples", action="Name a train split in the data description.")
        return total / samples

    def _step(self, inputs: Inputs, targets: np.ndarray | None, step: int) -> float:
        fed = self._student.feed(inputs)
        if self._mixing is not None:
            ((name, pictures),) = fed.items()
            mixed = self._mixing.mixed(pictures)
            # The teacher alone says what a patchwork shows.
            fed, targets = (fed, targets) if mixed is None else ({name: mixed}, None)
        inner = () if self._features is None else self._features.values
        wanted: dict[str, Tensor] = {}
        if self._teacher is not None:
            with torch.no_grad(), autocast(self._precision, self._device):
                wanted = self._teacher(fed, (*self._teacher_values, *inner))
        with autocast(self._precision, self._device):
            outputs = self._student(fed, (*self._values, *inner))
        imitated = [wanted[name].float() for name in self._teacher_values] if wanted else None
        loss: Tensor = self._losses([outputs[name] for name in self._values], targets, imitated)
        if self._features is not None:
            loss = loss + self._settings.feature_weight * self._features(outputs, wanted)
        self._optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        if self._hook is not None:
            with torch.no_grad():
                self._hook.after_backward(step)
        self._optimizer.step()
        if self._hook is not None:
            with torch.no_grad():
                self._hook.after_step(step)
        return float(loss.detach())

    def _store(self, path: Path, best: _Best, history: Sequence[EpochRecord]) -> None:
        changing = self._changing()
        kept = best.arrays(changing)
        checkpoint.save(
            path,
            checkpoint.Checkpoint(
                weights={name: tensor.detach().cpu() for name, tensor in changing.items()},
                optimizer=self._optimizer.state_dict(),
                best=None if kept is None else {name: torch.from_numpy(array.copy()) for name, array in kept.items()},
                best_epoch=best.epoch,
                best_score=best.score,
                history=tuple(history),
                hook={} if self._hook is None else self._hook.state(),
            ),
            self._settings,
        )

    def _resumed(self, path: Path | None, best: _Best, history: list[EpochRecord]) -> int:
        """Take over what a checkpoint holds and return the number of epochs that are done."""
        stored = None if path is None else checkpoint.load(path, self._settings)
        changing = self._changing()
        if stored is None or {name: tensor.shape for name, tensor in stored.weights.items()} != {
            name: tensor.shape for name, tensor in changing.items()
        }:
            return 0
        with torch.no_grad():
            for name, tensor in changing.items():
                tensor.copy_(stored.weights[name])
        self._optimizer.load_state_dict(stored.optimizer)
        if stored.best is not None:
            arrays = {name: tensor.numpy() for name, tensor in stored.best.items()}
            best.restore(self._student.graph.with_initializers(arrays), stored.best_epoch, stored.best_score)
        if self._hook is not None:
            self._hook.restore(stored.hook)
        history.extend(stored.history)
        return len(history)

    def _changing(self) -> dict[str, Tensor]:
        return {**self._student.weights, **self._student.statistics}


class _Best:
    """The best epoch so far; without scores the last one."""

    def __init__(self, start: ModelGraph) -> None:
        self.graph = start
        self.epoch: int | None = None
        self.score: float | None = None

    def offer(self, graph: ModelGraph, score: float | None, epoch: int) -> None:
        """Take an epoch's result if it is better."""
        if self.score is not None and (score is None or not score > self.score):
            return
        if score is not None and math.isnan(score) and self.epoch is not None:
            return
        self.graph, self.epoch = graph, epoch
        self.score = None if score is None or math.isnan(score) else score

    def arrays(self, names: Iterable[str]) -> dict[str, np.ndarray] | None:
        """Return the named initializers of the best epoch, or None before the first."""
        if self.epoch is None:
            return None
        found = {name: self.graph.constant(name) for name in names}
        return {name: array for name, array in found.items() if array is not None}

    def restore(self, graph: ModelGraph, epoch: int | None, score: float | None) -> None:
        """Go on with what was best before."""
        self.graph, self.epoch, self.score = graph, epoch, score


def _validated(graph: ModelGraph, watch: Watch) -> tuple[float | None, bool]:
    """Return the score and whether a cancel arrived while it was taken."""
    if watch.validate is None:
        return None, watch.cancel.cancelled
    try:
        return watch.validate(graph), watch.cancel.cancelled
    except CancelledError:
        return None, True


def _optimizer(module: GraphModule, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return SGD; biases and normalization are not pulled to zero, since that only costs accuracy (He et al., 2019)."""
    weights = {name: weight for name, weight in module.weights.items() if name not in settings.also}
    matrices: Sequence[Tensor] = [weight for weight in weights.values() if weight.dim() > 1]
    vectors: Sequence[Tensor] = [weight for weight in weights.values() if weight.dim() <= 1]
    others: Sequence[Tensor] = [module.weights[name] for name in settings.also]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay, "rate": 1.0},
        {"params": vectors, "weight_decay": 0.0, "rate": 1.0},
        {"params": others, "weight_decay": 0.0, "rate": settings.also_rate},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov and settings.momentum > 0,
    )


def _progress_text(epoch: int, epochs: int, loss: float, seconds: float | None) -> str:
    left = "" if seconds is None else f", {_duration(seconds)} left"
    return f"epoch {epoch + 1}/{epochs}, loss {loss:.4g}{left}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min"


def _line(record: EpochRecord, epochs: int) -> str:
    score = "" if record.score is None else f", validation {record.score:.4f}"
    return f"epoch {record.epoch}/{epochs}: loss {record.loss:.4f}{score}, {record.seconds:.1f} s"
