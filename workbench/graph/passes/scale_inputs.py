"""Scales the channels that some layers read by a multiplication of its own, where nothing before them can take it.

Notation: layers read x (…, channels), after the pass x · factor; whoever else reads x still reads x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name


@dataclass(frozen=True, eq=False)
class InputScale:
    """A factor (channels,) on the last axis of a value, for those of its readers that are named."""

    value: str
    layers: tuple[str, ...]
    factor: np.ndarray


def scale_inputs(graph: ModelGraph, scales: Sequence[InputScale]) -> ModelGraph:
    """Return the graph in which the named layers read scaled values.

    Raises:
        KeyError: a layer is not a node, or none of them reads the value.
    """
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for entry in scales:
        readers = [nodes[name] for name in entry.layers]
        places = [
            (node, index)
            for node in readers
            for index, value in enumerate(node.inputs)
            if value is not None and value.name == entry.value
        ]
        if not places:
            raise KeyError(entry.value)
        source = places[0][0].inputs[places[0][1]]
        assert source is not None
        factor = add_initializer(model, free_name(model, f"{entry.value}_smoothing"), entry.factor.astype(np.float32))
        output = ir.Value(name=free_name(model, f"{entry.value}_smoothed"), type=source.type, shape=source.shape)
        product = ir.node("Mul", [source, factor], outputs=[output], name=output.name)
        producer = source.producer()
        if producer is None:
            model.graph.insert_before(next(iter(model.graph)), product)
        else:
            model.graph.insert_after(producer, product)
        for node, index in places:
            node.replace_input_with(index, output)
    return graph.edited(model)
