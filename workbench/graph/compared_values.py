"""The values at which two executions of one file can be compared without changing what the runtime fuses.

Integers behind a quantizer exist in every execution, since fused operators write them too; floats between operators
only exist where nothing is fused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.graph.kernel_graphs import INTEGER_OPERATORS
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.weights import Weight

_LARGEST_BYTE, _LARGEST_SUM = 255, 2**15 - 1
_CLIPS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True)
class ComparedValue:
    """One value.

    Attributes:
        name: Its name.
        node: Who makes it; for integers who makes what was quantized.
        integers: Whether it is the output of a quantizer.
        zero_point: Level of 0, for integers.
    """

    name: str
    node: Node
    integers: bool
    zero_point: float = 0.0


def compared_values(graph: ModelGraph) -> tuple[ComparedValue, ...]:
    """Return the quantized activations, the outputs of layers that stay in float, and the graph's outputs, in order."""
    outputs = {info.name for info in graph.outputs}
    layers = {node.name for node, _ in layer_nodes(graph)}
    found: list[ComparedValue] = []
    for node in graph.nodes:
        if node.op == "QuantizeLinear" and not graph.is_constant(node.inputs[0]):
            source = graph.producer(node.inputs[0])
            zero = graph.constant(node.inputs[2]) if len(node.inputs) > 2 else None
            found.append(
                ComparedValue(
                    _behind_clip(graph, node), source or node, True, 0.0 if zero is None else float(np.ravel(zero)[0])
                )
            )
        elif node.name in layers and not _quantized_behind(graph, node.outputs[0]):
            found.append(ComparedValue(node.outputs[0], node, False))
    known = {value.name for value in found}
    for name in outputs - known:
        producer = graph.producer(name)
        if producer is not None:
            found.append(ComparedValue(name, _behind_dequantizer(graph, producer), False))
    order = {output: index for index, node in enumerate(graph.nodes) for output in node.outputs}
    return tuple(sorted(found, key=lambda value: order[value.name]))


def saturating_layers(graph: ModelGraph) -> tuple[str, ...]:
    """Return the integer layers in which two products of unsigned data and signed weights can exceed 16 bits.

    Processors without integer dot products (VNNI) add such pairs in 16 bits, where 32,767 is the end: larger sums
    saturate and the result is wrong. Which weights are paired depends on the kernel; the two largest magnitudes of
    each output channel bound all pairings.
    """
    return tuple(
        node.name
        for node, weight in layer_nodes(graph)
        if node.op in INTEGER_OPERATORS
        and weight.dtype == "int8"
        and weight.quantized
        and _unsigned_data(graph, node)
        and _saturates(graph, weight)
    )


def layers_with_zero_points(graph: ModelGraph) -> tuple[str, ...]:
    """Return the layers whose integer weights have a zero point other than 0, for which runtimes have other kernels."""
    found = []
    for node, weight in layer_nodes(graph):
        for reader in weight.through:
            zeros = graph.constant(reader.inputs[2]) if reader.op == "DequantizeLinear" and reader.inputs[2:] else None
            if zeros is not None and zeros.any():
                found.append(node.name)
    return tuple(found)


def _saturates(graph: ModelGraph, weight: Weight) -> bool:
    integers = graph.constant(weight.name)
    assert integers is not None, weight.name
    dequantizer = next(node for node in weight.through if node.op == "DequantizeLinear")
    rows = integers.astype(np.int64).reshape(1, -1)
    if np.prod(graph.constant_shape(dequantizer.inputs[1]) or (), dtype=int) > 1:
        axis = int(dequantizer.attribute("axis", 1))
        rows = np.moveaxis(integers.astype(np.int64), axis, 0).reshape(integers.shape[axis], -1)
    pairs = np.sort(np.abs(rows), axis=1)[:, -2:].sum(axis=1)
    return bool(_LARGEST_BYTE * pairs.max(initial=0) > _LARGEST_SUM)


def _unsigned_data(graph: ModelGraph, node: Node) -> bool:
    producer = graph.producer(node.inputs[0])
    if producer is None or producer.op != "DequantizeLinear":
        return False
    return graph.value(producer.inputs[0]).dtype == "uint8"


def _behind_clip(graph: ModelGraph, quantizer: Node) -> str:
    readers = graph.consumers(quantizer.outputs[0])
    if len(readers) == 1 and readers[0].op == "Clip":
        return readers[0].outputs[0]
    return quantizer.outputs[0]


def _quantized_behind(graph: ModelGraph, value: str) -> bool:
    """Whether the value is quantized, directly or after a rectifier that is all that reads it."""
    readers = graph.consumers(value)
    if any(reader.op == "QuantizeLinear" for reader in readers):
        return True
    return len(readers) == 1 and readers[0].op in _CLIPS and _quantized_behind(graph, readers[0].outputs[0])


def _behind_dequantizer(graph: ModelGraph, node: Node) -> Node:
    """Return the node whose result an output is, looking past its quantizer."""
    while node.op in ("DequantizeLinear", "QuantizeLinear", "Clip"):
        producer = graph.producer(node.inputs[0])
        # A Clip on floats is a rectifier of the network's own.
        if producer is None or (node.op == "Clip" and producer.op != "QuantizeLinear"):
            break
        node = producer
    return node
