"""Makes the form of a quantized graph that can be trained, and turns what training found into integers and ranges.

Notation as in `workbench.graph.quantization`. A weight stays float under its own name, before QuantizeLinear, Clip and
DequantizeLinear; activations are quantized as in the file; scales are weights of known names; biases stay
float. Where batch normalisation stands behind a layer, y = factor · (s·q · a) + offset folds into the scale of each
channel, s' = |factor| · s, and leaves the integers as they were trained: what is deployed is what was trained.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from workbench.graph.binary import binarized
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.insert_qdq import Placement, insert_qdq
from workbench.graph.quantization import ActivationQuantization, WeightQuantization
from workbench.graph.surgery import add_initializer, free_name, remove_unused

SCALE_SLOPE_KEY = "workbench.scale_slope"
BINARY_SLOPE_KEY = "workbench.binary_slope"
DOMAIN = "workbench"
BINARIZE = "Binarize"
_BENT = 0.95  # from where on a tenth of a gradient at most comes through the tanh


@dataclass(frozen=True)
class Quantizer:
    """Where the settings of one quantizer lie.

    Attributes:
        scale: Name of the initializer.
        zero_point: Name of the initializer.
        elements: Values that share one scale, without the batch; 0 where that is not known.
        highest: Largest level less the zero point.
    """

    scale: str
    zero_point: str
    elements: int
    highest: int


@dataclass(frozen=True)
class Learned:
    """What training found.

    Attributes:
        graph: In float, normalisation folded.
        source: The same before folding, from which a training can go on.
        weights: Integers and scales by initializer name.
        activations: New quantizer by the one that the training began with.
    """

    graph: ModelGraph
    source: ModelGraph
    weights: Mapping[str, WeightQuantization]
    activations: Mapping[ActivationQuantization, ActivationQuantization]


@dataclass(frozen=True)
class TrainingForm:
    """A graph to train, and where its quantizers lie.

    Attributes:
        graph: Runs in both engines; float weights, biases and normalisation, quantizers as nodes.
        source: The float graph that it was made from.
        weights: Quantizer by weight name.
        activations: Quantizer by how a value is quantized.
        given: Integers that the weights began with, by weight name.
        bounds: Where weights are bound · tanh(what is trained) (DoReFa), the bounds (channels,) or () by weight name.
        binary: Names of the weights of 1 bit, which have no quantizer: their signs and magnitudes are all there is.
        balanced: Whether those are taken about the mean of each channel.
        sharpness: Name of the one-element initializer that says how steep the slope of a sign is at zero; "" where
            nothing is binary.
    """

    graph: ModelGraph
    source: ModelGraph
    weights: Mapping[str, Quantizer]
    activations: Mapping[ActivationQuantization, Quantizer]
    given: Mapping[str, WeightQuantization]
    bounds: Mapping[str, np.ndarray]
    binary: tuple[str, ...] = ()
    balanced: bool = False
    sharpness: str = ""

    def learned(self, trained: ModelGraph) -> Learned:
        """Return weights and quantizers of `trained`, which is `graph` with other weights."""
        arrays = {name: trained.constant(name) for name in self.source.initializers if name in trained.initializers}
        exact = self.source.with_initializers({name: array for name, array in arrays.items() if array is not None})
        bent = {name: self._unbent(_array(exact, name), name) for name in self.weights} if self.bounds else {}
        exact = exact.with_initializers(bent)
        rounded = {}
        for name, quantizer in self.weights.items():
            given = self.given[name]
            array, scales = _array(exact, name), np.abs(_array(trained, quantizer.scale))
            rounded[name] = replace(given, integers=given.nearest(array, scales), scales=scales)
        for name in self.binary:
            given = self.given[name]
            rounded[name] = binarized(_array(exact, name), given.axis, balanced=self.balanced, branches=given.branches)
        folded = fold_batch_norm(exact)
        weights = rescaled_weights(rounded, exact, folded)
        activations = {}
        for began, quantizer in self.activations.items():
            zero = int(_array(trained, quantizer.zero_point))
            activations[began] = ActivationQuantization(
                abs(float(_array(trained, quantizer.scale))),
                min(max(zero, began.lowest), began.highest),
                began.bits,
                began.signed,
            )
        return Learned(folded, exact, weights, activations)

    def _unbent(self, array: np.ndarray, name: str) -> np.ndarray:
        bound = self.given[name].spread(self.bounds[name])
        return (bound * np.tanh(array.astype(np.float64))).astype(np.float32)


def trainable_qdq(
    graph: ModelGraph,
    activations: Mapping[str, ActivationQuantization],
    weights: Mapping[str, WeightQuantization],
    placement: Placement | None = None,
    *,
    fixed: Collection[str] = (),
    slope: str | None = None,
    bent: bool = False,
    balanced: bool = False,
    binary_slope: str | None = None,
) -> TrainingForm:
    """Return the form to train of what `insert_qdq` would deploy.

    Args:
        graph: The float graph, possibly with batch normalisation.
        activations: Quantizer by value name.
        weights: Integers, of which the scales are taken, by initializer name.
        placement: As in `insert_qdq`.
        fixed: Weights that stay integers.
        slope: Written on the quantizers of activations, for the training engine ("clip": PACT).
        bent: Train the weights through a tanh that bounds them by their largest level (DoReFa, Zhou et al., 2016); its
            largest value is taken as 1, where the paper measures it in every step. Not those of 1 bit.
        balanced: Binarize about the mean of each channel (IR-Net, Qin et al., 2020).
        binary_slope: Written on the quantizers of activations of 1 bit, for the training engine ("polynomial": Bi-Real
            Net, Liu et al., 2018).

    Raises:
        UnsupportedGraphError, KeyError, ModelFileError: as `insert_qdq`.
    """
    model = insert_qdq(graph, activations, weights, placement).edit()
    edit = _Edit(model, graph, bent=bent, balanced=balanced)
    trained = {name: quantization for name, quantization in weights.items() if name not in fixed}
    edit.take_back(trained)
    found = edit.quantizers(slope, binary_slope)
    remove_unused(model)
    form = graph.edited(model)
    check(form)
    wanted = [*activations.values(), *(placement.narrower.values() if placement is not None else ())]
    settings = {entry: found[_key(entry)] for entry in wanted if _key(entry) in found}
    return TrainingForm(
        form, graph, edit.weights, settings, trained, edit.bounds, tuple(edit.binary), balanced, edit.sharpness
    )


class _Edit:
    def __init__(self, model: ir.Model, source: ModelGraph, *, bent: bool, balanced: bool) -> None:
        self._model = model
        self._bent, self._balanced = bent, balanced
        self._source = source
        self._done: dict[str, ir.Value] = {}
        self.weights: dict[str, Quantizer] = {}
        self.bounds: dict[str, np.ndarray] = {}
        self.binary: list[str] = []
        self.sharpness = ""

    def take_back(self, trained: Mapping[str, WeightQuantization]) -> None:
        """Let layers read float weights through quantizers, and float biases, instead of stored integers."""
        own = {node.name: node for node in self._source.nodes}
        for node in tuple(self._model.graph):
            original = own.get(node.name or "")
            for index, name in enumerate(original.inputs if original is not None else ()):
                dequantize = _stored_behind(node, index)
                if dequantize is None or name not in self._source.initializers:
                    continue
                if name in trained:
                    node.replace_input_with(index, self._rounded(name, dequantize, trained[name]))
                elif _type(dequantize.inputs[0]) == ir.DataType.INT32:
                    node.replace_input_with(index, self._float(name, dequantize))

    def _float(self, name: str, dequantize: ir.Node) -> ir.Value:
        if name not in self._done:
            array = _array(self._source, name)
            initializers = self._model.graph.initializers
            if name not in initializers:
                if dequantize.outputs[0].name == name:
                    dequantize.outputs[0].name = free_name(self._model, f"{name}_dequantized")
                add_initializer(self._model, name, array)
            self._done[name] = initializers[name]
        return self._done[name]

    def _rounded(self, name: str, dequantize: ir.Node, quantization: WeightQuantization) -> ir.Value:
        if name in self.weights or name in self.binary:
            return self._done[f"{name}_rounded"]
        value = self._float(name, dequantize)
        if quantization.bits == 1:
            return self._binary(value, quantization)
        scale, zero = dequantize.inputs[1], dequantize.inputs[2]
        assert scale is not None
        assert zero is not None
        lowest, highest = quantization.levels
        nodes = self._bend(value, quantization) if self._bent else []
        source = nodes[-1].outputs[0] if nodes else value
        nodes.append(ir.node("QuantizeLinear", [source, scale, zero], attributes=_axis(quantization)))
        limits = [
            add_initializer(self._model, free_name(self._model, f"{name}_{side}"), np.array(level, np.int8))
            for side, level in (("lowest", lowest), ("highest", highest))
        ]
        nodes.append(ir.node("Clip", [nodes[-1].outputs[0], *limits]))
        nodes.append(ir.node("DequantizeLinear", [nodes[-1].outputs[0], scale, zero], attributes=_axis(quantization)))
        for node in nodes:
            node.name = free_name(self._model, f"{name}_{node.op_type}")
            kind = ir.DataType.INT8 if node.op_type in ("QuantizeLinear", "Clip") else ir.DataType.FLOAT
            output = node.outputs[0]
            output.name, output.shape = free_name(self._model, f"{name}_{node.op_type.lower()}"), value.shape
            output.type = ir.TensorType(kind)
        self._model.graph.insert_before(next(iter(self._model.graph)), nodes)
        elements = quantization.integers.size // max(quantization.scales.size, 1)
        farthest = int(quantization.reach.max(initial=1.0))
        self.weights[name] = Quantizer(scale.name or "", zero.name or "", elements, farthest)
        self._done[f"{name}_rounded"] = nodes[-1].outputs[0]
        return nodes[-1].outputs[0]

    def _binary(self, value: ir.Value, quantization: WeightQuantization) -> ir.Value:
        name, initializers = value.name or "", self._model.graph.initializers
        if not self.sharpness:
            self.sharpness = free_name(self._model, "binary_sharpness")
            add_initializer(self._model, self.sharpness, np.zeros(1, np.float32))
            self._model.graph.opset_imports.setdefault(DOMAIN, 1)
        attributes = {**_axis(quantization), "balanced": int(self._balanced), "branches": quantization.branches}
        node = ir.node(BINARIZE, [value, initializers[self.sharpness]], attributes=attributes, domain=DOMAIN)
        node.name = free_name(self._model, f"{name}_{BINARIZE}")
        output = node.outputs[0]
        output.name, output.shape = free_name(self._model, f"{name}_binarized"), value.shape
        output.type = ir.TensorType(ir.DataType.FLOAT)
        self._model.graph.insert_before(next(iter(self._model.graph)), node)
        self.binary.append(name)
        self._done[f"{name}_rounded"] = output
        return output

    def _bend(self, value: ir.Value, quantization: WeightQuantization) -> list[ir.Node]:
        """Put the weight through bound · tanh, and change it so that what comes out is what it was."""
        name = value.name or ""
        array = _array(self._source, name).astype(np.float64)
        bound = quantization.scales.astype(np.float64) * quantization.reach
        spread = quantization.spread(bound)
        value.const_value = ir.tensor(np.arctanh(np.clip(array / spread, -_BENT, _BENT)).astype(np.float32), name=name)
        self.bounds[name] = bound
        # As a node, so that the training engine takes it for a constant.
        constant = ir.node("Constant", [], attributes={"value": ir.tensor(spread.astype(np.float32))})
        tanh = ir.node("Tanh", [value])
        return [constant, tanh, ir.node("Mul", [tanh.outputs[0], constant.outputs[0]])]

    def quantizers(self, slope: str | None, binary_slope: str | None) -> dict[tuple[float, int, int, int], Quantizer]:
        """Return where the settings of activations lie, by what they are."""
        of_weights = {quantizer.scale for quantizer in self.weights.values()}
        found: dict[tuple[float, int, int, int], Quantizer] = {}
        for node in self._model.graph:
            if node.op_type != "QuantizeLinear" or node.domain != "" or len(node.inputs) < 3:
                continue
            value, scale, zero = node.inputs[:3]
            if value is None or scale is None or zero is None or scale.name in of_weights:
                continue
            if scale.const_value is None or zero.const_value is None or scale.const_value.size != 1:
                continue
            if slope is not None:
                node.metadata_props[SCALE_SLOPE_KEY] = slope
            limits = np.iinfo(np.int8 if zero.dtype == ir.DataType.INT8 else np.uint8)
            lowest, highest = int(limits.min), int(limits.max)
            readers = [use.node for use in node.outputs[0].uses()]
            if len(readers) == 1 and readers[0].op_type == "Clip":
                bounds = [readers[0].inputs[index] for index in (1, 2)]
                lowest, highest = (int(bound.const_value.numpy()) for bound in bounds if bound and bound.const_value)
            if binary_slope is not None and highest - lowest == 1:
                node.metadata_props[BINARY_SLOPE_KEY] = binary_slope
            step, origin = float(scale.const_value.numpy()), int(zero.const_value.numpy())
            sizes = [] if value.shape is None else list(value.shape)[1:]
            known = all(isinstance(size, int) for size in sizes)
            elements = int(np.prod([size for size in sizes if isinstance(size, int)])) if sizes and known else 0
            found[step, origin, lowest, highest] = Quantizer(
                scale.name or "", zero.name or "", elements, highest - origin
            )
        return found


def _axis(quantization: WeightQuantization) -> dict[str, int]:
    return {} if quantization.axis is None else {"axis": quantization.axis}


def _key(entry: ActivationQuantization) -> tuple[float, int, int, int]:
    return float(np.float32(entry.scale)), entry.zero_point, entry.lowest, entry.highest


def _type(value: ir.Value | None) -> ir.DataType | None:
    return None if value is None else value.dtype


def _stored_behind(node: ir.Node, index: int) -> ir.Node | None:
    """Return the DequantizeLinear of stored integers at an input."""
    value = node.inputs[index] if index < len(node.inputs) else None
    before = None if value is None else value.producer()
    if before is None or before.op_type != "DequantizeLinear" or before.inputs[0] is None:
        return None
    return before if before.inputs[0].is_initializer() else None


def _array(graph: ModelGraph, name: str) -> np.ndarray:
    array = graph.constant(name)
    if array is None:
        raise KeyError(name)
    return array


def rescaled_weights(
    weights: Mapping[str, WeightQuantization], before: ModelGraph, after: ModelGraph
) -> dict[str, WeightQuantization]:
    """Return the same integers with the scales that fit weights whose channels were scaled since they were rounded.

    A channel that was turned over is the same channel with its integers turned over.

    Args:
        weights: Integers of `before`, by initializer name.
        before: The graph whose weights were rounded.
        after: The graph in which normalisation was folded into them or taken out of them.
    """
    found = {}
    for name, old in weights.items():
        first, second = (_array(graph, name).astype(np.float64) for graph in (before, after))
        others = tuple(place for place in range(first.ndim) if old.axis is None or place != old.axis)
        power, product = np.square(first).sum(others), (first * second).sum(others)
        factor = np.where(power > 0, product / np.where(power > 0, power, 1.0), 1.0)
        scales = np.abs(factor) * old.scales
        scales = np.where(scales > np.finfo(np.float32).tiny, scales, 1.0).astype(np.float32)
        found[name] = replace(_turned(old, np.sign(factor)), scales=scales.reshape(old.scales.shape))
    return found


def _turned(old: WeightQuantization, signs: np.ndarray) -> WeightQuantization:
    """Return the integers of a weight whose channels were multiplied with signs (channels,) or (): 1, -1 or 0."""
    lowest, highest = old.levels
    if old.zero_points is None:
        return replace(old, integers=np.clip(old.integers * old.spread(signs), lowest, highest).astype(np.int8))
    # Of an even number of levels the middle lies between two: integers and zero points are mirrored about it.
    mirrored = (lowest + highest - old.integers.astype(np.int16), lowest + highest - old.zero_points.astype(np.int16))
    integers = np.where(old.spread(signs) < 0, mirrored[0], old.integers)
    zeros = np.where(signs.reshape(old.zero_points.shape) < 0, mirrored[1], old.zero_points)
    return replace(
        old,
        integers=np.where(old.spread(signs) == 0, old.spread(zeros), integers).astype(np.int8),
        zero_points=zeros.astype(np.int8),
    )
