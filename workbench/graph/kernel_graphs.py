"""Makes models of one layer, in float and in integers, so that a device can be asked how fast its kernels are.

The values mean nothing; sizes, number formats and attributes are those of the layer. Integers come in and go out as
they do between two quantized layers, so that the runtime fuses the quantizers into the layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import onnx_ir as ir

from workbench.domain.preflight import PACKED_BITS, KernelForm
from workbench.graph.model import ModelGraph, Node
from workbench.graph.passes.store_blocks import store_blocks, why_not_blocks
from workbench.graph.quantization import BlockQuantization
from workbench.graph.shapes import open_dimensions, static_values
from workbench.graph.surgery import add_initializer
from workbench.graph.weights import Weight, weight_values

# Those whose weights and data the runtime can take as integers.
INTEGER_OPERATORS = frozenset({"Conv", "Gemm", "MatMul"})
_OPSET = 17
_ATTRIBUTES = ("auto_pad", "dilations", "group", "pads", "strides", "transA", "transB")
_INTEGERS = {"uint8": np.uint8, "int8": np.int8}
_FORMS: tuple[KernelForm, ...] = get_args(KernelForm)
# As quantize.weight_only stores them unless asked otherwise.
_BLOCK = 32


@dataclass(frozen=True)
class KernelShape:
    """What a kernel's speed depends on.

    Attributes:
        op: Conv, Gemm or MatMul.
        data: Shape of what it reads, batch included.
        weight: Shape of its weight.
        position: Input of the weight, 0 or 1.
        biased: Whether it adds a bias.
        attributes: Names and values, sorted.
    """

    op: str
    data: tuple[int, ...]
    weight: tuple[int, ...]
    position: int
    biased: bool
    attributes: tuple[tuple[str, Any], ...]

    @property
    def key(self) -> str:
        """The same as text."""
        return json.dumps([self.op, self.data, self.weight, self.position, self.biased, self.attributes])


def kernel_shapes(
    graph: ModelGraph, layers: Mapping[str, Weight], batch: int, dimensions: Mapping[str, int] | None = None
) -> dict[str, KernelShape]:
    """Return the shapes of those layers that have an integer kernel and read something of known size.

    Args:
        graph: The model.
        layers: Weights by layer.
        batch: Size of open batch dimensions.
        dimensions: Sizes of other open dimensions.

    Raises:
        BadInputError: a key that is no dimension of the model.
    """
    sizes = dict(dimensions or {})
    sizes.update({entry.key: batch for entry in open_dimensions(graph, dimensions) if entry.batch})
    shapes = static_values(graph, sizes).shapes
    found = {}
    for name, weight in layers.items():
        node = graph.node(name)
        if node.op not in INTEGER_OPERATORS or len(node.inputs) < 2:
            continue
        position = 0 if _comes_from(graph, node.inputs[0], weight.name) else 1
        data = shapes.get(node.inputs[1 - position if node.op != "Conv" else 0])
        sizes_known = [size for size in data or () if isinstance(size, int)]
        if data is None or len(sizes_known) < len(data):
            continue
        found[name] = KernelShape(
            node.op,
            tuple(sizes_known),
            weight_values(graph, weight).shape,
            position,
            len(node.inputs) > 2 and bool(node.inputs[2]),
            _attributes(node),
        )
    return found


def kernel_forms(shape: KernelShape) -> tuple[KernelForm, ...]:
    """Return the forms that a layer can take: packed weights only where the runtime has such an operator for it."""
    if shape.op == "Conv" or shape.position == 0:
        return tuple(form for form in _FORMS if form not in PACKED_BITS)
    graph = kernel_graph(shape, "float32")
    packable = why_not_blocks(graph, graph.nodes[0]) is None
    return tuple(form for form in _FORMS if packable or form not in PACKED_BITS)


def kernel_graph(shape: KernelShape, form: KernelForm) -> ModelGraph:
    """Return a model of one layer; input "x" and output "y" are float32, or integers of the form.

    Args:
        shape: Of the layer.
        form: "float32", or the type of its activations; weights are then int8 with a scale for every output channel.
            Packed weights have 8 or 4 bits in blocks of 32; the kernel reads and makes floats.
    """
    if form in PACKED_BITS:
        return _packed(shape, PACKED_BITS[form])
    rng = np.random.default_rng(0)
    integer = _INTEGERS.get(form)
    kind = ir.DataType.FLOAT if integer is None else ir.DataType[form.upper()]
    value = ir.Value(name="x", type=ir.TensorType(kind), shape=ir.Shape(shape.data))
    graph = ir.Graph([value], [], nodes=[], opset_imports={"": _OPSET}, name="kernel")
    model = ir.Model(graph, ir_version=9)
    channels = _channels(shape)
    bias: ir.Value | None = None
    if integer is None:
        data = value
        weight = add_initializer(model, "weight", rng.normal(size=shape.weight).astype(np.float32))
        if shape.biased:
            bias = add_initializer(model, "bias", rng.normal(size=channels).astype(np.float32))
    else:
        zero = add_initializer(model, "zero", np.array(0, integer))
        step = add_initializer(model, "step", np.array(0.01, np.float32))
        data = _append(graph, "DequantizeLinear", [value, step, zero])
        axis = channel_axis(shape)
        several = axis is not None
        scale = np.full(channels if several else (), 0.01, np.float32)
        levels = add_initializer(model, "levels", rng.integers(-127, 128, size=shape.weight).astype(np.int8))
        scales = add_initializer(model, "scales", scale)
        # Without written zero points the runtime does not fuse a Gemm.
        zeros = add_initializer(model, "zeros", np.zeros(channels if several else (), np.int8))
        weight = _append(graph, "DequantizeLinear", [levels, scales, zeros], {"axis": axis} if several else {})
        if shape.biased:
            whole = add_initializer(model, "whole_bias", rng.integers(-999, 999, size=channels).astype(np.int32))
            steps = add_initializer(model, "bias_scales", scale * np.float32(0.01))
            bias = _append(graph, "DequantizeLinear", [whole, steps], {"axis": 0} if several else {})
    inputs = [weight, data] if shape.position == 0 and shape.op != "Conv" else [data, weight]
    result = _append(graph, shape.op, [*inputs, bias] if bias is not None else inputs, dict(shape.attributes))
    if integer is not None:
        out_step = add_initializer(model, "out_step", np.array(0.1, np.float32))
        result = _append(graph, "QuantizeLinear", [result, out_step, zero])
    result.name, result.type = "y", ir.TensorType(kind)
    graph.outputs.append(result)
    return ModelGraph(model)


def _packed(shape: KernelShape, bits: int) -> ModelGraph:
    graph = kernel_graph(shape, "float32")
    (layer,) = graph.nodes
    outputs = _channels(shape)
    inputs = shape.weight[0] * shape.weight[1] // outputs
    blocks = -(-inputs // _BLOCK)
    rng = np.random.default_rng(0)
    weight = BlockQuantization(
        rng.integers(0, 2**bits, size=(outputs, inputs)).astype(np.uint8),
        np.full((outputs, blocks), 0.01, np.float32),
        np.full((outputs, blocks), 2 ** (bits - 1), np.uint8),
        bits,
        _BLOCK,
    )
    return store_blocks(graph, {layer.name: weight}, integer_arithmetic=True)


def _append(graph: ir.Graph, op: str, inputs: list[ir.Value], attributes: Mapping[str, Any] | None = None) -> ir.Value:
    node = ir.node(op, inputs, attributes=dict(attributes or {}), name=f"{op}_{len(list(graph))}")
    graph.append(node)
    node.outputs[0].name = f"{node.name}_out"
    return node.outputs[0]


def _attributes(node: Node) -> tuple[tuple[str, Any], ...]:
    found = []
    for name in _ATTRIBUTES:
        value = node.attribute(name, None)
        if value is not None:
            found.append((name, tuple(value) if isinstance(value, (list, tuple)) else value))
    return tuple(found)


def channel_axis(shape: KernelShape) -> int | None:
    """Return the axis of a weight's output channels; None where it has none of its own."""
    attributes = dict(shape.attributes)
    if shape.op == "Conv":
        return 0
    if shape.op == "Gemm":
        transposed = bool(attributes.get("transB" if shape.position == 1 else "transA", 0))
        return int(transposed == (shape.position == 0))
    return shape.position if len(shape.weight) == 2 else None


def _channels(shape: KernelShape) -> int:
    axis = channel_axis(shape)
    return shape.weight[axis] if axis is not None else shape.weight[-1]


def _comes_from(graph: ModelGraph, value: str, weight: str) -> bool:
    while value != weight:
        producer = graph.producer(value)
        if producer is None or not producer.inputs:
            return False
        value = producer.inputs[0]
    return True
