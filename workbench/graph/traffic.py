"""How much each layer computes and how many bytes it moves, in the precision that it is executed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from workbench.graph.cost import node_macs
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.packed_codes import is_nbits
from workbench.graph.shapes import open_dimensions, static_values
from workbench.graph.statics import Statics
from workbench.graph.weights import Weight, stored

# Bytes of an element that integer kernels read as weight and as data, and write.
_INTEGER_BYTES: dict[str, tuple[int, int, int]] = {
    "QLinearConv": (1, 1, 1),
    "QLinearMatMul": (1, 1, 1),
    "QGemm": (1, 1, 1),
    "ConvInteger": (1, 1, 4),
    "MatMulInteger": (1, 1, 4),
    "MatMulIntegerToFloat": (1, 1, 4),
    "DynamicQuantizeMatMul": (1, 4, 4),
}
INTEGER_KERNELS = frozenset(_INTEGER_BYTES)
_WIDE = 4


@dataclass(frozen=True)
class LayerTraffic:
    """One layer in one inference.

    Attributes:
        layer, op: Its name and operator.
        macs: Multiply-accumulates.
        weights, read, written: Elements of its weight, of what it reads and of what it makes.
        constant_bytes: Of its other constants: bias, scales.
        weight_bytes: As stored, where it is not unpacked to be computed with.
        value_bytes: Of an element that it reads or makes in float.
        integer: Whether it stands between quantizers, so that a runtime computes it in integers.
        unknown: Whether sizes are missing that a count needs.
        reason: Why there are no figures.
    """

    layer: str
    op: str
    macs: int = 0
    weights: int = 0
    read: int = 0
    written: int = 0
    constant_bytes: int = 0
    weight_bytes: int = 0
    value_bytes: int = _WIDE
    integer: bool = False
    unknown: bool = False
    reason: str = ""

    def bytes(self, kernel: str | None = None, *, widened: bool = False) -> int:
        """Return the bytes that are moved, everything once.

        Args:
            kernel: What the runtime executes; by default what the layer's quantizers make likely.
            widened: Whether it computes in float what is stored in half precision.
        """
        integer = _INTEGER_BYTES.get(kernel or ("QLinearConv" if self.integer else ""))
        if integer is None and widened:
            return (self.weights + self.read + self.written) * _WIDE + self.constant_bytes
        if integer is None:
            return self.weight_bytes + self.constant_bytes + (self.read + self.written) * self.value_bytes
        weight, read, written = integer
        return self.weights * weight + self.constant_bytes + self.read * read + self.written * written


def layer_traffic(
    graph: ModelGraph, batch: int, dimensions: Mapping[str, int] | None = None
) -> tuple[LayerTraffic, ...]:
    """Return every layer, in graph order.

    Args:
        graph: The model.
        batch: Size of open batch dimensions.
        dimensions: Sizes of other open dimensions.

    Raises:
        BadInputError: a key that is no dimension of the model.
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    sizes = dict(dimensions or {})
    sizes.update({entry.key: batch for entry in open_dimensions(graph, dimensions) if entry.batch})
    known = static_values(graph, sizes)
    return tuple(_traffic(graph, node, weight, known) for node, weight in layer_nodes(graph))


def _traffic(graph: ModelGraph, node: Node, weight: Weight, known: Statics) -> LayerTraffic:
    macs = node_macs(node, known, graph.opset)
    inputs = [name for name in node.inputs if name and stored(graph, name) is None]
    read = [_elements(known, name) for name in inputs]
    written = [_elements(known, name) for name in node.outputs if name]
    if macs is None or None in read or None in written:
        return LayerTraffic(node.name, node.op, unknown=True, reason="the size of what it reads is not known")
    if not macs:
        return LayerTraffic(node.name, node.op, reason=f"{node.op} multiplies nothing")
    dtype = known.dtypes.get(inputs[0] if inputs else node.outputs[0], ir.DataType.FLOAT)
    value_bytes = max(int(dtype.itemsize), 1)
    weights = int(prod(weight.shape))
    unpacked = (weight.quantized or weight.looked_up) and not is_nbits(node)
    producer = graph.producer(inputs[0]) if inputs else None
    return LayerTraffic(
        layer=node.name,
        op=node.op,
        macs=macs,
        weights=weights,
        read=sum(count for count in read if count),
        written=sum(count for count in written if count),
        constant_bytes=_other_constants(graph, node, weight),
        weight_bytes=weights * value_bytes if unpacked else weight.nbytes,
        value_bytes=value_bytes,
        integer=node.op in INTEGER_KERNELS
        or (weight.quantized and producer is not None and producer.op == "DequantizeLinear"),
    )


def _other_constants(graph: ModelGraph, node: Node, weight: Weight) -> int:
    """Return the bytes of the layer's constants besides its weight, as they are computed with."""
    total = 0
    for name in node.inputs:
        constant = stored(graph, name) if name else None
        if constant is not None and constant.name != weight.name:
            total += int(prod(constant.shape)) * max(_WIDE if constant.quantized else int(-(-constant.bits // 8)), 1)
    return total


def _elements(known: Statics, name: str) -> int | None:
    dims = known.shapes.get(name)
    if dims is None:
        return None
    sizes = [size for size in dims if isinstance(size, int)]
    return int(prod(sizes)) if len(sizes) == len(dims) else None
