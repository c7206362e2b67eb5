"""Turns a half-precision model into float32, which the CPU's kernels compute in and integer steps start from.

Every half-precision number is a float32 number too, so that weights keep their values; the model's inputs and outputs
keep their types.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import free_name, set_initializer

_HALVES = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def widen_half(graph: ModelGraph) -> ModelGraph:
    """Return the graph with all weights and inner values in float32; the graph itself if none is in half precision."""
    model = graph.edit()
    values = [value for part in model.graphs() for node in part for value in node.outputs]
    values += [value for part in model.graphs() for value in part.initializers.values()]
    if not any(value.dtype in _HALVES for value in values):
        return graph
    borders = {value: value.dtype for value in (*model.graph.inputs, *model.graph.outputs) if value.dtype in _HALVES}
    for part in model.graphs():
        for value in part.initializers.values():
            if value.dtype in _HALVES and value.const_value is not None:
                set_initializer(value, value.const_value.numpy().astype(np.float32))
        for node in part:
            _widen(node)
            for output in node.outputs:
                if output.dtype in _HALVES:
                    output.type = ir.TensorType(ir.DataType.FLOAT)
    for index, value in enumerate(tuple(model.graph.outputs)):
        if value in borders and value.producer() is not None:
            model.graph.outputs[index] = _narrowed(model, value, borders[value])
    for value in tuple(model.graph.inputs):
        if value in borders and value.name not in model.graph.initializers:
            _read_wide(model, value)
    result = graph.edited(model)
    check(result)
    return result


def _widen(node: ir.Node) -> None:
    for name, attribute in tuple(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in _HALVES:
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(attribute.value.numpy().astype(np.float32)))
        elif attribute.type == ir.AttributeType.INT and name in ("to", "dtype") and attribute.value in _HALVES:
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _narrowed(model: ir.Model, value: ir.Value, dtype: ir.DataType | None) -> ir.Value:
    """Return a graph output of its old type and name, cast from what is computed now."""
    assert dtype is not None
    name = value.name
    value.name = free_name(model, f"{name}_wide")
    output = ir.Value(name=name, type=ir.TensorType(dtype), shape=value.shape)
    node = ir.node("Cast", [value], {"to": int(dtype)}, outputs=[output], name=free_name(model, f"{name}_cast"))
    model.graph.append(node)
    return output


def _read_wide(model: ir.Model, value: ir.Value) -> None:
    """Let the readers of a graph input read it in float32."""
    uses = tuple(value.uses())
    name = free_name(model, f"{value.name}_wide")
    output = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    node = ir.node("Cast", [value], {"to": int(ir.DataType.FLOAT)}, outputs=[output], name=name)
    model.graph.insert_before(next(iter(model.graph)), node)
    for use in uses:
        use.node.replace_input_with(use.idx, output)
