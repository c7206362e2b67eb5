"""Finds a layer's stored weight, also where quantization or half precision put nodes between it and the layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph, Node
from workbench.graph.packed_codes import NBITS_OPERATOR, is_nbits, nbits_shape, nbits_weight

# Inputs that may hold the weight, by operator; the first constant one is it.
WEIGHT_INPUTS: dict[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "DeformConv": (1,),
    "FusedConv": (1,),
    "Gemm": (1, 0),
    "FusedGemm": (1, 0),
    "MatMul": (1, 0),
    "FusedMatMul": (1, 0),
    "Gather": (0,),
    "LSTM": (1,),
    "GRU": (1,),
    "RNN": (1,),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
    NBITS_OPERATOR: (1,),
}

# Input of the weight that multiplies what the step before gave, by operator.
RECURRENT_WEIGHTS: dict[str, int] = {"LSTM": 2, "GRU": 2, "RNN": 2}

_TRANSPARENT = frozenset(
    {"DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}
)
# Types that hold plain real numbers; integers are indices and shapes unless something dequantizes them.
_TABLES = frozenset({"int8", "float32"})
_FLOATS = frozenset({"float32", "float64", "float16", "bfloat16"})


@dataclass(frozen=True)
class Weight:
    """The stored weight of a layer.

    Attributes:
        name: Initializer or Constant output that holds it.
        shape: As stored.
        dtype: As stored ("float32", "int8", "int4" …).
        bits: Of one stored element.
        nbytes: Stored size.
        through: Nodes between it and the layer, from the weight on (DequantizeLinear, Cast, Transpose …).
        reader: The layer itself where it reads packed codes; `shape` is then (in, out), `dtype` that of one code.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bits: float
    nbytes: int
    through: tuple[Node, ...] = ()
    reader: Node | None = None

    @property
    def quantized(self) -> bool:
        """Whether a DequantizeLinear stands between it and the layer, or the layer unpacks codes itself."""
        return self.reader is not None or any(node.op == "DequantizeLinear" for node in self.through)

    @property
    def looked_up(self) -> bool:
        """Whether its real numbers are taken from a table, by stored codes, and computed with as they are."""
        return not self.quantized and any(node.op == "Gather" for node in self.through)

    @property
    def real(self) -> bool:
        """Whether it stands for real numbers, however it is stored."""
        return is_float(self.dtype) or self.quantized or self.looked_up


def weight_of(graph: ModelGraph, node: Node) -> Weight | None:
    """Return the stored weight of a node, seen through Q/DQ, casts and reshapes; None if it has no constant one."""
    if is_nbits(node):
        return _packed_weight(graph, node)
    for index in WEIGHT_INPUTS.get(node.op, ()):
        if index < len(node.inputs) and node.inputs[index]:
            weight = stored(graph, node.inputs[index])
            if weight is not None:
                return weight
    return None


def weights_of(graph: ModelGraph, node: Node) -> tuple[Weight, ...]:
    """Return all stored weights of a node, the one of `weight_of` first: recurrent operators have two."""
    first = weight_of(graph, node)
    if first is None:
        return ()
    position = RECURRENT_WEIGHTS.get(node.op)
    second = None if position is None or len(node.inputs) <= position else stored(graph, node.inputs[position])
    return (first,) if second is None else (first, second)


def _packed_weight(graph: ModelGraph, node: Node) -> Weight | None:
    if not graph.is_constant(node.inputs[1]) or not graph.is_constant(node.inputs[2]):
        return None
    bits = int(node.attribute("bits", 4))
    name = node.inputs[1]
    return Weight(name, nbits_shape(node), f"uint{bits}", float(bits), graph.constant_bytes(name), reader=node)


def stored(graph: ModelGraph, value: str) -> Weight | None:
    """Return the constant that `value` is, or is made of without arithmetic; None if it depends on the input."""
    through: list[Node] = []
    while not graph.is_constant(value):
        producer = graph.producer(value)
        if producer is None or producer.domain != "" or not producer.inputs:
            return None
        if producer.op not in _TRANSPARENT and not _looks_up_levels(graph, producer):
            return None
        through.append(producer)
        value = producer.inputs[1 if producer.op == "Gather" else 0]
    info = graph.value(value)
    dtype = info.dtype or str(graph.constant(value).dtype)  # type: ignore[union-attr]
    return Weight(
        name=value,
        shape=graph.constant_shape(value) or (),
        dtype=dtype,
        bits=_bits(dtype),
        nbytes=graph.constant_bytes(value),
        through=tuple(reversed(through)),
    )


def weight_values(graph: ModelGraph, weight: Weight) -> np.ndarray:
    """Return the weight as the layer sees it, dequantized, as float array (layer's own axis order)."""
    if weight.reader is not None:
        return nbits_weight(graph, weight.reader)
    array = np.asarray(graph.constant(weight.name))
    if (
        not any(node.op in ("DequantizeLinear", "QuantizeLinear") for node in weight.through)
        and array.dtype.kind != "f"
    ):
        array = array.astype(np.float32)
    for node in weight.through:
        array = _apply(graph, node, array)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _looks_up_levels(graph: ModelGraph, node: Node) -> bool:
    """Whether a node takes the levels of a weight, integers or real numbers, from a table by stored codes."""
    table = graph.constant_shape(node.inputs[0])
    if node.op != "Gather" or table is None or len(table) != 1 or graph.value(node.inputs[0]).dtype not in _TABLES:
        return False
    codes = graph.producer(node.inputs[1])
    return codes is not None and codes.op == "Cast" and graph.is_constant(codes.inputs[0])


def _apply(graph: ModelGraph, node: Node, array: np.ndarray) -> np.ndarray:
    if node.op == "Gather":
        return np.asarray(graph.constant(node.inputs[0]))[array.astype(np.int64)]
    if node.op == "Transpose":
        return array.transpose(node.attribute("perm", tuple(reversed(range(array.ndim)))))
    if node.op in ("DequantizeLinear", "QuantizeLinear"):
        return _rescale(graph, node, array)
    if node.op in ("Reshape", "Squeeze", "Unsqueeze"):
        shape = graph.value(node.outputs[0]).shape
        if shape is not None and all(isinstance(size, int) for size in shape):
            return array.reshape([int(size) for size in shape if isinstance(size, int)])
    return array


def _rescale(graph: ModelGraph, node: Node, array: np.ndarray) -> np.ndarray:
    scale = graph.constant(node.inputs[1])
    zero = graph.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if scale is None:
        return array
    axis = int(node.attribute("axis", 1))
    block = int(node.attribute("block_size", 0))
    scales = _aligned(scale, array, axis, block)
    zeros = 0 if zero is None else _aligned(zero, array, axis, block)
    if node.op == "DequantizeLinear":
        return np.asarray((array.astype(np.float32) - zeros) * scales)
    limits = np.iinfo(np.uint8) if zero is None or zero.dtype == np.uint8 else np.iinfo(np.int8)
    return np.asarray(np.clip(np.rint(array / scales) + zeros, limits.min, limits.max))


def _aligned(parameter: np.ndarray, array: np.ndarray, axis: int, block: int) -> np.ndarray:
    """Return scale or zero point in a shape that broadcasts to the weight: per tensor, per channel or per block."""
    values = parameter.astype(np.float32)
    if values.size == 1:
        return values.reshape(())
    if block:
        return np.repeat(values, block, axis=axis).take(np.arange(array.shape[axis]), axis=axis)
    shape = [1] * array.ndim
    shape[axis] = -1
    return values.reshape(shape)


def is_float(dtype: str) -> bool:
    """Whether a stored type holds plain (unquantized) real numbers."""
    return dtype in _FLOATS


def _bits(dtype: str) -> float:
    names = {"float32": "FLOAT", "float64": "DOUBLE"}
    kind = ir.DataType.__members__.get(names.get(dtype, dtype.upper()))
    return 32.0 if kind is None or kind == ir.DataType.STRING else float(kind.bitwidth)
