"""What training minimises: the task's own loss, and the distance to the teacher's outputs.

Notation: logits (N, C), (N, C, H, W) or (N, T, C); labels (N,), (N, H, W) or (N, T); T the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.domain.errors import DataError
from workbench.engines.contracts import TrainingSettings
from workbench.graph.model import ModelGraph

_IGNORED = {"segmentation": 255, "language": -100}
_CLASS_TASKS = ("classification", "segmentation", "language")
_TRANSPARENT = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Dropout"})


def trained_values(graph: ModelGraph, task: str) -> tuple[str, ...]:
    """Return the values that the loss is computed on: the outputs, or what lies before a closing softmax.

    Tasks with labels look at the first output only.
    """
    names = tuple(info.name for info in graph.outputs)
    if task == "outputs":
        return names
    first = names[0]
    return (_before_softmax(graph, first) if task in _CLASS_TASKS else first,)


def _before_softmax(graph: ModelGraph, name: str) -> str:
    value = name
    while (node := graph.producer(value)) is not None:
        if node.op in ("Softmax", "LogSoftmax"):
            return node.inputs[0]
        if node.op not in _TRANSPARENT:
            break
        value = node.inputs[0]
    return name


@dataclass(frozen=True)
class Losses:
    """The loss of one batch.

    Attributes:
        task: As in TrainingSettings.
        label_smoothing: 0-1.
        distillation_weight: Share of the teacher, 0-1; all where there are no labels.
        temperature: Softening of both outputs.
    """

    task: str
    label_smoothing: float
    distillation_weight: float
    temperature: float

    @staticmethod
    def of(settings: TrainingSettings) -> Losses:
        """Return the losses that the settings ask for."""
        return Losses(settings.task, settings.label_smoothing, settings.distillation_weight, settings.temperature)

    def __call__(
        self, outputs: Sequence[Tensor], targets: np.ndarray | None, teacher: Sequence[Tensor] | None
    ) -> Tensor:
        """Return the mean loss of a batch.

        Raises:
            DataError: the labels don't fit the outputs, or there is neither a label nor a teacher.
        """
        outputs = [output.float() for output in outputs]
        if teacher is not None:
            _check_same_shape(outputs, teacher)
        if self.task == "outputs" or targets is None:
            if teacher is None:
                raise DataError(
                    "there is nothing to train towards",
                    expected="labels, or an original model to imitate",
                    found="neither",
                    action="Name the labels in the data description.",
                )
            return self._imitation(outputs, teacher)
        share = self.distillation_weight if teacher is not None else 0.0
        loss = outputs[0].new_zeros(())
        if share < 1:
            loss = loss + (1 - share) * self._own(outputs[0], targets)
        elif self.task in _CLASS_TASKS:
            self._labels(outputs[0], targets)
        if share > 0 and teacher is not None:
            loss = loss + share * self._imitation(outputs, teacher)
        return loss

    def _own(self, output: Tensor, targets: np.ndarray) -> Tensor:
        if self.task == "regression":
            wanted = torch.from_numpy(np.array(targets, np.float32)).to(output.device)
            if wanted.numel() != output.numel():
                raise DataError(
                    "the targets don't fit the model's output",
                    expected=f"shape {tuple(output.shape)}",
                    found=f"shape {tuple(wanted.shape)}",
                    action="Check `targets` in the data description.",
                )
            return F.mse_loss(output, wanted.reshape(output.shape))
        if self.task == "classification" and targets.ndim == 2 and targets.shape[1] > 1:
            return self._soft(output, targets)
        logits, labels = self._labels(output, targets)
        return F.cross_entropy(
            logits, labels, label_smoothing=self.label_smoothing, ignore_index=_IGNORED.get(self.task, -100)
        )

    def _soft(self, output: Tensor, targets: np.ndarray) -> Tensor:
        logits = output.flatten(1)
        if tuple(targets.shape) != tuple(logits.shape):
            raise DataError(
                "the label vectors don't fit the model's classes",
                expected=f"{logits.shape[1]} values a sample",
                found=f"{targets.shape[1]}",
                action="Check `targets` in the data description.",
            )
        shares = torch.from_numpy(np.array(targets, np.float32)).to(output.device)
        return F.cross_entropy(logits, shares, label_smoothing=self.label_smoothing)

    def _labels(self, output: Tensor, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return logits (M, C, …) and labels (M, …) in matching shapes, checked."""
        targets = np.asarray(targets)
        if not np.issubdtype(targets.dtype, np.integer) and targets.dtype != np.bool_:
            if not np.array_equal(targets, np.round(targets)):
                raise DataError(
                    f"the labels of task {self.task!r} are not whole numbers",
                    expected="class numbers from 0",
                    found=f"{targets.dtype.name} such as {targets.reshape(-1)[0]!r}",
                    action="Set `task: regression`, or point `targets` to the class numbers.",
                )
            targets = targets.astype(np.int64)
        logits = _class_axis_second(output, targets.shape, self.task)
        expected = (logits.shape[0], *logits.shape[2:])
        if targets.size != int(np.prod(expected)):
            raise DataError(
                "the labels don't fit the model's output",
                expected=f"labels of shape {expected} for an output of shape {tuple(output.shape)}",
                found=f"shape {targets.shape}",
                action="Check `task` and `targets` in the data description.",
            )
        classes, ignored = logits.shape[1], _IGNORED.get(self.task)
        counted = targets if ignored is None else targets[targets != ignored]
        if counted.size and (counted.min() < 0 or counted.max() >= classes):
            wrong = int(counted.max() if counted.max() >= classes else counted.min())
            raise DataError(
                f"label {wrong} is out of range",
                expected=f"0 to {classes - 1}, since the model has {classes} classes",
                found=f"labels from {int(counted.min())} to {int(counted.max())}",
                action="Use the labels that the model was trained with.",
            )
        labels = torch.from_numpy(np.array(targets, np.int64)).reshape(expected).to(output.device)
        return logits, labels

    def _imitation(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        if self.task not in _CLASS_TASKS:
            # Relative to the spread of the teacher's output, so that outputs of any unit weigh the same.
            terms = [
                F.mse_loss(output, wanted) / (wanted.var(correction=0) + 1e-8)
                for output, wanted in zip(outputs, teacher, strict=True)
                if wanted.is_floating_point()
            ]
            return torch.stack(terms).mean()
        axis = -1 if self.task == "language" else 1
        student = F.log_softmax(outputs[0] / self.temperature, axis)
        wanted = F.log_softmax(teacher[0] / self.temperature, axis)
        divergence = (wanted.exp() * (wanted - student)).sum(axis).mean()
        # Gradients shrink with 1 / T², which is made up for here (Hinton et al., 2015).
        return divergence * self.temperature**2


def _class_axis_second(output: Tensor, target_shape: Sequence[int], task: str) -> Tensor:
    """Return the output as (M, C, …): classes behind the samples wherever the model puts them."""
    if task == "classification":
        return output.flatten(1)
    if task == "language":
        return output.flatten(0, -2)
    spatial = tuple(target_shape[1:])
    if output.dim() == 4 and tuple(output.shape[2:]) != spatial and tuple(output.shape[1:3]) == spatial:
        return output.movedim(-1, 1)
    return output


def _check_same_shape(outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    for output, wanted in zip(outputs, teacher, strict=True):
        if output.shape != wanted.shape:
            raise DataError(
                "the model and its original give outputs of different shape",
                expected=f"shape {tuple(wanted.shape)}",
                found=f"shape {tuple(output.shape)}",
                action="Switch distillation off (distillation 0), or compress without changing the output.",
            )
