"""What compression did to each layer: weight shapes and precisions before and after, joined by layer name."""

from __future__ import annotations

from workbench.domain.reports import LayerChange, LayerState
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.weights import Weight, stored

# What a pass notes on a layer's node where the stored type is wider than the range that is used (3 bits in an int8).
WEIGHT_BITS_NOTE = "workbench.weight_bits"
ACTIVATION_BITS_NOTE = "workbench.activation_bits"

_DTYPE_BITS = {
    "float16": 16.0,
    "bfloat16": 16.0,
    "uint16": 16.0,
    "int16": 16.0,
    "uint8": 8.0,
    "int8": 8.0,
    "uint4": 4.0,
    "int4": 4.0,
    "uint2": 2.0,
    "int2": 2.0,
}


def layer_changes(before: ModelGraph, after: ModelGraph) -> tuple[LayerChange, ...]:
    """Return every layer of `before` with its state in both graphs; `after` is None for a layer that is gone."""
    new = layer_states(after)
    return tuple(
        LayerChange(name=name, before=state, after=new.get(name)) for name, state in layer_states(before).items()
    )


def layer_states(graph: ModelGraph) -> dict[str, LayerState]:
    """Return every layer's weight shape and bits, seen through DequantizeLinear and casts, by layer name."""
    return {
        node.name: LayerState(
            weight_shape=weight.shape,
            bits=_weight_bits(node, weight),
            activation_bits=_activation_bits(graph, node),
        )
        for node, weight in layer_nodes(graph)
    }


def _weight_bits(node: Node, weight: Weight) -> float:
    noted = _note(node, WEIGHT_BITS_NOTE)
    return weight.bits if noted is None else min(noted, weight.bits)


def _activation_bits(graph: ModelGraph, node: Node) -> float:
    noted = _note(node, ACTIVATION_BITS_NOTE)
    if noted is not None:
        return noted
    name = next((value for value in node.inputs if value and stored(graph, value) is None), "")
    producer = graph.producer(name) if name else None
    if producer is not None and producer.op == "DequantizeLinear":
        zero_point = producer.inputs[2] if len(producer.inputs) > 2 else ""
        # The operator's own default, without a zero point, is uint8.
        return _DTYPE_BITS.get((graph.value(zero_point).dtype if zero_point else None) or "uint8", 32.0)
    return _DTYPE_BITS.get((graph.value(name).dtype if name else None) or "", 32.0)


def _note(node: Node, key: str) -> float | None:
    text = node.metadata.get(key)
    try:
        return None if text is None else float(text)
    except ValueError:
        # A file may carry anything in its notes; what is no number says nothing about bits.
        return None
