"""A graph without its big weights, so that onnx's C++ tools, which take one message, can look at a 10 GB model."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftSubgraphInitializersToMainGraphPass

KEPT_BYTES = 4096


def skeleton(model: ir.Model, *, keep_bytes: int = KEPT_BYTES, lift: bool = True) -> onnx.ModelProto:
    """Return the model as a message in which constants above `keep_bytes` are graph inputs of the same name.

    Args:
        model: A copy (see ModelGraph.edit) that may be taken apart.
        keep_bytes: Small constants stay, since shapes may depend on their values.
        lift: Also take weights out of subgraphs; without it they stay there and are read.
    """
    if lift and any(body is not model.graph and body.initializers for body in model.graphs()):
        LiftSubgraphInitializersToMainGraphPass()(model)
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes > keep_bytes or isinstance(tensor, ir.ExternalTensor):
            if tensor is not None:
                value.shape, value.type = ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
                if isinstance(tensor, ir.ExternalTensor) and tensor.nbytes <= keep_bytes:
                    value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)
                    continue
            graph.initializers.pop(name)
            value.const_value = None
            graph.inputs.append(value)
    for node in list(graph):
        if node.op_type == "Constant" and node.domain == "" and "value" in node.attributes:
            tensor = node.attributes["value"].value
            if tensor.nbytes > keep_bytes and not node.outputs[0].is_graph_output():
                old = node.outputs[0]
                name = old.name or ""
                new = ir.Value(name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype))
                old.replace_all_uses_with(new)
                graph.remove(node, safe=True)
                graph.inputs.append(new)
    return ir.to_proto(model)
