"""Channel identities while they are followed: every position of every axis carries the number of an *atom*.

Layers bring fresh atoms along their output axis; rules hand atoms on and say which are one and the same. A position
can go only with all positions of its atom. Notation: `labels` (size,) int64 holds the atom of each position of an axis;
`axes` holds the labels of each axis of a value, None for an axis from which nothing is removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.graph.model import Dimension, ModelGraph, Node

Labels = np.ndarray
Axes = tuple[Labels | None, ...]
Fill = Literal["zero", "low", "high", "one"]


@dataclass(frozen=True)
class Averaging:
    """What a node averages over: a removed position does not count, neither in the sum nor in the number.

    Attributes:
        axes: Of the first input.
        how: "mean" for a plain mean, "power" for a normalisation by the root mean square, "centred" for one that
            takes the mean away first.
        groups: Into how many groups the channels fall that are normalised apart; 0 where all go together.
    """

    axes: tuple[int, ...]
    how: Literal["mean", "power", "centred"]
    groups: int = 0


@dataclass(frozen=True)
class Slot:
    """One axis of a layer's weight with the atoms of its positions."""

    layer: str
    axis: Literal["out", "in"]
    weight: str
    weight_axis: int
    labels: Labels
    own: bool


class Flow:
    """What rules read and write while the graph is walked in topological order.

    Args:
        graph: The graph.
        shapes: Shape of every value as far as it is known.
        heads: By Reshape the new axis that counts attention heads.
        whole_heads: Whether heads go whole, or else the same dimension of every head.
    """

    def __init__(
        self,
        graph: ModelGraph,
        shapes: Mapping[str, tuple[Dimension, ...] | None],
        heads: Mapping[str, int],
        whole_heads: bool = True,
    ) -> None:
        self.graph = graph
        self.heads = heads
        self.whole_heads = whole_heads
        self._shapes = shapes
        self.values: dict[str, Axes] = {}
        self.uses: dict[tuple[str, int], tuple[str, Axes]] = {}
        self.slots: list[Slot] = []
        self.contracted: dict[tuple[str, int], Fill] = {}
        self.averaged: dict[str, Averaging] = {}
        self.pairs: list[tuple[Labels, Labels, Node]] = []
        self.blocks: list[tuple[Labels, str]] = []
        self.refused: dict[str, str] = {}
        self.tags: dict[str, Axes] = {}
        self.atoms = 0
        self._tied: dict[str, Axes] = {}
        self._copies: set[int] = set()

    def shape(self, value: str) -> tuple[Dimension, ...] | None:
        """Return what is known of a value's shape, the sizes of labelled axes included."""
        axes, shape = self.values.get(value), self._shapes.get(value)
        if shape is None:
            shape = self.graph.constant_shape(value)
        if axes is None:
            return shape
        if shape is None or len(shape) != len(axes):
            shape = (None,) * len(axes)
        return tuple(size if labels is None else len(labels) for size, labels in zip(shape, axes, strict=True))

    def axes(self, node: Node, index: int) -> Axes | None:
        """Return the labels of an input, or None if it is absent or its rank is unknown.

        A constant can lose any position of any axis by itself, so all of its axes get fresh atoms. Vectors get them
        per reader (they are copied when readers lose different positions); weights that layers share stay shared.
        """
        name = node.inputs[index] if index < len(node.inputs) else ""
        if not name:
            return None
        if name in self.values:
            return self.values[name]
        shape = self.graph.constant_shape(name)
        if shape is None:
            return None
        if (node.name, index) in self.uses:
            return self.uses[node.name, index][1]
        shared = sum(size > 1 for size in shape) > 1
        if shared and name in self._tied:
            axes = self._tied[name]
        else:
            axes = tuple(self.fresh(size) if size > 1 else None for size in shape)
        if shared:
            self._tied[name] = axes
        self.uses[node.name, index] = (name, axes)
        return axes

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """Return the array of a constant input, or None if it is absent or computed."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        return self.graph.constant(name) if name else None

    def give(self, node: Node, axes: Sequence[Labels | None], output: int = 0) -> None:
        """Set the labels of an output."""
        if output < len(node.outputs) and node.outputs[output]:
            self.values[node.outputs[output]] = tuple(axes)

    def fresh(self, size: int) -> Labels:
        """Return `size` new atoms."""
        labels = np.arange(self.atoms, self.atoms + size)
        self.atoms += size
        return labels

    def copies(self, size: int) -> Labels:
        """Return new atoms for copies of one position, which give way where they and channels can't both be kept."""
        labels = self.fresh(size)
        self._copies.update(labels.tolist())
        return labels

    def is_copy(self, labels: Labels) -> bool:
        """Whether an axis counts copies."""
        return int(labels[0]) in self._copies

    def fixed(self, shape: Sequence[Dimension] | None, reason: str) -> Axes | None:
        """Return labels of a value from which nothing can be removed, so that who meets it learns the reason."""
        if shape is None:
            return None
        axes = tuple(self.fresh(size) if isinstance(size, int) and size > 1 else None for size in shape)
        for labels in axes:
            self.block(labels, reason)
        return axes

    def block(self, labels: Labels | None, reason: str) -> None:
        """Say that these positions have to stay."""
        if labels is not None and len(labels):
            self.blocks.append((labels, reason))

    def block_all(self, axes: Axes | None, reason: str) -> None:
        """Say that every position of a value has to stay."""
        for labels in axes or ():
            self.block(labels, reason)

    def unify(self, node: Node, first: Labels | None, second: Labels | None) -> Labels | None:
        """Say that two axes are position by position the same; returns the labels to hand on."""
        if first is None or second is None or len(first) != len(second):
            for labels in (first, second):
                self.block(labels, f"{called(node)} joins them with an axis that can't lose positions")
            return second if first is None else first
        if first is not second:
            self.pairs.append((first, second, node))
        return first

    def couple(self, node: Node, first: Labels, second: Labels) -> None:
        """Say that positions of one and the same axis go together, because of this node."""
        self.pairs.append((first, second, node))

    def contract(self, node: Node, *indices: int, fill: Fill = "zero") -> None:
        """Say that the node puts labelled positions of these inputs together.

        What a removed channel counts as is the value that changes nothing: zero in a sum, the lowest of all in a
        maximum. Computed inputs are filled so, and constant ones where they are named here.
        """
        for index in indices:
            self.contracted[node.name, index] = fill

    def average(self, node: Node, averaging: Averaging) -> None:
        """Say that the node averages over labelled positions of its first input: removed ones do not count."""
        self.averaged[node.name] = averaging

    def layer(
        self,
        node: Node,
        index: int,
        axis: Literal["out", "in"],
        weight_axis: int,
        labels: Labels | None,
        own: bool = True,
    ) -> None:
        """Say that `labels` run along `weight_axis` of the weight at input `index` of a layer."""
        if labels is not None:
            weight = self._weight(node.inputs[index])
            self.slots.append(Slot(node.name, axis, weight, weight_axis, labels, own))

    def is_weight(self, node: Node, index: int) -> bool:
        """Whether an input is a constant, perhaps a dequantized one."""
        return bool(self._weight(node.inputs[index]))

    def give_up(self, node: Node, why: str = "can't be seen through") -> None:
        """Say that all channels that reach the node have to stay, and that nothing behind it can be removed."""
        reason = f"{called(node)} {why}"
        self.refused[node.name] = reason
        for index in range(len(node.inputs)):
            if node.inputs[index] in self.values:
                self.block_all(self.values[node.inputs[index]], reason)
        for index, name in enumerate(node.outputs):
            axes = self.fixed(self._shapes.get(name), reason)
            if axes is not None:
                self.give(node, axes, index)

    def _weight(self, name: str) -> str:
        if self.graph.constant_shape(name) is not None:
            return name
        producer = self.graph.producer(name)
        if producer is not None and producer.op in ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity"):
            return self._weight(producer.inputs[0])
        return ""


def called(node: Node) -> str:
    """Return how messages name a node."""
    return f"node {node.name!r} ({node.op})"
