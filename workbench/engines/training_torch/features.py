"""Joins inner values of a model with those of its original by name, so that the small one can learn them too.

Only the outputs of the network say little about a block in its depth; its own feature map, beside the original's,
says what is missing there (Romero et al., 2015, FitNets). Channels that were pruned are left out of the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.graph.kept import kept
from workbench.graph.model import ModelGraph, Node

_ACTIVATIONS = frozenset({"Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "Gelu", "Elu", "Selu", "Mish", "Softplus"})
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_TINY = 1e-8


@dataclass(frozen=True)
class Feature:
    """One value of both graphs.

    Attributes:
        value: Its name, the same in both.
        axis: Along which the student lost positions; 0 where it lost none.
        positions: Those of the original that the student still has, or None for all.
    """

    value: str
    axis: int = 0
    positions: tuple[int, ...] | None = None


def joined_features(student: ModelGraph, teacher: ModelGraph) -> tuple[Feature, ...]:
    """Return the values to compare: ends of residual blocks, or of all layers in networks that have none.

    Values that only one of the graphs has, and those whose shapes differ for another reason than removed channels
    that the student's nodes remember (see `workbench.graph.kept`), are left out.
    """
    ends = [_after_activation(teacher, node.outputs[0]) for node in teacher.nodes if _is_join(teacher, node)]
    if not ends:
        ends = [_after_activation(teacher, node.outputs[0]) for node in teacher.nodes if node.op in _LAYERS]
    outputs = {info.name for info in teacher.outputs}
    found = [_feature(student, teacher, value) for value in dict.fromkeys(ends) if value not in outputs]
    return tuple(feature for feature in found if feature is not None)


class FeatureLoss:
    """Mean squared distance of joined values, each relative to the spread of the original's.

    Args:
        features: What to compare.
        device: Where training runs.
    """

    def __init__(self, features: Sequence[Feature], device: torch.device) -> None:
        self._features = tuple(features)
        self._positions = {
            feature.value: torch.tensor(feature.positions, device=device)
            for feature in features
            if feature.positions is not None
        }

    @property
    def values(self) -> tuple[str, ...]:
        """Names of the values that both graphs have to give."""
        return tuple(feature.value for feature in self._features)

    def __call__(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return the mean over all features, a scalar."""
        terms = []
        for feature in self._features:
            wanted = teacher[feature.value]
            if feature.positions is not None:
                wanted = wanted.index_select(feature.axis, self._positions[feature.value])
            distance: Tensor = _RelativeDistance.apply(student[feature.value], wanted)  # type: ignore[no-untyped-call]
            terms.append(distance)
        return torch.stack(terms).mean()


class _RelativeDistance(torch.autograd.Function):
    """Mean squared distance over the spread of what is wanted, a float32 scalar.

    What is kept for the way back has the precision of the maps, such as bfloat16, and only sums are float32: written
    with tensors' usual methods it took as long as half of the training.
    """

    @staticmethod
    def forward(context: Any, values: Tensor, wanted: Tensor) -> Tensor:
        distance = values - wanted.to(values.dtype)
        norm = torch.linalg.vector_norm(wanted, dtype=torch.float32)
        spread = norm.square() / wanted.numel() - wanted.mean(dtype=torch.float32).square()
        scale = 1.0 / (wanted.numel() * (spread.clamp_min(0.0) + _TINY))
        context.save_for_backward(distance, scale)
        total: Tensor = torch.linalg.vector_norm(distance, dtype=torch.float32)
        relative: Tensor = total.square() * scale
        return relative

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        distance, scale = context.saved_tensors
        return distance * (2.0 * gradient * scale), None


def _is_join(graph: ModelGraph, node: Node) -> bool:
    return node.op in ("Add", "Sum") and not any(graph.is_constant(value) for value in node.inputs)


def _after_activation(graph: ModelGraph, value: str) -> str:
    readers = graph.consumers(value)
    if len(readers) == 1 and readers[0].op in _ACTIVATIONS and readers[0].inputs[0] == value:
        return readers[0].outputs[0]
    return value


def _feature(student: ModelGraph, teacher: ModelGraph, value: str) -> Feature | None:
    node = student.producer(value)
    wanted = teacher.value(value)
    if node is None or wanted.dtype != "float32" or wanted.shape is None or len(wanted.shape) < 2:
        return None
    present = student.value(value)
    if present.dtype != "float32" or present.shape is None or len(present.shape) != len(wanted.shape):
        return None
    # The batch may have another name in either graph.
    differing = [axis for axis in range(1, len(wanted.shape)) if present.shape[axis] != wanted.shape[axis]]
    if not differing:
        return Feature(value)
    note = kept(node.metadata)
    if note is None or differing != [note.axis] or note.count != wanted.shape[note.axis]:
        return None
    if present.shape[note.axis] != len(note.positions):
        return None
    return Feature(value, note.axis, tuple(int(position) for position in np.asarray(note.positions)))
