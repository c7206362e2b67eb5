"""Cleans what exporters leave behind, so that a layer's weights are seen as such and shapes are plain numbers.

Chains of Shape, Gather, Concat, Cast … whose result is known become weights; nodes that change nothing go. An unknown
batch size stays unknown: a Reshape to (batch, 64) becomes a Reshape to (-1, 64).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.remembered import once_per_graph
from workbench.graph.shapes import static_values
from workbench.graph.statics import Statics
from workbench.graph.surgery import add_initializer, bypass, free_name, names_in_use, remove_unused

_DUPLICATE_BYTES = 1 << 16
_WIDENED_ELEMENTS = 1024


@once_per_graph
def fold_constants(graph: ModelGraph) -> ModelGraph:
    """Return the graph with all that is known before it runs worked out; inputs, outputs and layer names stay.

    Raises:
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    statics = static_values(graph)
    model = graph.edit()
    taken = names_in_use(model)
    for node in list(model.graph):
        if node.domain == "":
            _simplify(model, node, statics, taken)
    remove_unused(model)
    return graph.edited(model)


def _simplify(model: ir.Model, node: ir.Node, statics: Statics, taken: set[str]) -> None:
    if node.op_type == "Constant":
        _lift(model, node)
    elif _foldable(node, statics):
        for value in node.outputs:
            known = statics.known(value.name or "")
            if known is not None and value.uses():
                array = known.astype(statics.dtypes[value.name or ""].numpy(), copy=False)
                _replace(model, value, ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=value.name))
        model.graph.remove(node, safe=True)
    elif not _remove_idle(model, node, statics):
        if node.op_type == "CastLike":
            _cast_plainly(node, statics)
        if node.op_type in ("Reshape", "Expand"):
            _fix_target(model, node, statics, taken)


def _lift(model: ir.Model, node: ir.Node) -> None:
    output = node.outputs[0]
    if output.is_graph_output():
        return
    if "value" in node.attributes:
        tensor = node.attributes["value"].value
    elif "value_float" in node.attributes or "value_floats" in node.attributes:
        source = node.attributes.get("value_float") or node.attributes["value_floats"]
        tensor = ir.tensor(np.asarray(source.value, dtype=np.float32))
    elif "value_int" in node.attributes or "value_ints" in node.attributes:
        source = node.attributes.get("value_int") or node.attributes["value_ints"]
        tensor = ir.tensor(np.asarray(source.value, dtype=np.int64))
    else:
        return
    # An own tensor object: registering it as a weight names it, and the original graph keeps the old one.
    _replace(model, output, ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=output.name))
    model.graph.remove(node, safe=True)


def _replace(model: ir.Model, value: ir.Value, tensor: ir.TensorProtocol) -> None:
    """Let a weight of the same name take the place of a computed value."""
    name = value.name or ""
    new = ir.Value(
        name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    value.replace_all_uses_with(new)
    value.name = None
    model.graph.register_initializer(new)


def _foldable(node: ir.Node, statics: Statics) -> bool:
    outputs = [value for value in node.outputs if value.name and (value.uses() or value.is_graph_output())]
    arrays = [statics.known(value.name or "") for value in outputs]
    if not outputs or any(array is None for array in arrays) or any(value.is_graph_output() for value in outputs):
        return False
    if any(value.name not in statics.dtypes for value in outputs):
        return False
    size = sum(array.nbytes for array in arrays if array is not None)
    if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].const_value is not None:
        # Half-precision weights that are cast at run time are stored small on purpose.
        tensor = node.inputs[0].const_value
        if tensor.size > _WIDENED_ELEMENTS and tensor.nbytes < size:
            return False
    shared = any(value is not None and value.const_value is not None and len(value.uses()) > 1 for value in node.inputs)
    return size <= _DUPLICATE_BYTES or not shared


def _remove_idle(model: ir.Model, node: ir.Node, statics: Statics) -> bool:
    source = node.inputs[0] if node.inputs else None
    if source is None or not _is_idle(node, statics):
        return False
    return bypass(model, node, source)


def _is_idle(node: ir.Node, statics: Statics) -> bool:
    names = [value.name or "" if value is not None else "" for value in node.inputs]
    op = node.op_type
    if op == "Identity":
        return True
    if op == "Dropout":
        training = node.inputs[2] if len(names) > 2 else None
        known = training is None or (training.const_value is not None and not training.const_value.numpy().any())
        return known and not any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
    output = node.outputs[0].name or ""
    if op in ("Cast", "CastLike"):
        before, after = statics.dtypes.get(names[0]), statics.dtypes.get(output)
        return before is not None and before == after
    if op == "Concat":
        return len(names) == 1
    if op == "Pad":
        pads = _ints(node, "pads", 1)
        return pads is not None and not any(pads)
    if op == "Transpose":
        perm = node.attributes.get_ints("perm", None)
        return perm is not None and list(perm) == sorted(perm)
    if op in ("Reshape", "Expand"):
        before_dims, after_dims = statics.shapes.get(names[0]), statics.shapes.get(output)
        return before_dims is not None and None not in before_dims and before_dims == after_dims
    return False


def _ints(node: ir.Node, attribute: str, index: int) -> list[int] | None:
    """Return integers that old opsets keep in an attribute and newer ones in a constant input."""
    if attribute in node.attributes:
        return list(node.attributes.get_ints(attribute) or ())
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.const_value is None:
        return None
    return [int(item) for item in value.const_value.numpy().reshape(-1)]


def _cast_plainly(node: ir.Node, statics: Statics) -> None:
    """Turn a CastLike whose type is known into a Cast, so that it no longer depends on a second value."""
    dtype = statics.dtypes.get(node.outputs[0].name or "")
    if dtype is not None:
        node.op_type = "Cast"
        node.resize_inputs(1)
        node.attributes["to"] = ir.AttrInt64("to", int(dtype))


def _fix_target(model: ir.Model, node: ir.Node, statics: Statics, taken: set[str]) -> None:
    """Give a Reshape or Expand a constant target where all but the batch size is known."""
    target = node.inputs[1] if len(node.inputs) > 1 else None
    if target is None or target.const_value is not None or node.inputs[0] is None:
        return
    contents = statics.contents.get(target.name or "")
    if contents is None or contents.dtype != object or contents.ndim != 1:
        return
    wanted = list(contents)
    resolved = statics.shapes.get(node.outputs[0].name or "", ())
    if node.op_type == "Reshape" and len(resolved) == len(wanted):
        wanted = [
            size if old == -1 and isinstance(size, int) else old for old, size in zip(wanted, resolved, strict=True)
        ]
    dims = statics.shapes.get(node.inputs[0].name or "")
    open_axes = [axis for axis, size in enumerate(wanted) if not isinstance(size, int)]
    if node.op_type == "Reshape":
        if len(open_axes) != 1 or any(isinstance(size, int) and size < 1 for size in wanted):
            return
        wanted[open_axes[0]] = -1
    else:
        if dims is None:
            return
        for axis in open_axes:
            own = axis - (len(wanted) - len(dims))
            if own < 0 or wanted[axis] is None or dims[own] != wanted[axis]:
                return
            wanted[axis] = 1
    name = free_name(model, f"{node.name}_shape", taken)
    node.replace_input_with(1, add_initializer(model, name, np.asarray(wanted, dtype=np.int64)))
