"""Inserts quantizers so that the runtime fuses them: integer weights and biases, Q/DQ around activations.

Notation as in `workbench.graph.quantization`. With b < 8 bits the container stays 8 bits wide and q is clipped to the
2^b levels by an integer Clip between QuantizeLinear and DequantizeLinear: the float operator before it still fuses
with its QuantizeLinear (Jacob et al., 2018, for the arithmetic).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.quantization import ActivationQuantization, WeightQuantization

WEIGHT_BITS_KEY = "workbench.weight_bits"
ACTIVATION_BITS_KEY = "workbench.activation_bits"
_MINIMUM_OPSET = 13  # DequantizeLinear per channel; Clip on integers came with 12
_BIAS_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Placement:
    """Where quantizers go beyond the values themselves.

    Attributes:
        integer_nodes: Nodes that only move values (Pad, Slice, MaxPool …) and run on the integers of their first
            input; their outputs keep its scale.
        float_readers: Nodes that read the value before it was quantized.
        narrower: (node, input index) that reads its value through a second, narrower quantizer.
    """

    integer_nodes: Collection[str] = ()
    float_readers: Collection[str] = ()
    narrower: Mapping[tuple[str, int], ActivationQuantization] = field(default_factory=dict)


def insert_qdq(
    graph: ModelGraph,
    activations: Mapping[str, ActivationQuantization],
    weights: Mapping[str, WeightQuantization],
    placement: Placement | None = None,
) -> ModelGraph:
    """Return the graph with quantized values and weights.

    A quantized weight or bias keeps its name as the name of its dequantized value. A quantized value keeps its name
    for what it was before; readers get "<name>_dequantized". Outputs of integer nodes keep theirs for the
    dequantized value, and so does a graph output. The nodes' metadata say how many bits they got.

    Biases of layers whose data and weight both have integers become int32 with scale s_data · s_weight.

    Args:
        graph: The float graph.
        activations: Quantizer by value name.
        weights: Quantized integers by initializer name.
        placement: What runs on integers and who reads what.

    Raises:
        UnsupportedGraphError: an operator that can't be brought to opset 13.
        KeyError: a name is not a value or initializer of the graph.
        ModelFileError: the result is not valid ONNX (a fault of the caller's choice of values).
    """
    graph = upgrade_opset(graph, _MINIMUM_OPSET)
    edit = _Edit(graph, placement or Placement())
    for name, quantization in weights.items():
        edit.quantize_weight(name, quantization)
    for name, activation in activations.items():
        edit.quantize_value(name, activation)
    edit.run_on_integers()
    edit.narrow()
    edit.quantize_biases()
    quantized = graph.edited(edit.model)
    check(quantized)
    return quantized


class _Edit:
    """One insertion under way."""

    def __init__(self, graph: ModelGraph, placement: Placement) -> None:
        self.model = graph.edit()
        self._placement = placement
        self._graph = self.model.graph
        self._values: dict[str, ir.Value] = {value.name or "": value for value in self._graph.inputs}
        self._values.update(self._graph.initializers)
        for node in self._graph:
            self._values.update({value.name or "": value for value in node.outputs})
        self._nodes = {node.name or "": node for node in self._graph}
        self._integers: dict[ir.Value, tuple[ir.Value, ActivationQuantization]] = {}
        self._read: dict[ir.Value, ActivationQuantization] = {}
        self._weights: dict[ir.Value, WeightQuantization] = {}
        self._parameters_of: dict[ActivationQuantization, list[ir.Value]] = {}
        self._names = set(self._values) | set(self._nodes)

    def quantize_weight(self, name: str, quantization: WeightQuantization) -> None:
        """Replace an initializer by int8 values and DequantizeLinear."""
        value = self._graph.initializers[name]
        uses = tuple(value.uses())
        dequantized = self._dequantized_constant(
            value,
            quantization.integers.astype(np.int8),
            quantization.scales,
            quantization.axis,
            zero_points=quantization.zero_points,
        )
        self._weights[dequantized] = quantization
        for use in uses:
            use.node.metadata_props[WEIGHT_BITS_KEY] = str(quantization.stored_bits)

    def quantize_value(self, name: str, quantization: ActivationQuantization) -> None:
        """Put Q (and Clip) and DQ behind a value."""
        value = self._values[name]
        uses = tuple(value.uses())
        stored, nodes = self._stored(value, quantization)
        readers = [
            use
            for use in uses
            if use.node.name not in self._placement.float_readers and not self._moves(use.node, use.idx)
        ]
        is_output = value in self._graph.outputs
        if readers or is_output:
            dequantize = self._dequantize(stored, quantization, f"{name}_dequantized", value)
            nodes.append(dequantize)
            dequantized = dequantize.outputs[0]
            self._read[dequantized] = quantization
            for use in readers:
                use.node.replace_input_with(use.idx, dequantized)
                use.node.metadata_props.setdefault(ACTIVATION_BITS_KEY, str(quantization.bits))
            if is_output:
                self._take_over(value, dequantized)
        self._insert(value, nodes)
        self._integers[value] = stored, quantization

    def run_on_integers(self) -> None:
        """Let the moving nodes read and write integers; whoever else reads their outputs gets them dequantized."""
        for node in tuple(self._graph):
            if node.name not in self._placement.integer_nodes or node.inputs[0] not in self._integers:
                continue
            source = node.inputs[0]
            stored, quantization = self._integers[source]
            node.replace_input_with(0, stored)
            if node.op_type == "Pad":
                self._pad_with_zero_point(node, quantization)
            for output in node.outputs:
                self._store_output(node, output, stored, quantization)

    def narrow(self) -> None:
        """Put second quantizers before the inputs that want fewer bits than their value has."""
        made: dict[tuple[ir.Value, ActivationQuantization], ir.Value] = {}
        for (name, index), quantization in self._placement.narrower.items():
            node = self._nodes[name]
            value = node.inputs[index]
            if value is None:
                raise KeyError(f"{name} has no input {index}")
            key = value, quantization
            if key not in made:
                stored, nodes = self._stored(value, quantization, suffix=f"_{quantization.bits}bit")
                nodes.append(self._dequantize(stored, quantization, f"{stored.name}_dequantized", value))
                made[key] = nodes[-1].outputs[0]
                self._read[made[key]] = quantization
                self._insert(value, nodes)
            node.replace_input_with(index, made[key])
            node.metadata_props[ACTIVATION_BITS_KEY] = str(quantization.bits)

    def quantize_biases(self) -> None:
        """Store biases as int32 where both factors of their layer are integers."""
        for node in tuple(self._graph):
            if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.inputs) < 2:
                continue
            data, weight = node.inputs[0], node.inputs[1]
            place = self._bias_place(node)
            if data not in self._read or weight not in self._weights or place is None:
                continue
            reader, index = place
            bias = reader.inputs[index]
            if bias is None or not bias.is_initializer() or bias.const_value is None:
                continue
            scales = np.asarray(self._weights[weight].scales, np.float64) * self._read[data].scale
            array = bias.const_value.numpy().astype(np.float64)
            channels = scales.size if scales.ndim else array.size
            if array.size != channels:
                continue
            integers = np.clip(np.rint(array.reshape(-1) / scales), -_BIAS_LIMIT, _BIAS_LIMIT).astype(np.int32)
            dequantized = self._dequantized_constant(
                bias, integers, scales.astype(np.float32), 0 if scales.ndim else None, only=reader
            )
            reader.replace_input_with(index, dequantized)

    def _bias_place(self, node: ir.Node) -> tuple[ir.Node, int] | None:
        """Return who reads a layer's bias and at which input: the layer, or the Add behind a MatMul of two axes."""
        if node.op_type != "MatMul":
            return (node, 2) if len(node.inputs) > 2 else None
        output, data = node.outputs[0], node.inputs[0]
        uses = tuple(output.uses())
        if data is None or data.shape is None or len(data.shape) != 2 or len(uses) != 1 or output.is_graph_output():
            return None
        add, index = uses[0].node, 1 - uses[0].idx
        # The runtime joins these two into one Gemm, which needs integers at all three inputs.
        return (add, index) if add.op_type == "Add" and len(add.inputs) == 2 else None

    def _moves(self, node: ir.Node, index: int) -> bool:
        return index == 0 and node.name in self._placement.integer_nodes

    def _stored(
        self, value: ir.Value, quantization: ActivationQuantization, suffix: str = ""
    ) -> tuple[ir.Value, list[ir.Node]]:
        """Return the integers of a value and the nodes, not yet inserted, that compute them."""
        name = f"{value.name}_quantized{suffix}"
        dtype = ir.DataType.INT8 if quantization.signed else ir.DataType.UINT8
        node = self._node("QuantizeLinear", [value, *self._parameters(quantization, name)], name, dtype, value)
        nodes = [node]
        if quantization.bits < 8:
            kind = np.int8 if quantization.signed else np.uint8
            limits = [
                self._constant(f"{name}_{side}", np.array(level, kind))
                for side, level in (("lowest", quantization.lowest), ("highest", quantization.highest))
            ]
            nodes.append(self._node("Clip", [node.outputs[0], *limits], f"{name}_clipped", dtype, value))
        return nodes[-1].outputs[0], nodes

    def _dequantize(self, stored: ir.Value, quantization: ActivationQuantization, name: str, like: ir.Value) -> ir.Node:
        parameters = self._parameters(quantization, stored.name or name)
        return self._node("DequantizeLinear", [stored, *parameters], name, ir.DataType.FLOAT, like)

    def _store_output(
        self, node: ir.Node, output: ir.Value, stored: ir.Value, quantization: ActivationQuantization
    ) -> None:
        """Make `output` of a moving node the integers; its name goes to their dequantized value."""
        uses = tuple(output.uses())
        name = output.name or ""
        readers = [use for use in uses if not self._moves(use.node, use.idx)]
        is_output = output in self._graph.outputs
        output.name = self._free(f"{name}_quantized")
        # Assigning dtype would change the type object, which the edited copy shares with the original.
        output.type = ir.TensorType(ir.DataType.INT8 if quantization.signed else ir.DataType.UINT8)
        self._integers[output] = output, quantization
        if not readers and not is_output:
            return
        self._names.discard(name)
        dequantize = self._dequantize(output, quantization, name, output)
        dequantized = dequantize.outputs[0]
        self._read[dequantized] = quantization
        for use in readers:
            use.node.replace_input_with(use.idx, dequantized)
            use.node.metadata_props.setdefault(ACTIVATION_BITS_KEY, str(quantization.bits))
        if is_output:
            index = list(self._graph.outputs).index(output)
            self._graph.outputs[index] = dequantized
        self._graph.insert_after(node, dequantize)

    def _pad_with_zero_point(self, node: ir.Node, quantization: ActivationQuantization) -> None:
        """Let a Pad on integers fill in the level of its constant, which is the zero point for 0."""
        fill = node.inputs[2] if len(node.inputs) > 2 else None
        constant = 0.0
        if fill is not None:
            tensor = ir.convenience.get_const_tensor(fill)
            if tensor is None:
                raise UnsupportedGraphError(f"node {node.name!r} pads with a computed value, which can't be quantized")
            constant = float(tensor.numpy())
        level = round(constant / quantization.scale) + quantization.zero_point
        kind = np.int8 if quantization.signed else np.uint8
        level = min(max(level, quantization.lowest), quantization.highest)
        node.resize_inputs(max(len(node.inputs), 3))
        node.replace_input_with(2, self._constant(f"{node.name}_fill", np.array(level, kind)))

    def _parameters(self, quantization: ActivationQuantization, name: str) -> list[ir.Value]:
        kind = np.int8 if quantization.signed else np.uint8
        # One pair for a quantizer and its dequantizer: the runtime compares them by name to drop what cancels.
        if quantization not in self._parameters_of:
            self._parameters_of[quantization] = [
                self._constant(f"{name}_scale", np.array(quantization.scale, np.float32)),
                self._constant(f"{name}_zero_point", np.array(quantization.zero_point, kind)),
            ]
        return self._parameters_of[quantization]

    def _dequantized_constant(
        self,
        value: ir.Value,
        integers: np.ndarray,
        scales: np.ndarray,
        axis: int | None,
        *,
        only: ir.Node | None = None,
        zero_points: np.ndarray | None = None,
    ) -> ir.Value:
        """Replace an initializer (for one node only, if given) by integers whose dequantized value has its name."""
        name = value.name or ""
        uses = tuple(use for use in value.uses() if only is None or use.node is only)
        alone = len(uses) == len(tuple(value.uses())) and value not in self._graph.outputs
        scales = np.asarray(scales, np.float32)
        zeros = np.zeros(scales.shape, integers.dtype) if zero_points is None else zero_points.astype(integers.dtype)
        inputs = [
            self._constant(f"{name}_quantized", integers),
            self._constant(f"{name}_scale", scales),
            self._constant(f"{name}_zero_point", zeros),
        ]
        if alone:
            self._graph.initializers.pop(name)
            value.name = f"{name}_float"
            self._names.discard(name)
        node = self._node("DequantizeLinear", inputs, name, ir.DataType.FLOAT, None, axis=axis)
        node.outputs[0].shape = ir.Shape(integers.shape)
        self._graph.insert_before(next(iter(self._graph)), node)
        for use in uses:
            use.node.replace_input_with(use.idx, node.outputs[0])
        return node.outputs[0]

    def _node(
        self,
        op: str,
        inputs: list[ir.Value],
        name: str,
        dtype: ir.DataType,
        like: ir.Value | None,
        *,
        axis: int | None = None,
    ) -> ir.Node:
        attributes = {} if axis is None else {"axis": axis}
        output = ir.Value(name=self._free(name), type=ir.TensorType(dtype), shape=None if like is None else like.shape)
        node = ir.node(op, inputs, attributes=attributes, outputs=[output])
        node.name = self._free(f"{output.name}_{op}")
        return node

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        name = self._free(name)
        tensor = ir.tensor(np.asarray(array, order="C"), name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def _insert(self, value: ir.Value, nodes: list[ir.Node]) -> None:
        producer = value.producer()
        if producer is not None:
            self._graph.insert_after(producer, nodes)
        else:
            self._graph.insert_before(next(iter(self._graph)), nodes)

    def _take_over(self, value: ir.Value, dequantized: ir.Value) -> None:
        """Give a graph output's name and place to its dequantized value."""
        name = value.name or ""
        index = list(self._graph.outputs).index(value)
        if value.is_graph_input():
            return
        value.name = self._free(f"{name}_unquantized")
        dequantized.name = name
        self._graph.outputs[index] = dequantized

    def _free(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate
