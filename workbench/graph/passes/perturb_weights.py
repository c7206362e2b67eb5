"""Lets weights be read with something added to them, so that slopes along a direction can be taken by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name, names_in_use


def perturb_weights(graph: ModelGraph, directions: Mapping[str, np.ndarray]) -> tuple[ModelGraph, dict[str, str]]:
    """Return a graph whose readers of each named weight get weight + direction, and the directions' names.

    Args:
        graph: The model.
        directions: By initializer; float32, of its shape.

    Raises:
        KeyError: a name is not an initializer of the graph.
    """
    model = graph.edit()
    taken, names = names_in_use(model), {}
    first = next(iter(model.graph))
    for name, direction in directions.items():
        weight = model.graph.initializers[name]
        uses = tuple(weight.uses())
        added = add_initializer(model, free_name(model, f"{name}_direction", taken), direction)
        output = ir.Value(name=free_name(model, f"{name}_perturbed", taken), type=weight.type, shape=weight.shape)
        node = ir.node("Add", [weight, added], outputs=[output])
        node.name = output.name
        model.graph.insert_before(first, node)
        for use in uses:
            use.node.replace_input_with(use.idx, output)
        names[name] = added.name or ""
    return graph.edited(model), names
