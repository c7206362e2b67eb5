"""Small edits that several passes need on a copy of the graph: fresh names, new weights, taking nodes out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir


def names_in_use(model: ir.Model) -> set[str]:
    """Return the names of all values of the graph and of the graphs within it."""
    taken = {value.name for value in model.graph.inputs} | set(model.graph.initializers)
    for graph in model.graphs():
        taken.update(graph.initializers)
        taken.update(value.name for node in graph for value in node.outputs)
    return {name for name in taken if name}


def free_name(model: ir.Model, wanted: str, taken: set[str] | None = None) -> str:
    """Return `wanted`, or it with the first number that makes it a value name not yet in the graph.

    Args:
        model: The graph.
        wanted: The name it should be.
        taken: `names_in_use` and what was given out since, where many names are asked for; the answer is added.
    """
    used = names_in_use(model) if taken is None else taken
    name, number = wanted, 2
    while name in used:
        name, number = f"{wanted}_{number}", number + 1
    used.add(name)
    return name


def add_initializer(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    """Add a weight under a name that is free, and return its value."""
    return register_tensor(model, name, ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name))


def register_tensor(model: ir.Model, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    """Add a stored tensor as weight under a name that is free, and return its value."""
    value = ir.Value(
        name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    model.graph.register_initializer(value)
    return value


def set_initializer(value: ir.Value, array: np.ndarray) -> None:
    """Give a weight a new array, whose shape and type may differ."""
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=value.name)
    # A new type object: copies of a graph share the old one.
    value.const_value, value.shape, value.type = tensor, ir.Shape(array.shape), ir.TensorType(tensor.dtype)


def bypass(model: ir.Model, node: ir.Node, source: ir.Value) -> bool:
    """Let all readers of the node's first output read `source` and remove it; False where the output is the graph's."""
    output = node.outputs[0]
    if output.is_graph_output():
        return False
    output.replace_all_uses_with(source)
    model.graph.remove(node, safe=True)
    return True


def remove_unused(model: ir.Model) -> None:
    """Remove nodes of the main graph that nothing reads, then weights that nothing reads."""
    for node in reversed(list(model.graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            model.graph.remove(node, safe=True)
    read = _names_read_by_name(model)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output() and name not in read:
            del model.graph.initializers[name]


def _names_read_by_name(model: ir.Model) -> set[str]:
    """Return outputs of subgraphs that name a weight of the main graph directly, which `uses` does not count."""
    return {value.name or "" for graph in _bodies(model) for value in graph.outputs}


def _bodies(model: ir.Model) -> Iterable[ir.Graph]:
    return (graph for graph in model.graphs() if graph is not model.graph)
