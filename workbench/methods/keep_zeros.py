"""Keeps sparse weights sparse while they are trained: a zero that an earlier step made stays one, whoever trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.engines.contracts import TrainingHook
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.sparsity import sparsity_of


def sparse_weights(graph: ModelGraph) -> frozenset[str]:
    """Return the names of the weights whose layers are noted as sparse."""
    return frozenset(weight.name for node, weight in layer_nodes(graph) if sparsity_of(node) is not None)


class KeepZeros:
    """Holds the zeros of weights, around another hook if there is one; implements TrainingHook.

    The other hook's gradients are masked like the loss's. It sees weights whose zeros stand, so that what it sets aside
    and puts back has them too.

    Args:
        weights: Names of the initializers to hold.
        inner: Takes part in the training as well.
    """

    def __init__(self, weights: frozenset[str], inner: TrainingHook | None = None) -> None:
        self._names, self._inner = weights, inner
        # Torch tensors, which are used through their own functions only: methods know no runtime.
        self._held: list[tuple[Any, Any]] = []

    @property
    def note(self) -> str:
        """What was done, for the report."""
        return f"kept the zeros of {len(self._held)} sparse weights"

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Take the zeros as they are before the first step."""
        self._held = [(weight, weight != 0) for name, weight in weights.items() if name in self._names]
        if self._inner is not None:
            self._inner.begin(weights, epochs, steps_per_epoch)

    def after_backward(self, step: int) -> None:
        """Leave zeros out of the gradients, so that they gather no momentum."""
        if self._inner is not None:
            self._inner.after_backward(step)
        for weight, mask in self._held:
            if weight.grad is not None:
                weight.grad.mul_(mask)

    def after_step(self, step: int) -> None:
        """Set to zero what the optimizer moved all the same."""
        for weight, mask in self._held:
            weight.mul_(mask)
        if self._inner is not None:
            self._inner.after_step(step)

    def after_epoch(self, epoch: int) -> None:
        """Leave the end of an epoch to the other hook."""
        if self._inner is not None:
            self._inner.after_epoch(epoch)

    def state(self) -> dict[str, Any]:
        """Return the other hook's state: the zeros are those of the graph that the training began with."""
        return {} if self._inner is None else self._inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the zeros that `begin` took."""
        if self._inner is not None:
            self._inner.restore(state)
