"""Keeps sparse weights sparse while they are trained: a zero that a pruning step made stays one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from workbench.api import ModelGraph, layer_nodes, sparsity_of


class KeepZeros:
    """Holds the zeros of layers whose note says that they are sparse; implements TrainingHook.

    Args:
        weights: Names of the initializers to hold.
    """

    def __init__(self, weights: frozenset[str]) -> None:
        self._names = weights
        self._held: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def of(cls, graph: ModelGraph) -> KeepZeros | None:
        """Return the hook for a graph, or None where no layer of it is sparse."""
        names = frozenset(weight.name for node, weight in layer_nodes(graph) if sparsity_of(node) is not None)
        return cls(names) if names else None

    @property
    def note(self) -> str:
        """What was done, for the report."""
        return f"kept the zeros of {len(self._held)} sparse weights"

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Take the zeros as they are before the first step."""
        self._held = [(weight, weight != 0) for name, weight in weights.items() if name in self._names]

    def after_backward(self, step: int) -> None:
        """Leave zeros out of the gradients, so that they gather no momentum."""
        for weight, mask in self._held:
            if weight.grad is not None:
                weight.grad.mul_(mask)

    def after_step(self, step: int) -> None:
        """Set to zero what the optimizer moved all the same."""
        for weight, mask in self._held:
            weight.mul_(mask)

    def after_epoch(self, epoch: int) -> None:
        """Nothing is left to do."""

    def state(self) -> dict[str, Any]:
        """Return nothing: the zeros are those of the graph that the training began with."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the zeros that `begin` took."""
