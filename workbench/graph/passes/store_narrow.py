"""Stores quantized weights in as few bits as they need; the runtime unpacks them once, when it loads the file.

An int8 weight whose integers fit into int4 or int2 is stored so and cast back to int8 by a node of its own; one that
has few distinct integers of any size (non-uniform levels) becomes codes and a table. Both are constant arithmetic,
which ONNX Runtime works out while it loads: the graph that it executes, its integer kernels and its results are those
of the int8 file. An int4 weight that DequantizeLinear reads directly is not fused by onnxruntime 1.31 and takes 5 times
as long (ResNet-20, 1 thread), an int2 one is refused where it would have been fused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.surgery import add_initializer, free_name, names_in_use, register_tensor

NarrowBits = Literal[2, 4]
_OPSETS: dict[int, int] = {4: 21, 2: 25}
_SIGNED = {4: ml_dtypes.int4, 2: ml_dtypes.int2}
_UNSIGNED = {4: ml_dtypes.uint4, 2: ml_dtypes.uint2}
# What a Cast, a Gather and their names take in the file, so that small weights do not grow.
_NODE_BYTES = 160


@dataclass(frozen=True, eq=False)
class Narrow:
    """The graph with narrow weights, and what stayed wide, in words."""

    graph: ModelGraph
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Form:
    """How a weight is stored: codes of `bits` bits, and the table they point into (None: they are the integers)."""

    bits: int
    codes: np.ndarray
    table: np.ndarray | None = None


def store_narrow(graph: ModelGraph, allowed: Collection[int] = (4, 2)) -> Narrow:
    """Return the graph with every int8 weight of a DequantizeLinear in the fewest bits that hold it without loss.

    The weight's name becomes that of the unpacked int8 value. The opset is raised to 21 for 4 bits, to 25 for 2 bits;
    where an operator can't be brought there, the next wider type is taken and a note says so.

    Args:
        graph: As `insert_qdq` returns it; weights of other kinds stay as they are.
        allowed: Bits that the runtime can unpack, of 4 and 2.

    Raises:
        ModelFileError: the result is not valid ONNX (a fault of this pass).
    """
    notes: list[str] = []
    for fewest in sorted({int(bits) for bits in allowed}):
        usable = tuple(bits for bits in allowed if bits >= fewest)
        found = {name: form for name in _weights(graph) if (form := _narrowest(graph, name, usable)) is not None}
        needed = min((form.bits for form in found.values()), default=None)
        if needed is None:
            break
        try:
            raised = upgrade_opset(graph, _OPSETS[needed])
        except UnsupportedGraphError as error:
            notes.append(f"weights are not stored in {needed} bits: {error.message}")
            continue
        return Narrow(_stored(raised, found), tuple(notes))
    if not notes:
        notes.append("no weight takes fewer bytes in fewer bits: all stay in 8 bits")
    return Narrow(graph, tuple(notes))


def narrow_trial(bits: int) -> ModelGraph:
    """Return a graph that adds a weight stored in 2 or 4 bits to its input (3,), to try a runtime."""
    integers = np.array([0, 1, -1], np.int8)
    value = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([3]))
    graph = ir.Graph([value], [], nodes=[], opset_imports={"": _OPSETS[bits]}, name="trial")
    model = ir.Model(graph, ir_version=10 if bits == 4 else 13)
    stored = register_tensor(model, "stored", ir.tensor(integers.astype(_SIGNED[bits]), name="stored"))
    cast = ir.node("Cast", [stored], attributes={"to": int(ir.DataType.INT8)}, name="cast")
    scale = add_initializer(model, "scale", np.array(1, np.float32))
    dequantize = ir.node("DequantizeLinear", [cast.outputs[0], scale], name="dequantize")
    added = ir.node("Add", [value, dequantize.outputs[0]], name="add")
    added.outputs[0].name, added.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
    added.outputs[0].shape = ir.Shape([3])
    graph.extend([cast, dequantize, added])
    graph.outputs.append(added.outputs[0])
    return ModelGraph(model)


def _weights(graph: ModelGraph) -> list[str]:
    outputs = {info.name for info in graph.outputs}
    found = []
    for name in graph.initializers:
        readers = graph.consumers(name)
        if graph.value(name).dtype != "int8" or not readers or name in outputs:
            continue
        if all(node.op == "DequantizeLinear" and node.inputs[0] == name for node in readers):
            found.append(name)
    return found


def _narrowest(graph: ModelGraph, name: str, allowed: Collection[int]) -> _Form | None:
    """Return the smallest form of a weight, or None where int8 is the smallest."""
    integers = np.asarray(graph.constant(name))
    forms = []
    levels = np.unique(integers)
    for bits in allowed:
        if integers.size and levels[0] >= -(2 ** (bits - 1)) and levels[-1] < 2 ** (bits - 1):
            forms.append((-(-integers.size * bits // 8) + _NODE_BYTES, _Form(bits, integers.astype(_SIGNED[bits]))))
        elif integers.size and len(levels) <= 2**bits:
            codes = np.searchsorted(levels, integers).astype(np.uint8).astype(_UNSIGNED[bits])
            forms.append((-(-integers.size * bits // 8) + len(levels) + 2 * _NODE_BYTES, _Form(bits, codes, levels)))
    if not forms:
        return None
    size, form = min(forms, key=lambda entry: entry[0])
    return form if size < integers.nbytes else None


def _stored(graph: ModelGraph, forms: dict[str, _Form]) -> ModelGraph:
    model = graph.edit()
    taken = names_in_use(model)
    for name, form in forms.items():
        value = model.graph.initializers[name]
        uses = tuple(value.uses())
        first = next(iter(model.graph))
        kind = ir.DataType.INT8 if form.table is None else ir.DataType.INT32
        stored_name = free_name(model, f"{name}_{form.bits}bit", taken)
        stored = register_tensor(model, stored_name, ir.tensor(form.codes, name=stored_name))
        cast = ir.node("Cast", [stored], attributes={"to": int(kind)})
        cast.name = free_name(model, f"{name}_Cast", taken)
        nodes, unpacked = [cast], cast.outputs[0]
        if form.table is not None:
            unpacked.name = free_name(model, f"{name}_codes", taken)
            unpacked.type, unpacked.shape = ir.TensorType(kind), value.shape
            table = add_initializer(model, free_name(model, f"{name}_levels", taken), form.table)
            gather = ir.node("Gather", [table, unpacked], attributes={"axis": 0})
            gather.name = free_name(model, f"{name}_Gather", taken)
            nodes.append(gather)
            unpacked = gather.outputs[0]
        del model.graph.initializers[name]
        value.name = f"{name}_wide"
        unpacked.name, unpacked.shape = name, value.shape
        unpacked.type = ir.TensorType(ir.DataType.INT8)
        for use in uses:
            use.node.replace_input_with(use.idx, unpacked)
        model.graph.insert_before(first, nodes)
    narrow = graph.edited(model)
    check(narrow)
    return narrow
