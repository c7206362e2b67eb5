"""Stores weights in half precision: half the bytes on disk, converted back when the model is loaded.

The runtime's CPU kernels compute in float32, so this saves storage, not time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import ml_dtypes
import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.insert_qdq import WEIGHT_BITS_KEY
from workbench.graph.passes.upgrade_opset import upgrade_opset

_BFLOAT_OPSET = 13


HalfType = Literal["float16", "bfloat16"]
_TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def store_half(graph: ModelGraph, names: Collection[str], kind: HalfType = "float16") -> ModelGraph:
    """Return the graph with the named float32 initializers stored in 16 bits; their names become the casts' outputs.

    Args:
        graph: The float graph.
        names: Of the initializers.
        kind: float16 keeps 11 significant bits up to ±65504, bfloat16 8 of them over float32's whole range.

    Raises:
        KeyError: a name is not an initializer.
        UnsupportedGraphError: a weight exceeds float16's range of ±65504; an operator that can't be brought to opset
            13, which casts from bfloat16.
    """
    if kind == "bfloat16" and names:
        graph = upgrade_opset(graph, _BFLOAT_OPSET)
    model = graph.edit()
    taken = set(graph.initializers) | {output for node in graph.nodes for output in node.outputs}
    for name in names:
        value = model.graph.initializers[name]
        array = value.const_value.numpy()  # type: ignore[union-attr]
        with np.errstate(over="ignore"):
            half = array.astype(_TYPES[kind])
        if not np.isfinite(half.astype(np.float32)).all():
            raise UnsupportedGraphError(
                f"weight {name!r} can't be stored in half precision",
                where=graph.source,
                expected="finite values up to ±65504",
                found=f"{np.abs(array).max():g}",
                action="Leave this layer's weight_bits at 32, or store it as bfloat16.",
            )
        stored_name = f"{name}_half"
        while stored_name in taken:
            stored_name += "_"
        taken.add(stored_name)
        tensor = ir.tensor(half, name=stored_name)
        stored = ir.Value(
            name=stored_name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
        )
        model.graph.register_initializer(stored)
        output = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(array.shape))
        cast = ir.node("Cast", [stored], attributes={"to": int(ir.DataType.FLOAT)}, outputs=[output])
        cast.name = f"{name}_Cast"
        uses = tuple(value.uses())
        model.graph.initializers.pop(name)
        value.name = f"{name}_float"
        model.graph.insert_before(next(iter(model.graph)), cast)
        for use in uses:
            use.node.replace_input_with(use.idx, output)
            use.node.metadata_props[WEIGHT_BITS_KEY] = "16"
    half_graph = graph.edited(model)
    check(half_graph)
    return half_graph
