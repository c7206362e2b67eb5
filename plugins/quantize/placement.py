"""Decides which values become integers, so that the runtime runs everything between two quantized layers on integers.

A *layer* is integer when its weights and its input have 8 bits or fewer. Operators that compute on integers
(*connectors*: Add, pooling, Concat …) join when integers come in and are wanted behind them. Operators that only move
values (Slice, Pad, Reshape, MaxPool …) run on the integers of their input. Rectifiers need no operator at all: a value
is quantized after them, and a range that starts at 0 clips by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.api import ModelGraph, Node

from .layers import INTEGER_LAYERS, LayerBits

_CONNECTORS = frozenset({"Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "LeakyRelu", "Sigmoid"})
_MOVERS = frozenset(
    {
        "MaxPool",
        "Reshape",
        "Transpose",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Pad",
        "Split",
        "Gather",
        "Expand",
        "Tile",
        "Identity",
        "DepthToSpace",
        "Resize",
    }
)
_CLIPS = frozenset({"Relu", "Clip"})


@dataclass
class QuantizedValues:
    """Which values get quantizers.

    Attributes:
        bits: Bits of every quantized value.
        integer_nodes: Nodes that move integers.
        float_readers: Layers that read a quantized value before its quantizer.
        narrower: (node, input) → (value it is calibrated on, bits), where a reader wants fewer bits than its value has.
    """

    bits: dict[str, int] = field(default_factory=dict)
    integer_nodes: set[str] = field(default_factory=set)
    float_readers: set[str] = field(default_factory=set)
    narrower: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)


def place(graph: ModelGraph, layers: Mapping[str, LayerBits], *, integer_resize: bool = False) -> QuantizedValues:
    """Return the values to quantize for the settings of `layers` (name → bits).

    Args:
        graph: The graph.
        layers: What is asked of each layer.
        integer_resize: Whether linear resizing runs on integers, too.
    """
    return _Placing(graph, layers, integer_resize=integer_resize).result()


def values_read(graph: ModelGraph, layers: Mapping[str, LayerBits]) -> dict[str, str]:
    """Return by layer the value whose integers it would read: its input, or what that was moved from."""
    return _Placing(graph, layers).read()


class _Placing:
    def __init__(self, graph: ModelGraph, layers: Mapping[str, LayerBits], *, integer_resize: bool = False) -> None:
        self._graph = graph
        self._moving_resizes = {"nearest", "linear"} if integer_resize else {"nearest"}
        self._layers = layers
        self._outputs = {info.name for info in graph.outputs}
        self._untouched = {name for name, bits in layers.items() if bits.activation_bits > 8}
        self._integer = {
            name
            for name, bits in layers.items()
            if bits.weight_bits <= 8 and bits.activation_bits <= 8 and graph.node(name).op in INTEGER_LAYERS
        }
        self._moved_from = self._movers()
        self._members: dict[str, list[str]] = {}
        for value in self._moved_from:
            self._members.setdefault(self._root(value), []).append(value)

    def read(self) -> dict[str, str]:
        """Return by layer the value that its data was moved from."""
        return {
            name: self._root(self._graph.node(name).inputs[bits.data])
            for name, bits in self._layers.items()
            if bits.data is not None
        }

    def result(self) -> QuantizedValues:
        """Collect who wants integers where, then give every value the most bits that anyone wants of it."""
        placed = QuantizedValues()
        wants: dict[str, list[tuple[str, int, int]]] = {}
        for name, bits in self._layers.items():
            if bits.activation_bits <= 8 and bits.data is not None:
                value = self._graph.node(name).inputs[bits.data]
                wants.setdefault(self._root(value), []).append((name, bits.data, bits.activation_bits))
        wanted = {root: max(bits for _, _, bits in readers) for root, readers in wants.items()}
        connectors = self._connectors(set(wanted))
        for name in connectors:
            node = self._graph.node(name)
            for value in node.inputs:
                wanted[self._root(value)] = 8
        for name in (*connectors, *self._integer):
            node = self._graph.node(name)
            value = self._behind_clips(node.outputs[0])
            # Without a quantizer behind it the operator would not run on integers at all.
            if (name in connectors or node.op == "Conv") and not self._read_by_untouched(value):
                wanted.setdefault(self._root(value), 8)
        # In the graph's order, because sets of names are ordered differently in every process and files must not be.
        values = [info.name for info in self._graph.inputs]
        values.extend(output for node in self._graph.nodes for output in node.outputs)
        placed.bits = {value: wanted[value] for value in values if value in wanted}
        for root in wanted:
            for value in (root, *self._members.get(root, ())):
                for node in self._graph.consumers(value):
                    if node.name in self._untouched and value == root:
                        placed.float_readers.add(node.name)
                    if self._moves(node, value):
                        placed.integer_nodes.add(node.name)
        for root, readers in wants.items():
            for name, index, fewer in readers:
                if fewer < wanted[root]:
                    placed.narrower[name, index] = (root, fewer)
        return placed

    def _movers(self) -> dict[str, str]:
        """Return output → input of the operators that may move integers instead of floats."""
        found: dict[str, str] = {}
        for node in self._graph.nodes:
            if node.op in _MOVERS and node.domain == "" and node.name not in self._layers and self._movable(node):
                found.update({output: node.inputs[0] for output in node.outputs if output})
        # A float reader behind a move must not see quantized values: that move stays in float, and so do those before.
        while True:
            kept = {
                output: source
                for output, source in found.items()
                if not any(node.name in self._untouched for node in self._graph.consumers(output))
                and all(other in found for other in self._outputs_beside(output))
            }
            if len(kept) == len(found):
                return found
            found = kept

    def _outputs_beside(self, output: str) -> tuple[str, ...]:
        producer = self._graph.producer(output)
        return () if producer is None else tuple(name for name in producer.outputs if name)

    def _movable(self, node: Node) -> bool:
        if self._graph.is_constant(node.inputs[0]):
            return False
        if node.op == "Resize":
            return node.attribute("mode", "nearest") in self._moving_resizes
        if node.op == "MaxPool":
            return len([output for output in node.outputs if output]) == 1
        if node.op == "Pad":
            fill = node.inputs[2] if len(node.inputs) > 2 else ""
            return not fill or self._graph.is_constant(fill)
        return True

    def _moves(self, node: Node, value: str) -> bool:
        return node.outputs[0] in self._moved_from and self._moved_from[node.outputs[0]] == value

    def _root(self, value: str) -> str:
        while value in self._moved_from:
            value = self._moved_from[value]
        return value

    def _behind_clips(self, value: str) -> str:
        """Return the value after the rectifiers that are all that reads `value`."""
        while value not in self._outputs:
            readers = self._graph.consumers(value)
            if len(readers) != 1 or readers[0].op not in _CLIPS or readers[0].inputs[0] != value:
                break
            value = readers[0].outputs[0]
        return value

    def _before_clips(self, value: str) -> str:
        while True:
            producer = self._graph.producer(value)
            if producer is None or producer.op not in _CLIPS:
                return value
            value = producer.inputs[0]

    def _read_by_untouched(self, value: str) -> bool:
        return any(node.name in self._untouched for node in self._graph.consumers(value))

    def _connectors(self, wanted: set[str]) -> set[str]:
        """Return the operators between integers: shrink from all until each has integers before and behind it."""
        chosen = {
            node.name
            for node in self._graph.nodes
            if node.op in _CONNECTORS
            and node.domain == ""
            and not any(self._graph.is_constant(value) for value in node.inputs)
            and not self._read_by_untouched(self._behind_clips(node.outputs[0]))
        }
        while True:
            kept = {name for name in chosen if self._fed(name, chosen, wanted) and self._needed(name, chosen)}
            if kept == chosen:
                return chosen
            chosen = kept

    def _fed(self, name: str, chosen: set[str], wanted: set[str]) -> bool:
        for value in self._graph.node(name).inputs:
            root = self._root(value)
            producer = self._graph.producer(self._before_clips(root))
            if root in wanted or (producer is not None and producer.name in (chosen | self._integer)):
                return True
        return False

    def _needed(self, name: str, chosen: set[str]) -> bool:
        """Whether an integer operator reads the output, directly or after moves."""
        ahead = [self._behind_clips(self._graph.node(name).outputs[0])]
        while ahead:
            value = ahead.pop()
            for node in self._graph.consumers(value):
                if node.name in chosen or (node.name in self._layers and node.name not in self._untouched):
                    return True
                if self._moves(node, value):
                    ahead.extend(output for output in node.outputs if output)
        return False
