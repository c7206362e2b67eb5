"""Post-training quantization: ranges from a few hundred samples, no training."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.api import (
    ACTIVATION_BITS,
    CALIBRATORS,
    WEIGHT_BITS,
    ActivationQuantization,
    Calibrator,
    DataError,
    Knob,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Node,
    Parameters,
    Placement,
    RecipeError,
    Stage,
    Tools,
    WeightQuantization,
    fold_batch_norm,
    insert_qdq,
    merge_slices,
    store_half,
    upgrade_opset,
)

from .placement import INTEGER_LAYERS, LayerBits, QuantizedValues, place
from .weights import quantize_weight

# Position of the weight and axis of the output channels; a range of positions where either side may be the weight.
_WEIGHT_INPUTS = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1, 0),
    "MatMul": (1, 0),
    "Gather": (0,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
}
_ALREADY = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})
_MEMORY_PER_BATCH = 256_000_000
_BIAS_LEVELS = 2.0**30


class PtqParameters(Parameters):
    """Parameters of post-training quantization."""

    calibrator: Literal["auto", "minmax", "percentile", "mse"] = Field(
        default="auto",
        description="How the range of an activation is found from the calibration samples; auto is minmax at 8 bits "
        "unless outliers cost a bit of resolution, and mse below.",
    )
    calibration_samples: int = Field(default=256, ge=1, description="Training samples that the ranges are taken from.")
    weight_range: Literal["auto", "minmax", "mse"] = Field(
        default="auto", description="Range of each output channel's weights; auto is minmax at 8 bits, mse below."
    )
    activation_type: Literal["uint8", "int8"] = Field(
        default="uint8", description="Container of activations; uint8 with int8 weights is the fast pair on x86."
    )


class PostTrainingQuantization(Method):
    """Symmetric weights per output channel, affine activations per tensor, placed so that the runtime fuses them."""

    id: ClassVar[str] = "quantize.ptq"
    title: ClassVar[str] = "Post-training quantization"
    summary: ClassVar[str] = "Integers for weights and activations, with ranges from calibration samples; no training."
    source: ClassVar[str] = "Jacob et al., 2018; Nagel et al., 2021"
    stage: ClassVar[Stage] = Stage.QUANTIZE
    knobs: ClassVar[tuple[Knob, ...]] = (WEIGHT_BITS, ACTIVATION_BITS)
    needs_data: ClassVar[bool] = True
    Parameters: ClassVar[type[Parameters]] = PtqParameters  # type: ignore[assignment]

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured.

        Raises:
            RecipeError: an already quantized graph, half-precision activations, a layer whose weight is not a
                float constant, or two layers that share a weight and differ in its bits.
        """
        for node in graph.nodes:
            if node.op in _ALREADY:
                raise RecipeError(
                    f"the model is already quantized: node {node.name!r} is {node.op}",
                    where=self.id,
                    action="Start from the float model, or take an earlier quantization step out of the recipe.",
                )
        layers = _layer_bits(graph, plan)
        shared: dict[str, tuple[str, int]] = {}
        for name, bits in layers.items():
            if bits.activation_bits == 16:
                raise RecipeError(
                    "activation_bits 16 is not possible: the runtime has no half-precision kernels on this device",
                    where=name,
                    action="Set 32 to leave activations in float, or 8 or fewer.",
                )
            node = graph.node(name)
            for weight in _weights_of(graph, node):
                owner, other = shared.setdefault(weight, (name, bits.weight_bits))
                if other != bits.weight_bits:
                    raise RecipeError(
                        f"weight_bits is {bits.weight_bits}, but {owner!r} shares the weight {weight!r} at {other}",
                        where=name,
                        action="Give both layers the same weight_bits.",
                    )
        if not layers:
            return ("No layer has weight_bits or activation_bits below 32; nothing is quantized.",)
        slow = [
            name
            for name, bits in layers.items()
            if bits.activation_bits <= 8 and (bits.weight_bits > 8 or graph.node(name).op not in INTEGER_LAYERS)
        ]
        return (
            (
                f"{len(slow)} layer(s) with quantized activations run in float, because their weights have more than "
                f"8 bits or the runtime has no integer kernel for them: {', '.join(slow[:3])}"
                + (" …" if len(slow) > 3 else "."),
            )
            if slow
            else ()
        )

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm, calibrate, round, and insert the quantizers.

        Raises:
            DataError: activations are to be quantized and there is no data, or it leads to NaN.
            CancelledError: tools.cancel was set.
        """
        self.check(graph, plan)
        layers = _layer_bits(graph, plan)
        if not layers:
            return MethodResult(graph, ("Nothing to quantize.",))
        graph = merge_slices(upgrade_opset(fold_batch_norm(graph), 13))
        layers = {name: bits for name, bits in layers.items() if any(node.name == name for node in graph.nodes)}
        placed = place(graph, layers)
        calibrators = self._calibrate(graph, placed, tools)
        signed = self.parameters.activation_type == "int8"

        def quantizer(value: str, bits: int) -> ActivationQuantization:
            return ActivationQuantization.from_range(*calibrators[value].range(bits), bits, signed=signed)

        activations = {value: quantizer(value, bits) for value, bits in placed.bits.items()}
        narrower = {place: quantizer(value, bits) for place, (value, bits) in placed.narrower.items()}
        scales = _data_scales(graph, layers, placed, activations, narrower)
        weights = self._round(graph, layers, scales, tools)
        halves = [
            weight
            for name, bits in layers.items()
            if bits.weight_bits == 16
            for weight in _weights_of(graph, graph.node(name))
        ]
        if halves:
            graph = store_half(graph, tuple(dict.fromkeys(halves)))
        quantized = insert_qdq(
            graph, activations, weights, Placement(placed.integer_nodes, placed.float_readers, narrower)
        )
        notes = [f"{len(weights)} weights and {len(activations)} activations quantized"]
        constant = [value for value, found in calibrators.items() if found.observed[0] == found.observed[1]]
        if constant:
            notes.append(f"constant on the calibration data: {', '.join(constant[:3])}")
        if halves:
            notes.append(f"{len(set(halves))} weights stored in half precision; they are computed with in float")
        details: dict[str, Any] = {
            "ranges": {value: list(calibrators[value].range(bits)) for value, bits in placed.bits.items()}
        }
        return MethodResult(quantized, tuple(notes), details)

    def _calibrate(self, graph: ModelGraph, placed: QuantizedValues, tools: Tools) -> dict[str, Calibrator]:
        make = CALIBRATORS[self.parameters.calibrator]
        values = dict.fromkeys([*placed.bits, *(value for value, _ in placed.narrower.values())])
        calibrators = {value: make(value) for value in values}
        if not calibrators:
            return calibrators
        if tools.data is None:
            raise DataError(
                "quantizing activations needs calibration samples, and the recipe names no data",
                where=self.id,
                action="Add `data:` to the recipe, or set activation_bits to 32 to quantize weights only.",
            )
        samples = self.parameters.calibration_samples
        batches = tools.data.calibration(samples, _batch_size(graph, values))
        tools.inference.observe(
            graph,
            {value: [calibrator] for value, calibrator in calibrators.items()},
            batches,
            progress=tools.progress.part(0.0, 0.8, "calibration"),
            total=samples,
            cancel=tools.cancel,
        )
        return calibrators

    def _round(
        self, graph: ModelGraph, layers: dict[str, LayerBits], data_scales: dict[str, float], tools: Tools
    ) -> dict[str, WeightQuantization]:
        progress = tools.progress.part(0.8, 1.0, "weights")
        rounded: dict[str, WeightQuantization] = {}
        for index, (name, bits) in enumerate(layers.items()):
            tools.cancel.raise_if_cancelled()
            if bits.weight_bits > 8:
                continue
            node = graph.node(name)
            rule = self.parameters.weight_range
            if rule == "auto":
                rule = "minmax" if bits.weight_bits == 8 else "mse"
            for weight in _weights_of(graph, node):
                if weight in rounded:
                    continue
                array = graph.constant(weight)
                assert array is not None
                axis = _channel_axis(node, array, node.inputs.index(weight))
                smallest = _smallest_scale(graph, node, data_scales.get(name), axis, array)
                rounded[weight] = quantize_weight(array, axis, bits.weight_bits, rule, smallest_scale=smallest)
            progress.update((index + 1) / len(layers))
        return rounded


def _layer_bits(graph: ModelGraph, plan: LayerSettings) -> dict[str, LayerBits]:
    """Return the layers that the plan touches, in graph order."""
    found: dict[str, LayerBits] = {}
    for node in graph.nodes:
        if node.name not in plan:
            continue
        weight_bits = int(plan.number(node.name, WEIGHT_BITS))
        activation_bits = int(plan.number(node.name, ACTIVATION_BITS))
        if weight_bits == 32 and activation_bits == 32:
            continue
        weights = _weights_of(graph, node)
        if not weights and weight_bits < 32:
            raise RecipeError(
                f"weight_bits is {weight_bits}, but {node.op} has no stored float32 weight",
                where=node.name,
                action="Leave this layer's weight_bits at 32.",
            )
        position = node.inputs.index(weights[0]) if weights else None
        data = None if node.op == "Gather" else (1 if position == 0 else 0)
        found[node.name] = LayerBits(weight_bits, activation_bits if data is not None else 32, data, position)
    return found


def _weights_of(graph: ModelGraph, node: Node) -> tuple[str, ...]:
    """Return the initializers that are a layer's float32 weights."""
    stored = set(graph.initializers)
    found = []
    for position in _WEIGHT_INPUTS.get(node.op, ()):
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name in stored and graph.value(name).dtype == "float32":
            found.append(name)
            if node.op in ("Gemm", "MatMul"):
                break
    return tuple(found)


def _channel_axis(node: Node, weight: np.ndarray, position: int) -> int | None:
    """Return the axis of the output channels, or None where one scale must serve the whole weight."""
    if node.op == "Conv":
        return 0
    if node.op == "ConvTranspose":
        return 1
    if node.op == "Gather":
        return None if weight.ndim < 2 else int(node.attribute("axis", 0))
    if node.op == "Gemm":
        transposed = bool(node.attribute("transB" if position == 1 else "transA", 0))
        return (0 if transposed else 1) if position == 1 else (1 if transposed else 0)
    if node.op == "MatMul":
        return 1 if weight.ndim == 2 and position == 1 else None
    return 1  # recurrent cells: (directions, gates · hidden, inputs)


def _data_scales(
    graph: ModelGraph,
    layers: dict[str, LayerBits],
    placed: QuantizedValues,
    activations: dict[str, ActivationQuantization],
    narrower: dict[tuple[str, int], ActivationQuantization],
) -> dict[str, float]:
    """Return the scale of every integer layer's input."""
    roots: dict[str, str] = {value: value for value in activations}
    for node in graph.nodes:
        if node.name in placed.integer_nodes and node.inputs[0] in roots:
            roots.update(dict.fromkeys(node.outputs, roots[node.inputs[0]]))
    scales: dict[str, float] = {}
    for name, bits in layers.items():
        if bits.data is None or bits.activation_bits > 8:
            continue
        own = narrower.get((name, bits.data))
        value = roots.get(graph.node(name).inputs[bits.data])
        if own is not None:
            scales[name] = own.scale
        elif value is not None:
            scales[name] = activations[value].scale
    return scales


def _smallest_scale(
    graph: ModelGraph, node: Node, data_scale: float | None, axis: int | None, weight: np.ndarray
) -> np.ndarray | float:
    """Return the least weight scale with which the layer's bias, in units of both scales, fits 32 bits."""
    if data_scale is None or node.op not in ("Conv", "Gemm") or len(node.inputs) < 3:
        return 0.0
    bias = graph.constant(node.inputs[2])
    if bias is None:
        return 0.0
    least: np.ndarray = np.abs(bias.astype(np.float64)).reshape(-1) / (data_scale * _BIAS_LEVELS)
    if axis is None or least.size != weight.shape[axis]:
        return float(least.max(initial=0.0))
    return least


def _batch_size(graph: ModelGraph, values: dict[str, None]) -> int:
    """Return a calibration batch whose observed values take about 256 MB together; 16 where shapes are unknown."""
    per_sample = 0
    for value in values:
        shape = graph.value(value).shape
        if shape is None or not all(isinstance(size, int) for size in shape[1:]):
            return 16
        per_sample += 4 * int(np.prod([size for size in shape[1:] if isinstance(size, int)], dtype=np.int64))
    return int(min(max(_MEMORY_PER_BATCH // max(per_sample, 1), 1), 64))
