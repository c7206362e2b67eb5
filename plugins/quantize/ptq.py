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
    PaddedShortcut,
    Parameters,
    Placement,
    Stage,
    Tools,
    UnsupportedGraphError,
    WeightQuantization,
    convolve_shortcuts,
    fold_batch_norm,
    fold_constants,
    insert_qdq,
    merge_slices,
    pad_input_channels,
    pad_output_channels,
    store_half,
    upgrade_opset,
)

from .layers import (
    INTEGER_LAYERS,
    LayerBits,
    channel_axis,
    narrow_convolutions,
    narrow_outputs,
    quick_shortcuts,
    requested_bits,
    smallest_scale,
    weight_name,
)
from .placement import QuantizedValues, place
from .weights import quantize_weight

_MEMORY_PER_BATCH = 256_000_000


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
    pad_channels: bool = Field(
        default=True,
        description="Let integer convolutions of fewer than 16 channels read and make zeros as further channels, up to "
        "what the runtime computes fast: exact, and up to twice as fast. The file's multiplications count them.",
    )
    convolve_shortcuts: bool = Field(
        default=True,
        description="Compute padded shortcuts (a strided slice with zeros as further channels) as one integer "
        "convolution where that is faster; exact.",
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
    Parameters: ClassVar[type[Parameters]] = PtqParameters

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured.

        Raises:
            RecipeError: an already quantized graph, half-precision activations, a weight that is not float32, or two
                layers that share a weight and differ in its bits.
        """
        layers, warnings = requested_bits(graph, plan)
        if not any(bits.touched for bits in layers.values()):
            return (*warnings, "No layer has weight_bits or activation_bits below 32: nothing is quantized.")
        slow = [
            name
            for name, bits in layers.items()
            if bits.activation_bits <= 8 and graph.node(name).op not in INTEGER_LAYERS
        ]
        if slow:
            shown = ", ".join(slow[:3]) + (" …" if len(slow) > 3 else "")
            warnings = (
                *warnings,
                f"{len(slow)} layer(s) with quantized activations compute in float, because the runtime has no integer "
                f"kernel for them: {shown}",
            )
        wide = [name for name, bits in layers.items() if bits.activation_bits <= 8 < bits.weight_bits]
        if wide:
            warnings = (
                *warnings,
                f"{len(wide)} layer(s) have quantized activations and float weights ({', '.join(wide[:3])}): the file "
                "keeps them, but ONNX Runtime may round them to 8 bits by itself where the output is quantized too",
            )
        return warnings

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm, calibrate, round, and insert the quantizers.

        Raises:
            DataError: activations are to be quantized and there is no data, or it leads to NaN.
            CancelledError: tools.cancel was set.
        """
        layers, warnings = requested_bits(graph, plan)
        if not any(bits.touched for bits in layers.values()):
            return MethodResult(graph, (*warnings, "nothing quantized"))
        graph = merge_slices(upgrade_opset(fold_batch_norm(fold_constants(graph)), 13))
        # A layer that only reads constants is no more: its result is stored.
        kept = {node.name for node in graph.nodes}
        layers = {name: bits for name, bits in layers.items() if name in kept}
        widened = narrow_outputs(graph, layers) if self.parameters.pad_channels else ()
        graph = pad_output_channels(graph, widened)
        padded = narrow_convolutions(graph, layers) if self.parameters.pad_channels else ()
        graph = pad_input_channels(graph, padded)
        placed = place(graph, layers)
        shortcuts = (
            quick_shortcuts(graph, placed.bits, placed.integer_nodes) if self.parameters.convolve_shortcuts else ()
        )
        if shortcuts:
            graph = convolve_shortcuts(graph, shortcuts)
            layers.update({shortcut.pad: LayerBits(8, 8, 0, 1) for shortcut in shortcuts})
            placed = place(graph, layers)
        calibrators = self._calibrate(graph, placed, tools)
        signed = self.parameters.activation_type == "int8"

        def quantizer(value: str, bits: int) -> ActivationQuantization:
            return ActivationQuantization.from_range(*calibrators[value].range(bits), bits, signed=signed)

        activations = {value: quantizer(value, bits) for value, bits in placed.bits.items()}
        _keep_scales(graph, shortcuts, placed, activations)
        narrower = {place: quantizer(value, bits) for place, (value, bits) in placed.narrower.items()}
        scales = _data_scales(graph, layers, placed, activations, narrower)
        weights = self._round(graph, layers, scales, tools)
        halves = dict.fromkeys(
            weight_name(graph, name, layers) for name, bits in layers.items() if bits.weight_bits == 16
        )
        if halves:
            graph = store_half(graph, tuple(halves))
        quantized = insert_qdq(
            graph, activations, weights, Placement(placed.integer_nodes, placed.float_readers, narrower)
        )
        notes = [*warnings, f"{len(weights)} weights and {len(activations)} activations quantized"]
        constant = [value for value, found in calibrators.items() if found.observed[0] == found.observed[1]]
        if constant:
            notes.append(f"constant on the calibration data: {', '.join(constant[:3])}")
        if padded:
            notes.append(f"input channels padded to a multiple of 4: {', '.join(padded[:3])}")
        if widened:
            notes.append(f"output channels padded to 16: {', '.join(widened[:3])}")
        if shortcuts:
            notes.append(f"{len(shortcuts)} padded shortcuts computed as 1x1 convolutions")
        if halves:
            notes.append(f"{len(halves)} weights stored in half precision; they are computed with in float")
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
            weight = weight_name(graph, name, layers)
            array = graph.constant(weight)
            if array is None or array.dtype != np.float32:
                raise UnsupportedGraphError(
                    f"weight {weight!r} is not a stored float32 tensor",
                    where=name,
                    action="Leave this layer at 32 bits.",
                )
            axis = channel_axis(node, array, bits.weight)
            smallest = smallest_scale(graph, node, data_scales.get(name), axis, array)
            rounded[weight] = quantize_weight(array, axis, bits.weight_bits, rule, smallest_scale=smallest)
            progress.update((index + 1) / len(layers))
        return rounded


def _data_scales(
    graph: ModelGraph,
    layers: dict[str, LayerBits],
    placed: QuantizedValues,
    activations: dict[str, ActivationQuantization],
    narrower: dict[tuple[str, int], ActivationQuantization],
) -> dict[str, float]:
    """Return the scale of every integer layer's input."""
    roots = _roots(graph, placed)
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


def _keep_scales(
    graph: ModelGraph,
    shortcuts: tuple[PaddedShortcut, ...],
    placed: QuantizedValues,
    activations: dict[str, ActivationQuantization],
) -> None:
    """Give what comes out of a convolved shortcut the scale of what goes in: it passes integers through unchanged."""
    roots = _roots(graph, placed)
    for shortcut in shortcuts:
        node = graph.node(shortcut.pad)
        if node.outputs[0] in activations:
            activations[node.outputs[0]] = activations[roots[node.inputs[0]]]


def _roots(graph: ModelGraph, placed: QuantizedValues) -> dict[str, str]:
    """Return integer value → the value whose integers it holds, itself or the one it was moved from."""
    roots = {value: value for value in placed.bits}
    for node in graph.nodes:
        if node.name in placed.integer_nodes and node.inputs[0] in roots:
            roots.update(dict.fromkeys(node.outputs, roots[node.inputs[0]]))
    return roots


def _batch_size(graph: ModelGraph, values: dict[str, None]) -> int:
    """Return a calibration batch whose observed values take about 256 MB together; 16 where shapes are unknown."""
    per_sample = 0
    for value in values:
        shape = graph.value(value).shape
        if shape is None or not all(isinstance(size, int) for size in shape[1:]):
            return 16
        per_sample += 4 * int(np.prod([size for size in shape[1:] if isinstance(size, int)], dtype=np.int64))
    return int(min(max(_MEMORY_PER_BATCH // max(per_sample, 1), 1), 64))
