"""Cuts a network between its layers, so that samples go through it once while what was found is put right on the way.

Notation: stretch k computes what depends on k layers in a row, up to and with the next layers; their outputs are read
from stretch k + 1 on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.api import ModelGraph, Node, cut_out


@dataclass(frozen=True)
class Stretch:
    """A part of a network between layers.

    Attributes:
        layers: Those it ends with, in the order of the graph.
        inputs: Values that it reads.
        outputs: Values that it computes and that are wanted, the outputs of its layers first.
        last_read: Of the inputs, those that no later stretch reads.
    """

    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    last_read: tuple[str, ...]

    def cut(self, graph: ModelGraph, fed: Mapping[str, np.ndarray]) -> ModelGraph:
        """Return this part of the graph; `fed` are arrays as it will read them."""
        given = {name: fed[name] for name in self.inputs}
        return cut_out(graph, self.inputs, self.outputs, like=given)


def stretches(graph: ModelGraph, layers: Collection[str]) -> tuple[Stretch, ...]:
    """Return the parts that end with the layers, in order; what no layer depends on is in none.

    Args:
        graph: The whole.
        layers: Names of nodes with one output.
    """
    return _Cutting(graph, layers).result()


def joined(parts: Sequence[Stretch]) -> Stretch:
    """Return several stretches, one behind the other, as one."""
    made = {value for part in parts for value in part.outputs}
    inputs = [value for part in parts for value in part.inputs if value not in made]
    return Stretch(
        tuple(layer for part in parts for layer in part.layers),
        tuple(dict.fromkeys(inputs)),
        tuple(value for part in parts for value in part.outputs),
        tuple(value for part in parts for value in part.last_read if value not in made),
    )


class _Cutting:
    def __init__(self, graph: ModelGraph, layers: Collection[str]) -> None:
        self._graph, self._layers = graph, layers
        self._reads: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
        self._known = set(graph.initializers)
        fed = [info.name for info in graph.inputs]
        for value in (*fed, *(output for node in graph.nodes for output in node.outputs if output)):
            for node in graph.consumers(value):
                self._reads[node.name].append(value)
        # Stretch from which on a value can be read; what follows from constants alone is computed wherever it is read.
        self._from = dict.fromkeys(fed, 0)
        self._of: dict[str, int] = {}
        for node in graph.nodes:
            self._follow(node)
        self._needed = self._leading_to_layers()

    def result(self) -> tuple[Stretch, ...]:
        count = max((self._of[name] + 1 for name in self._layers), default=0)
        readers: dict[str, set[int]] = {}
        for node in self._graph.nodes:
            if node.name in self._needed:
                for value in self._carried(node):
                    readers.setdefault(value, set()).add(self._of[node.name])
        found = []
        for number in range(count):
            layers = [
                node.name for node in self._graph.nodes if node.name in self._layers and self._of[node.name] == number
            ]
            ends = [self._graph.node(name).outputs[0] for name in layers]
            made = [
                value
                for value, numbers in readers.items()
                if value not in ends and self._made_in(value) == number and max(numbers) > number
            ]
            inputs = [
                value
                for value, numbers in readers.items()
                if number in numbers and (self._made_in(value) is None or self._made_in(value) != number)
            ]
            last = [value for value in inputs if max(readers[value]) == number]
            found.append(Stretch(tuple(layers), tuple(inputs), (*ends, *made), tuple(last)))
        return tuple(found)

    def _follow(self, node: Node) -> None:
        reads = [value for value in self._reads[node.name] if value in self._from]
        if not reads:
            return
        self._of[node.name] = max(self._from[value] for value in reads)
        behind = self._of[node.name] + (node.name in self._layers)
        self._from.update({output: behind for output in node.outputs if output})

    def _leading_to_layers(self) -> set[str]:
        """Return the nodes that layers depend on, the layers included, without those that follow from constants."""
        wanted: set[str] = set()
        values: set[str] = set()
        for node in reversed(self._graph.nodes):
            if node.name in self._of and (node.name in self._layers or values & set(node.outputs)):
                wanted.add(node.name)
                values.update(self._reads[node.name])
        return wanted

    def _carried(self, node: Node) -> list[str]:
        """Return what a node reads of the samples; integers in place of the floats that they stand for."""
        found = []
        for value in self._reads[node.name]:
            if value not in self._from:
                continue
            producer = self._graph.producer(value)
            if producer is not None and producer.op == "DequantizeLinear" and producer.inputs[0] in self._from:
                found.append(producer.inputs[0])
            else:
                found.append(value)
        return found

    def _made_in(self, value: str) -> int | None:
        """Return the stretch that computes a value; None for inputs of the model."""
        producer = self._graph.producer(value)
        return None if producer is None else self._of[producer.name]
