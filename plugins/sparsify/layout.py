"""Says which layers' weights can be made sparse; how these lie in memory is `WeightLayout`'s."""

from __future__ import annotations

from workbench.api import ModelGraph, Node
from workbench.api import WeightLayout as Layout

__all__ = ["OPERATORS", "Layout", "why_not_sparse"]

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FLOATS = ("float32", "float64", "float16")


def why_not_sparse(graph: ModelGraph, node: Node) -> str | None:
    """Return why a layer's weight can't be made sparse, or None if it can."""
    if node.op not in OPERATORS:
        return f"{node.op} layers are not made sparse"
    weight = node.inputs[1]
    shape = graph.constant_shape(weight)
    if shape is None:
        made_of = graph.producer(weight)
        if made_of is not None and made_of.op == "DequantizeLinear":
            return "its weight is quantized already; make it sparse before"
        return "its weight is not a stored constant on the right-hand side"
    if weight not in graph.initializers or graph.value(weight).dtype not in _FLOATS:
        return f"its weight is stored as {graph.value(weight).dtype}"
    if graph.is_constant(node.inputs[0]):
        return "it reads a constant"
    if node.op in ("Gemm", "MatMul") and len(shape) != 2:
        return f"its weight has {len(shape)} dimensions instead of 2"
    if node.op == "ConvTranspose" and (
        node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.attribute("output_shape")
    ):
        return "its padding follows from the size of its output"
    return None
