"""Divides a network into parts that follow each other, each small enough to be fitted to the original by itself.

A unit is a run of operators in graph order: what it reads was made before it, what it makes is read after it. *Blocks*
end where one value is all that goes on (after a residual addition), *layers* after every layer with what belongs to it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node

# What reshapes each element for itself belongs to the operator before it.
_FOLLOWERS = frozenset(
    {
        *("BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "HardSigmoid", "Gelu", "Elu"),
        *("Selu", "Mish", "Softplus", "Sigmoid", "Tanh", "Dropout", "Identity"),
    }
)
_FLOATS = ("float32", None)


@dataclass(frozen=True)
class Unit:
    """A part of a network.

    Attributes:
        layers: Names of the layers in it, in graph order; one at least.
        nodes: Names of its operators.
        inputs: Values that it reads from outside.
        outputs: Values of it that are read outside, or that the model returns.
    """

    layers: tuple[str, ...]
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def find_units(
    graph: ModelGraph, kind: Literal["layer", "block"], transparent: Collection[str] = (), most_layers: int = 8
) -> tuple[Unit, ...]:
    """Return the units in the order in which they run; together they hold every layer that data goes through.

    Args:
        graph: The model.
        kind: Where units end.
        transparent: Names of operators whose results never pass between units; every unit computes what it needs of
            them again. So are all that compute something else than float numbers, such as shapes.
        most_layers: Longer blocks are divided after layers.
    """
    return _Division(graph, frozenset(transparent)).units(kind, most_layers)


class _Division:
    def __init__(self, graph: ModelGraph, transparent: frozenset[str]) -> None:
        self._graph = graph
        self._layers = {node.name for node, _ in layer_nodes(graph)}
        self._inputs = {info.name for info in graph.inputs}
        computed = set(self._inputs)
        self._nodes: list[Node] = []
        self._passing: set[str] = set(self._inputs)
        for node in graph.nodes:
            if not any(name in computed for name in node.inputs):
                continue
            computed.update(name for name in node.outputs if name)
            outputs = [name for name in node.outputs if name]
            if node.name not in transparent and all(graph.value(name).dtype in _FLOATS for name in outputs):
                self._nodes.append(node)
                self._passing.update(outputs)
        self._computed = computed
        self._reads = [self._sources(node.inputs) for node in self._nodes]
        self._returned = self._sources(info.name for info in graph.outputs)
        self._last: dict[str, int] = {}
        for index, names in enumerate(self._reads):
            self._last.update(dict.fromkeys(names, index))
        self._last.update(dict.fromkeys(self._returned, len(self._nodes)))

    def units(self, kind: str, most_layers: int) -> tuple[Unit, ...]:
        """Return the units between the cuts; what follows the last layer's is left out."""
        ranges: list[tuple[int, int]] = []
        every_layer = self._layer_ends()
        for start, end in self._ranges(self._block_ends() if kind == "block" else every_layer):
            if sum(node.name in self._layers for node in self._nodes[start:end]) <= most_layers:
                ranges.append((start, end))
                continue
            parts = self._ranges([index for index in every_layer if start < index < end] + [end], start)
            # An addition at a block's end belongs to its last layer.
            ranges.extend([*parts[:-1], (parts[-1][0], end)])
        return tuple(self._unit(start, end) for start, end in ranges)

    def _sources(self, names: object) -> tuple[str, ...]:
        """Return the values that pass between units and that these values are made of."""
        found: dict[str, None] = {}
        ahead = [name for name in names if name in self._computed][::-1]  # type: ignore[attr-defined]
        while ahead:
            name = ahead.pop()
            if name in self._passing:
                found[name] = None
                continue
            producer = self._graph.producer(name)
            if producer is not None:
                ahead.extend(read for read in producer.inputs if read in self._computed)
        return tuple(found)

    def _block_ends(self) -> list[int]:
        """Return the positions before which nothing but one value goes on."""
        ends = []
        live: set[str] = set(self._inputs)
        for index, node in enumerate(self._nodes):
            live.update(name for name in node.outputs if name in self._last)
            live = {name for name in live if self._last.get(name, -1) > index}
            if len(live) <= 1 and not self._followed(index):
                ends.append(index + 1)
        return ends

    def _layer_ends(self) -> list[int]:
        """Return the positions after each layer and what belongs to it."""
        ends, after = [], False
        for index, node in enumerate(self._nodes):
            after = after or node.name in self._layers
            if after and not self._followed(index):
                ends.append(index + 1)
                after = False
        return ends

    def _followed(self, index: int) -> bool:
        """Whether the next operator belongs to this one."""
        if index + 1 >= len(self._nodes):
            return False
        node, outputs = self._nodes[index + 1], set(self._nodes[index].outputs)
        return node.op in _FOLLOWERS and set(self._reads[index + 1]) <= outputs

    def _ranges(self, ends: list[int], start: int = 0) -> list[tuple[int, int]]:
        """Return [start, end) between the ends; what holds no layer joins the next."""
        found = []
        for end in ends:
            if any(node.name in self._layers for node in self._nodes[start:end]):
                found.append((start, end))
                start = end
        return found

    def _unit(self, start: int, end: int) -> Unit:
        nodes = self._nodes[start:end]
        made = {name: None for node in nodes for name in node.outputs if name}
        read = dict.fromkeys(name for names in self._reads[start:end] for name in names if name not in made)
        return Unit(
            tuple(node.name for node in nodes if node.name in self._layers),
            tuple(node.name for node in nodes),
            tuple(read),
            tuple(name for name in made if self._last.get(name, -1) >= end),
        )
