"""Folds batch normalisation into the layer before it: the same function, one operator less to run.

Notation: y = scale * (x - mean) / sqrt(variance + epsilon) + shift, per channel, is y = x * factor + offset; a layer
x = W a + b before it becomes (factor * W) a + (factor * b + offset). Worked out in double precision.
"""

from __future__ import annotations

from workbench.graph.affine import batch_norm_affine, scale_result, take_place
from workbench.graph.model import ModelGraph
from workbench.graph.remembered import once_per_graph
from workbench.graph.shapes import sample_shapes
from workbench.graph.surgery import remove_unused

_FOLDED_INTO = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Add"})


@once_per_graph
def fold_batch_norm(graph: ModelGraph) -> ModelGraph:
    """Return the graph with every BatchNormalization folded that directly follows a layer and is its only reader.

    The value that BatchNormalization wrote keeps its name; the layer writes it now. Normalisations in training mode,
    behind quantized weights, or after a layer whose output others read too, stay.

    Raises:
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    if not any(node.op == "BatchNormalization" for node in graph.nodes):
        return graph
    model = graph.edit()
    shapes = None
    for node in list(model.graph):
        if node.op_type != "BatchNormalization" or node.domain != "":
            continue
        affine = batch_norm_affine(node)
        before = node.inputs[0].producer() if node.inputs[0] is not None else None
        if affine is None or before is None or before.domain != "" or before.op_type not in _FOLDED_INTO:
            continue
        value = node.inputs[0]
        if value is None or value.is_graph_output() or len(value.uses()) != 1:
            continue
        if before.op_type in ("MatMul", "Add"):
            shapes = shapes or sample_shapes(graph)
            dims = shapes.shapes.get(value.name or "")
            if dims is None or len(dims) != 2:
                continue
        writer = scale_result(model, before, *affine)
        if writer is not None:
            take_place(writer.outputs[0], node.outputs[0])
            model.graph.remove(node, safe=True)
    remove_unused(model)
    return graph.edited(model)
