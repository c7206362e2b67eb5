"""A removal as rules see it: which positions of a node's inputs and outputs stay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workbench.graph.channels.flow import Axes, Labels
from workbench.graph.model import Dimension, ModelGraph, Node


class Cut:
    """Answers what a removal does to the values around a node.

    Args:
        graph: The graph before the removal.
        values: Labels of every computed value.
        uses: Labels of every constant by (node, input index).
        shapes: Shapes before the removal.
        gone: Per atom whether it is removed.
    """

    def __init__(
        self,
        graph: ModelGraph,
        values: Mapping[str, Axes],
        uses: Mapping[tuple[str, int], tuple[str, Axes]],
        shapes: Mapping[str, tuple[Dimension, ...] | None],
        gone: np.ndarray,
    ) -> None:
        self._graph = graph
        self._values = values
        self._uses = uses
        self._shapes = shapes
        self._gone = gone

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return self._graph.opset

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """Return the array of a constant input before the removal, or None if it is absent or computed."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        return self._graph.constant(name) if name else None

    def shape(self, value: str) -> tuple[Dimension, ...] | None:
        """Return a value's shape before the removal."""
        shape = self._shapes.get(value)
        return self._graph.constant_shape(value) if shape is None else shape

    def stays(self, labels: Labels | None) -> np.ndarray | None:
        """Return per position whether it stays, or None if all do."""
        if labels is None or not self._gone[labels].any():
            return None
        return np.asarray(~self._gone[labels])

    def input(self, node: Node, index: int) -> tuple[np.ndarray | None, ...]:
        """Return per axis of an input which positions stay (None: all); () for an input that is not followed."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        axes = self._values.get(name, self._uses.get((node.name, index), ("", ()))[1])
        return tuple(self.stays(labels) for labels in axes)

    def output(self, node: Node, index: int = 0) -> tuple[np.ndarray | None, ...]:
        """Return per axis of an output which positions stay (None: all); () for an output that is not followed."""
        return tuple(self.stays(labels) for labels in self._values.get(node.outputs[index], ()))
