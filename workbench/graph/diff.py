"""What compression did to a graph: layers before and after, joined by name, layers that are new, operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from workbench.domain.derived_layers import original_name
from workbench.domain.reports import LayerChange, LayerState, NewLayer, OperatorChange
from workbench.graph.branches import branch_of_layers, find_branches
from workbench.graph.kept import Kept, kept
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
    """Return every layer of `before` with its state in both graphs, its removed channels, factors and branch."""
    old, new = layer_states(before), layer_states(after)
    # Branches are only looked for where a layer went: it takes the graph's shapes.
    branches = branch_of_layers(find_branches(before)) if old.keys() - new.keys() else {}
    notes = {node.name: kept(node.metadata) for node in after.nodes}
    factors: dict[str, list[str]] = {}
    for name in new.keys() - old.keys():
        factors.setdefault(original_name(name) or "", []).append(name)
    return tuple(
        LayerChange(
            name=name,
            before=state,
            after=new.get(name),
            **_lost(notes.get(name)),
            factors=tuple(sorted(factors.get(name, ()))),
            branch=branches[name].id if name not in new and name in branches else None,
        )
        for name, state in old.items()
    )


def new_layers(before: ModelGraph, after: ModelGraph) -> tuple[NewLayer, ...]:
    """Return the layers of `after` that `before` lacks, in graph order, with the layer that each was derived from."""
    old, new = layer_states(before), layer_states(after)
    operators = {node.name: node.op for node in after.nodes}
    found = []
    for name, state in new.items():
        if name not in old:
            origin = original_name(name)
            found.append(NewLayer(name=name, op=operators[name], origin=origin if origin in old else None, state=state))
    return tuple(found)


def operator_changes(before: ModelGraph, after: ModelGraph) -> tuple[OperatorChange, ...]:
    """Return the operators of which there are more or fewer nodes than before, by name."""
    old, new = Counter(node.op for node in before.nodes), Counter(node.op for node in after.nodes)
    return tuple(OperatorChange(op=op, before=old[op], after=new[op]) for op in sorted(old | new) if old[op] != new[op])


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


def _lost(note: Kept | None) -> Mapping[str, Any]:
    """Return the fields of a LayerChange that say which channels are gone."""
    if note is None:
        return {}
    stays = set(note.positions.tolist())
    return {
        "channels": note.count,
        "removed_channels": tuple(channel for channel in range(note.count) if channel not in stays),
    }


def noted_weight_bits(node: Node) -> float | None:
    """Return the bits of a layer's weight that a pass noted on it, or None."""
    return _note(node, WEIGHT_BITS_NOTE)


def _weight_bits(node: Node, weight: Weight) -> float:
    noted = noted_weight_bits(node)
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
