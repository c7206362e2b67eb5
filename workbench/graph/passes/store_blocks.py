"""Lets matrix products read their weight in 2, 4 or 8 bits a number: com.microsoft's MatMulNBits in place of MatMul.

The operator unpacks block by block while it multiplies, so that a weight takes its few bits in memory too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.check import check
from workbench.graph.model import ModelGraph, Node
from workbench.graph.packed_codes import NBITS_DOMAIN, NBITS_OPERATOR, packed
from workbench.graph.passes.insert_qdq import WEIGHT_BITS_KEY
from workbench.graph.quantization import BlockQuantization
from workbench.graph.surgery import add_initializer, free_name, names_in_use, remove_unused

_INT8_LEVEL = 4


def why_not_blocks(graph: ModelGraph, node: Node) -> str | None:
    """Return why a layer's weight can't be stored as packed blocks, or None if it can."""
    if node.domain != "" or node.op not in ("MatMul", "Gemm"):
        return f"{node.op} layers have no operator that reads packed weights"
    shape = graph.constant_shape(node.inputs[1])
    if shape is None or node.inputs[1] not in graph.initializers:
        return "its weight is not a stored constant on the right-hand side"
    if len(shape) != 2:
        return f"its weight has {len(shape)} dimensions instead of 2"
    if graph.value(node.inputs[1]).dtype != "float32":
        return f"its weight is stored as {graph.value(node.inputs[1]).dtype}"
    if node.attribute("transA", 0):
        return "it reads its data transposed"
    return None


def store_blocks(
    graph: ModelGraph, weights: Mapping[str, BlockQuantization], *, integer_arithmetic: bool = False
) -> ModelGraph:
    """Return the graph in which the named layers multiply with packed weights; they keep their names and outputs.

    A Gemm's factors and bias are kept: alpha goes into the scales, the bias into the operator's own input or, where it
    is not one number an output, into an Add behind it.

    Args:
        graph: The float graph.
        weights: By name of a MatMul or Gemm for which `why_not_blocks` says None.
        integer_arithmetic: Let the runtime round each row of the data to 8 bits a block and multiply integers.

    Raises:
        UnsupportedGraphError: a layer can't take a packed weight.
        KeyError: there is no layer of a name.
    """
    for name in weights:
        reason = why_not_blocks(graph, graph.node(name))
        if reason is not None:
            raise UnsupportedGraphError(f"weight can't be stored as packed blocks: {reason}", where=name)
    model = graph.edit()
    model.graph.opset_imports.setdefault(NBITS_DOMAIN, 1)
    taken = names_in_use(model)
    stored: dict[int, list[ir.Value | None]] = {}
    for node in list(model.graph):
        weight = weights.get(node.name or "")
        if weight is not None:
            _replace(model, node, weight, stored, taken, level=_INT8_LEVEL if integer_arithmetic else 0)
    remove_unused(model)
    result = graph.edited(model)
    check(result)
    return result


def _replace(
    model: ir.Model,
    node: ir.Node,
    weight: BlockQuantization,
    stored: dict[int, list[ir.Value | None]],
    taken: set[str],
    *,
    level: int,
) -> None:
    outputs, width = weight.codes.shape
    name = node.inputs[1].name or "" if node.inputs[1] is not None else ""
    alpha = (node.attributes.get_float("alpha", 1.0) or 0.0) if node.op_type == "Gemm" else 1.0
    if id(weight) not in stored:
        stored[id(weight)] = _tensors(model, name, weight, alpha, taken)
    inputs: list[ir.Value | None] = [node.inputs[0], *stored[id(weight)]]
    bias, added = _bias(model, node, outputs, taken)
    if bias is not None:
        inputs.extend([None] * (5 - len(inputs)) + [bias])
    attributes = {
        "K": width,
        "N": outputs,
        "bits": weight.container,
        "block_size": weight.block,
        "accuracy_level": level,
    }
    output = node.outputs[0]
    product = ir.node(NBITS_OPERATOR, inputs, attributes=attributes, domain=NBITS_DOMAIN)
    product.name = node.name
    product.metadata_props.update(node.metadata_props)
    product.metadata_props[WEIGHT_BITS_KEY] = str(weight.bits)
    made = product.outputs[0]
    made.type, made.shape = output.type, output.shape
    nodes = [product]
    last = made
    if added is not None:
        made.name = free_name(model, f"{output.name}_product", taken)
        sum_ = ir.node("Add", [made, added])
        sum_.name = free_name(model, f"{node.name}_bias", taken)
        last = sum_.outputs[0]
        last.type, last.shape = output.type, output.shape
        nodes.append(sum_)
    model.graph.insert_after(node, nodes)
    name = output.name or ""
    output.replace_all_uses_with(last, replace_graph_outputs=True)
    model.graph.remove(node, safe=True)
    output.name = None
    last.name = name


def _tensors(
    model: ir.Model, name: str, weight: BlockQuantization, alpha: float, taken: set[str]
) -> list[ir.Value | None]:
    """Add codes, scales and, where they are not the operator's own, zero points."""
    outputs, width = weight.codes.shape
    blocks = weight.scales.shape[1]
    # Behind the last input lies nothing that counts: what the data is multiplied with there is zero.
    codes = np.pad(weight.codes, ((0, 0), (0, blocks * weight.block - width)))
    if blocks * weight.block > width:
        codes[:, width:] = weight.zero_points[:, -1:]
    arrays = {
        "packed": packed(codes.reshape(outputs, blocks, weight.block), weight.container),
        "scales": (weight.scales * np.float32(alpha)).astype(np.float32),
    }
    if not weight.symmetric:
        arrays["zero_points"] = packed(weight.zero_points, weight.container)
    return [add_initializer(model, free_name(model, f"{name}_{part}", taken), array) for part, array in arrays.items()]


def _bias(model: ir.Model, node: ir.Node, outputs: int, taken: set[str]) -> tuple[ir.Value | None, ir.Value | None]:
    """Return a Gemm's bias as the operator takes it, or as what is added behind it."""
    value = node.inputs[2] if node.op_type == "Gemm" and len(node.inputs) > 2 else None
    beta = node.attributes.get_float("beta", 1.0) or 0.0
    if value is None or not beta:
        return None, None
    if value.const_value is None or not value.is_initializer():
        if beta == 1.0:
            return None, value
        factor = add_initializer(model, free_name(model, f"{node.name}_beta", taken), np.array(beta, np.float32))
        scaled = ir.node("Mul", [value, factor])
        scaled.name = scaled.outputs[0].name = free_name(model, f"{value.name}_scaled", taken)
        model.graph.insert_before(node, scaled)
        return None, scaled.outputs[0]
    array = value.const_value.numpy().astype(np.float32) * np.float32(beta)
    if array.size not in (1, outputs) or array.shape[-1:] not in ((outputs,), (1,), ()):
        return None, add_initializer(model, free_name(model, f"{node.name}_bias", taken), array)
    if array.size == outputs and beta == 1.0 and array.shape == (outputs,):
        return value, None
    flat = np.ascontiguousarray(np.broadcast_to(array.reshape(-1), outputs))
    return add_initializer(model, free_name(model, f"{node.name}_bias", taken), flat), None
