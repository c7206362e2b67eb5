"""Stores float weights as codes into a small table of levels: the file shrinks, the network computes as before.

A weight becomes codes of 2, 4 or 8 bits, cast and looked up by Gather. Both are constant arithmetic, which ONNX Runtime
works out while it loads: what it executes is the float network with fewer distinct weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.check import check
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.passes.insert_qdq import WEIGHT_BITS_KEY
from workbench.graph.passes.store_narrow import Narrow
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.surgery import add_initializer, free_name, names_in_use, register_tensor, remove_unused
from workbench.graph.weights import weight_values

_OPSETS = {4: 21, 2: 25}
_TYPES = {8: np.uint8, 4: ml_dtypes.uint4, 2: ml_dtypes.uint2}


@dataclass(frozen=True, eq=False)
class Codebook:
    """A weight by its levels.

    Attributes:
        codes: Integers of the weight's shape, positions in `table`.
        table: (levels,) float32, at most 2^bits of them.
        bits: 1-8.
    """

    codes: np.ndarray
    table: np.ndarray
    bits: int

    def values(self) -> np.ndarray:
        """Return the weight, float32."""
        return np.asarray(self.table[self.codes])


def store_codebooks(graph: ModelGraph, books: Mapping[str, Codebook], allowed: Collection[int] = (4, 2)) -> Narrow:
    """Return the graph with initializers stored as codes and tables; their names become those of the values looked up.

    Codes of fewer than 8 bits raise the opset to 21 (4 bits) or 25 (2 bits); where an operator can't be brought there,
    the next wider type is taken and a note says so. The layers' metadata say how many bits a weight has.

    Args:
        graph: With float32 initializers.
        books: By initializer name.
        allowed: Bits below 8 that the runtime can unpack, of 4 and 2.

    Raises:
        KeyError: a name is not an initializer.
        ModelFileError: the result is not valid ONNX (a fault of this pass).
    """
    notes: list[str] = []
    containers = (*sorted({int(bits) for bits in allowed}), 8)
    for fewest in containers:
        sizes = {
            name: next(bits for bits in containers if bits >= max(fewest, book.bits)) for name, book in books.items()
        }
        least = min(sizes.values(), default=8)
        try:
            raised = upgrade_opset(graph, _OPSETS[least]) if least in _OPSETS else graph
        except UnsupportedGraphError as error:
            notes.append(f"codes are not stored in {least} bits: {error.message}")
            continue
        return Narrow(_stored(raised, books, sizes), tuple(notes))
    raise AssertionError("codes of 8 bits need no newer opset")


def unpack_codebooks(graph: ModelGraph) -> ModelGraph:
    """Return the graph with every weight that is looked up in a table of floats stored plainly; itself without one."""
    found = {weight.through[-1].outputs[0]: weight for _, weight in layer_nodes(graph) if weight.looked_up}
    if not found:
        return graph
    model = graph.edit()
    values = {output.name: output for node in model.graph for output in node.outputs}
    for name, weight in found.items():
        looked_up = values[name]
        looked_up.name = f"{name}_looked_up"
        looked_up.replace_all_uses_with(add_initializer(model, name, weight_values(graph, weight)))
    readers = {reader.name for name in found for reader in graph.consumers(name)}
    for node in model.graph:
        if node.name in readers:
            node.metadata_props.pop(WEIGHT_BITS_KEY, None)
    remove_unused(model)
    plain = graph.edited(model)
    check(plain)
    return plain


def _stored(graph: ModelGraph, books: Mapping[str, Codebook], sizes: Mapping[str, int]) -> ModelGraph:
    model = graph.edit()
    taken = names_in_use(model)
    for name, book in books.items():
        value = model.graph.initializers[name]
        uses = tuple(value.uses())
        stored_name = free_name(model, f"{name}_codes", taken)
        stored = register_tensor(
            model, stored_name, ir.tensor(book.codes.astype(_TYPES[sizes[name]]), name=stored_name)
        )
        cast = ir.node("Cast", [stored], attributes={"to": int(ir.DataType.INT32)})
        cast.name = free_name(model, f"{name}_Cast", taken)
        positions = cast.outputs[0]
        positions.name, positions.shape = free_name(model, f"{name}_positions", taken), value.shape
        positions.type = ir.TensorType(ir.DataType.INT32)
        table = add_initializer(model, free_name(model, f"{name}_levels", taken), book.table.astype(np.float32))
        gather = ir.node("Gather", [table, positions], attributes={"axis": 0})
        gather.name = free_name(model, f"{name}_Gather", taken)
        del model.graph.initializers[name]
        value.name = f"{name}_float"
        weight = gather.outputs[0]
        weight.name, weight.shape, weight.type = name, value.shape, ir.TensorType(ir.DataType.FLOAT)
        for use in uses:
            use.node.replace_input_with(use.idx, weight)
            use.node.metadata_props[WEIGHT_BITS_KEY] = str(book.bits)
        model.graph.insert_before(next(iter(model.graph)), [cast, gather])
    found = graph.edited(model)
    check(found)
    return found
