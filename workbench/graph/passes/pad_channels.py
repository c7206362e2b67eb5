"""Gives convolutions of few channels more, all zero, where integer kernels work on whole groups of channels."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.model import ModelGraph, Node
from workbench.graph.shapes import infer_shapes
from workbench.graph.surgery import add_initializer, free_name, set_initializer


def pad_input_channels(graph: ModelGraph, names: Collection[str], multiple: int = 4) -> ModelGraph:
    """Return the graph in which the named convolutions read zeros as extra channels, up to a multiple of `multiple`.

    Exact: the new weights are zero too. A Pad goes before each convolution; weights keep their names and grow
    (out, in, …) → (out, padded, …).

    Raises:
        KeyError: a name is not a node of the graph.
        UnsupportedGraphError: a node is not an ungrouped Conv with a stored weight that nothing else reads, or the
            graph's opset is below 11.
    """
    if not names:
        return graph
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for name in names:
        node = nodes[name]
        data, weight = node.inputs[0], node.inputs[1]
        tensor = None if weight is None or not weight.is_initializer() else weight.const_value
        if (
            graph.opset < 11
            or node.op_type != "Conv"
            or data is None
            or weight is None
            or tensor is None
            or node.attributes.get_int("group", 1) != 1
            or len(tuple(weight.uses())) != 1
        ):
            raise UnsupportedGraphError("is not a convolution whose input can be padded", where=name)
        array = tensor.numpy()
        missing = -array.shape[1] % multiple
        if not missing:
            continue
        wide = _widened(array, 1, missing)
        set_initializer(weight, wide)
        pads = np.zeros((2, array.ndim), np.int64)
        pads[1, 1] = missing
        shape = None
        if data.shape is not None:
            shape = ir.Shape([*data.shape[:1], wide.shape[1], *data.shape[2:]])
        output = ir.Value(name=free_name(model, f"{data.name}_padded"), type=data.type, shape=shape)
        pad = ir.node(
            "Pad",
            [data, add_initializer(model, free_name(model, f"{name}_pads"), pads.reshape(-1))],
            outputs=[output],
        )
        pad.name = f"{name}_Pad"
        model.graph.insert_before(node, pad)
        node.replace_input_with(0, output)
    return graph.edited(model)


def paddable_outputs(graph: ModelGraph) -> dict[str, tuple[str, ...]]:
    """Return the convolutions whose output only convolutions read, directly or behind rectifiers.

    Returns:
        Names of the reading convolutions by the name of the one they read, in graph order.
    """
    found = {node.name: _readers(graph, node) for node in graph.nodes if _plain(graph, node)}
    return {name: tuple(reader.name for reader in readers) for name, readers in found.items() if readers}


def pad_output_channels(graph: ModelGraph, names: Collection[str], multiple: int = 16) -> ModelGraph:
    """Return the graph in which the named convolutions make zeros as extra channels, up to a multiple of `multiple`.

    Exact: the new filters and biases are zero, and so is what the reading convolutions weigh the new channels with.
    Weights and biases keep their names and grow.

    Raises:
        KeyError: a name is not a node of the graph.
        UnsupportedGraphError: a node is not one of `paddable_outputs`.
    """
    arrays: dict[str, np.ndarray] = {}
    possible = paddable_outputs(graph)

    def widen(name: str, axis: int, missing: int) -> None:
        array = arrays.get(name, graph.constant(name))
        assert array is not None
        arrays[name] = _widened(array, axis, missing)

    for name in names:
        node = graph.node(name)
        if name not in possible:
            raise UnsupportedGraphError("is not a convolution whose output can be padded", where=name)
        missing = -(graph.constant_shape(node.inputs[1]) or (0,))[0] % multiple
        if not missing:
            continue
        for weight in node.inputs[1:3]:
            if weight:
                widen(weight, 0, missing)
        for reader in _readers(graph, node):
            widen(reader.inputs[1], 1, missing)
    if not arrays:
        return graph
    model = graph.edit()
    for weight, array in arrays.items():
        set_initializer(model.graph.initializers[weight], array)
    for changed in model.graph:
        for value in changed.outputs:
            if not value.is_graph_output():
                value.shape = None
    return infer_shapes(graph.edited(model))


def _widened(array: np.ndarray, axis: int, missing: int) -> np.ndarray:
    margins = [(0, missing if index == axis else 0) for index in range(array.ndim)]
    return np.pad(array, margins)


def _plain(graph: ModelGraph, node: Node) -> bool:
    """Whether a node is an ungrouped convolution that has its stored weight and bias to itself."""
    return (
        node.op == "Conv"
        and node.attribute("group", 1) == 1
        and all(
            name in graph.initializers and len(graph.consumers(name)) == 1 and name not in _outputs(graph)
            for name in node.inputs[1:3]
            if name
        )
    )


def _readers(graph: ModelGraph, node: Node) -> tuple[Node, ...]:
    """Return the convolutions behind a node, or () where anything else sees its channels."""
    found: list[Node] = []
    ahead = [node.outputs[0]]
    while ahead:
        value = ahead.pop()
        if value in _outputs(graph):
            return ()
        for reader in graph.consumers(value):
            if reader.op == "Relu":
                ahead.append(reader.outputs[0])
            elif _plain(graph, reader):
                found.append(reader)
            else:
                return ()
    return tuple(found)


def _outputs(graph: ModelGraph) -> set[str]:
    return {info.name for info in graph.outputs}
