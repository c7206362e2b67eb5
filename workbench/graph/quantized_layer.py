"""Reads from a deployed graph how one layer is quantized: its weight's scales, and the quantizer of what it reads.

Notation as in `workbench.graph.quantization`. What is read is what runs, whoever made the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.domain.errors import BadInputError
from workbench.graph.diff import layer_states
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.quantization import along
from workbench.graph.weights import Weight, stored, weight_values

_MOST_MOVERS = 32


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A layer's weight as the layer sees it.

    Attributes:
        values: Dequantized, float32.
        scales: (channels,) or (); None where it is not quantized, or has a scale a block.
        axis: Axis of `values` that the scales run along; None for one scale.
        bits: 32 for float.
        packed: Whether the layer unpacks codes itself; a matrix product's values are then (out, in).
        zeros: Zero points, of the scales' shape; None where all are 0.
    """

    values: np.ndarray
    scales: np.ndarray | None
    axis: int | None
    bits: float
    packed: bool = False
    zeros: np.ndarray | None = None

    def spread(self) -> np.ndarray:
        """Return the scales in a shape that broadcasts to the values."""
        assert self.scales is not None
        return along(self.scales, self.axis, self.values.ndim)


@dataclass(frozen=True)
class ActivationQuantizer:
    """How what a layer reads becomes integers.

    Attributes:
        real: Name of the value that is quantized.
        integers: Name of its integers, clipped to their levels.
        scale: s.
        zero_point: z.
        lowest, highest: Levels.
        bits: Of the levels.
    """

    real: str
    integers: str
    scale: float
    zero_point: int
    lowest: int
    highest: int
    bits: float


def layer_node(graph: ModelGraph, layer: str) -> tuple[Node, Weight]:
    """Return a layer's node and stored weight.

    Raises:
        BadInputError: there is no layer of that name.
    """
    found = next(((node, weight) for node, weight in layer_nodes(graph) if node.name == layer), None)
    if found is None:
        raise BadInputError(f"there is no layer {layer!r} any more", where=graph.source, action="Choose another layer.")
    return found


def quantized_weight(graph: ModelGraph, layer: str) -> QuantizedWeight:
    """Return a layer's weight with its scales.

    Raises:
        BadInputError: there is no layer of that name.
    """
    node, weight = layer_node(graph, layer)
    values = weight_values(graph, weight)
    bits = layer_states(graph)[node.name].bits
    if weight.reader is not None:
        return QuantizedWeight(values.T, None, None, bits, packed=True)
    if not weight.quantized:
        return QuantizedWeight(values, None, None, bits)
    readers = [each for each in weight.through if each.op == "DequantizeLinear"]
    moved = bool(readers) and weight.through[-1] is not readers[-1]
    scales = graph.constant(readers[-1].inputs[1]) if readers else None
    if scales is None or moved or int(readers[-1].attribute("block_size", 0)) or scales.ndim > 1:
        return QuantizedWeight(values, None, None, bits)
    zeros = graph.constant(readers[-1].inputs[2]) if len(readers[-1].inputs) > 2 and readers[-1].inputs[2] else None
    if zeros is not None:
        zeros = zeros.astype(np.int64) if zeros.any() and zeros.size == scales.size else None
    if scales.size == 1:
        zeros = None if zeros is None else zeros.reshape(())
        return QuantizedWeight(values, scales.reshape(()).astype(np.float64), None, bits, zeros=zeros)
    axis = int(readers[-1].attribute("axis", 1)) % values.ndim
    return QuantizedWeight(values, scales.astype(np.float64), axis, bits, zeros=zeros)


def data_input(graph: ModelGraph, layer: str) -> str | None:
    """Return the name of the value that a layer reads beside its weight; None for an embedding's indices.

    Raises:
        BadInputError: there is no layer of that name.
    """
    node, _ = layer_node(graph, layer)
    if node.op == "Gather":
        return None
    return next((name for name in node.inputs if name and stored(graph, name) is None), None)


def activation_quantizer(graph: ModelGraph, layer: str) -> ActivationQuantizer | None:
    """Return the quantizer of what a layer reads, seen through nodes that move integers; None where it reads floats.

    Raises:
        BadInputError: there is no layer of that name.
    """
    value = data_input(graph, layer)
    node = None if value is None else graph.producer(value)
    # A padded input is moved as floats where its dequantizer comes first.
    while node is not None and node.op == "Pad":
        node = graph.producer(node.inputs[0])
    if node is None or node.op != "DequantizeLinear":
        return None
    integers, limits = node.inputs[0], None
    for _ in range(_MOST_MOVERS):
        maker = graph.producer(integers)
        if maker is None:
            return None
        if maker.op == "QuantizeLinear":
            return _quantizer(graph, layer, maker, limits)
        if maker.op == "Clip":
            ends = [graph.constant(name) for name in maker.inputs[1:3]]
            if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
                limits = (maker.outputs[0], int(ends[0]), int(ends[1]))
        integers = maker.inputs[0]
    return None


def _quantizer(
    graph: ModelGraph, layer: str, node: Node, limits: tuple[str, int, int] | None
) -> ActivationQuantizer | None:
    scale = graph.constant(node.inputs[1])
    zero = graph.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros((), np.uint8)
    if scale is None or zero is None or scale.size != 1 or zero.dtype.kind not in "iu":
        return None
    kind = np.iinfo(zero.dtype)
    name, lowest, highest = limits or (node.outputs[0], int(kind.min), int(kind.max))
    return ActivationQuantizer(
        node.inputs[0],
        name,
        float(scale.reshape(-1)[0]),
        int(zero.reshape(-1)[0]),
        lowest,
        highest,
        layer_states(graph)[layer].activation_bits,
    )
