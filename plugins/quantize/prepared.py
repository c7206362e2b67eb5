"""A float graph that is ready to be quantized, and how: what calibration finds and what training may improve.

The steps from a plan to the deployed file are the same for all methods: fold and pad, decide which values become
integers, calibrate, round, insert the quantizers. `prepare` goes as far as possible without changing a function by
rounding; `Prepared.deployed` does the rest. What lies between (reconstruction, training) replaces the weights, the
integers or the ranges of a `Prepared`, so that every method exports through one door.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.api import (
    ActivationQuantization,
    Calibrator,
    HalfType,
    InputWatch,
    LayerSettings,
    MethodResult,
    ModelGraph,
    Narrow,
    Placement,
    Progress,
    Tools,
    UnsupportedGraphError,
    WeightQuantization,
    convolve_shortcuts,
    fold_batch_norm,
    fold_constants,
    insert_qdq,
    merge_slices,
    needed_data,
    observe_samples,
    pad_input_channels,
    pad_output_channels,
    store_half,
    store_narrow,
    upgrade_opset,
    watched,
)

from .grids import Rounding
from .layers import (
    LayerBits,
    channel_axis,
    narrow_convolutions,
    narrow_outputs,
    quick_shortcuts,
    refuse_not_finite,
    requested_bits,
    smallest_scale,
    weight_names,
)
from .parameters import QuantizationParameters
from .placement import QuantizedValues, place
from .storage import usable_bits

_MEMORY_PER_BATCH = 256_000_000


@dataclass(frozen=True)
class Prepared:
    """What is to be deployed.

    Attributes:
        graph: In float, folded and padded; names of values, nodes and initializers are those of the deployed file.
        layers: What the plan asks of each layer, by node name.
        activations: Quantizer by value name.
        weights: Integers and scales by initializer name.
        placement: What runs on integers and who reads what.
        halves: Initializers that are stored in half precision.
        notes: What was done, in words.
        details: Figures for the report.
        half_type: Element type of `halves`.
        narrow: Bits below 8 that weights are stored in where they fit; () keeps them in int8.
    """

    graph: ModelGraph
    layers: Mapping[str, LayerBits]
    activations: Mapping[str, ActivationQuantization]
    weights: Mapping[str, WeightQuantization]
    placement: Placement
    halves: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None
    half_type: HalfType = "float16"
    narrow: tuple[int, ...] = ()

    def deployed(self) -> ModelGraph:
        """Return the graph that is exported."""
        return self._stored().graph

    def _stored(self) -> Narrow:
        graph = store_half(self.graph, self.halves, self.half_type) if self.halves else self.graph
        quantized = insert_qdq(graph, self.activations, self.weights, self.placement)
        return store_narrow(quantized, self.narrow) if self.narrow else Narrow(quantized)

    def result(self) -> MethodResult:
        """Return the deployed graph with what is to be said of it."""
        stored = self._stored()
        return MethodResult(stored.graph, (*self.notes, *stored.notes), dict(self.details or {}))


def prepare(
    graph: ModelGraph,
    plan: LayerSettings,
    tools: Tools,
    parameters: QuantizationParameters,
    method: str,
    progress: Progress | None = None,
    rounding: Rounding | None = None,
    held: Mapping[str, LayerBits] | None = None,
) -> Prepared | None:
    """Fold batch norm, calibrate, round; None where the plan quantizes nothing.

    Args:
        graph: The float model.
        plan: Bits of every layer.
        tools: Of the run.
        parameters: Of the method.
        method: Its id, for messages.
        progress: Of this part of the method; the step's whole if None.
        rounding: Levels of the weights and kind of the scales; evenly spaced and any, if None.
        held: Shortcuts that an earlier call made convolutions of, which the plan does not know.

    Raises:
        RecipeError: as requested_bits.
        UnsupportedGraphError: a weight is not finite.
        DataError: activations are to be quantized and there is no data, or it leads to NaN.
        CancelledError: tools.cancel was set.
    """
    progress, rounding = progress or tools.progress, rounding or Rounding()
    layers, warnings = requested_bits(graph, plan)
    if not any(bits.touched for bits in layers.values()):
        return None
    layers.update(held or {})
    refuse_not_finite(graph, layers)
    graph = merge_slices(upgrade_opset(fold_batch_norm(fold_constants(graph)), 13))
    # A layer that only reads constants is no more: its result is stored.
    kept = {node.name for node in graph.nodes}
    layers = {name: bits for name, bits in layers.items() if name in kept}
    widened = narrow_outputs(graph, layers) if parameters.pad_channels else ()
    graph = pad_output_channels(graph, widened)
    padded = narrow_convolutions(graph, layers) if parameters.pad_channels else ()
    graph = pad_input_channels(graph, padded)
    placed = place(graph, layers, integer_resize=parameters.linear_resize == "integer")
    shortcuts = quick_shortcuts(graph, placed.bits, placed.integer_nodes) if parameters.convolve_shortcuts else ()
    if shortcuts:
        graph = convolve_shortcuts(graph, shortcuts)
        layers.update({shortcut.pad: LayerBits(8, 8, 0, 1) for shortcut in shortcuts})
        placed = place(graph, layers, integer_resize=parameters.linear_resize == "integer")
    watches = watched(graph.inputs)
    calibrators = _calibrated(graph, watches, placed, tools, parameters, method, progress.part(0.0, 0.8, "calibration"))
    signed = parameters.activation_type == "int8"

    def quantizer(value: str, bits: int) -> ActivationQuantization:
        reach = parameters.reach(*calibrators[value].range(bits), bits)
        return ActivationQuantization.from_range(*reach, bits, signed=signed, power_of_two=rounding.power_of_two_scales)

    activations = {value: quantizer(value, bits) for value, bits in placed.bits.items()}
    _keep_scales(graph, (*(held or ()), *(shortcut.pad for shortcut in shortcuts)), placed, activations)
    narrower = {place: quantizer(value, bits) for place, (value, bits) in placed.narrower.items()}
    scales = _data_scales(graph, layers, placed, activations, narrower)
    plain = {*(held or ()), *(shortcut.pad for shortcut in shortcuts)}
    part = progress.part(0.8, 1.0, "weights")
    weights = _rounded(graph, layers, scales, tools, parameters, rounding, part, plain)
    sixteen = [name for name, bits in layers.items() if bits.weight_bits == 16]
    halves = dict.fromkeys(weight for name in sixteen for weight in weight_names(graph, name, layers))
    seen = [note for watch in watches.values() for note in watch.notes()]
    for note in seen:
        tools.log(note)
    notes = [*warnings, *seen, f"{len(weights)} weights and {len(activations)} activations quantized"]
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
    narrow, unread = usable_bits(tools.inference) if parameters.storage == "small" else ((), ())
    return Prepared(
        graph,
        layers,
        activations,
        weights,
        Placement(placed.integer_nodes, placed.float_readers, narrower),
        tuple(halves),
        (*notes, *unread),
        {"ranges": {value: list(calibrators[value].range(bits)) for value, bits in placed.bits.items()}},
        half_type=parameters.half_type,
        narrow=narrow,
    )


def _calibrated(
    graph: ModelGraph,
    watches: Mapping[str, InputWatch],
    placed: QuantizedValues,
    tools: Tools,
    parameters: QuantizationParameters,
    method: str,
    progress: Progress,
) -> dict[str, Calibrator]:
    values = dict.fromkeys([*placed.bits, *(value for value, _ in placed.narrower.values())])
    calibrators = {value: parameters.calibrator_of(value) for value in values}
    if calibrators:
        observe_samples(
            graph,
            (*calibrators.items(), *watches.items()),
            needed_data(tools, method, "set activation_bits to 32 to quantize weights only"),
            tools,
            parameters.calibration_samples,
            batch_size=samples_per_batch(graph, values),
            progress=progress,
        )
    return calibrators


def _rounded(
    graph: ModelGraph,
    layers: Mapping[str, LayerBits],
    data_scales: Mapping[str, float],
    tools: Tools,
    parameters: QuantizationParameters,
    rounding: Rounding,
    progress: Progress,
    symmetric: Collection[str],
) -> dict[str, WeightQuantization]:
    rounded: dict[str, WeightQuantization] = {}
    for index, (name, bits) in enumerate(layers.items()):
        tools.cancel.raise_if_cancelled()
        progress.update(index / len(layers))
        if bits.weight_bits > 8:
            continue
        node = graph.node(name)
        rule = parameters.weight_range
        if rule == "auto":
            rule = "minmax" if bits.weight_bits == 8 else "mse"
        width = min(bits.weight_bits, 7) if parameters.reduce_range else bits.weight_bits
        affine = name not in symmetric and parameters.with_zero_points(graph, name)
        for weight in weight_names(graph, name, layers):
            array = graph.constant(weight)
            if array is None or array.dtype != np.float32:
                raise UnsupportedGraphError(
                    f"weight {weight!r} is not a stored float32 tensor",
                    where=name,
                    action="Leave this layer at 32 bits.",
                )
            axis = channel_axis(node, array, bits.weight) if parameters.weight_scales == "channel" else None
            smallest = smallest_scale(graph, node, data_scales.get(name), axis, array)
            rounded[weight] = rounding.quantized(array, axis, width, rule, smallest_scale=smallest, affine=affine)
    progress.update(1.0)
    return rounded


def _data_scales(
    graph: ModelGraph,
    layers: Mapping[str, LayerBits],
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
    shortcuts: Iterable[str],
    placed: QuantizedValues,
    activations: dict[str, ActivationQuantization],
) -> None:
    """Give what comes out of a convolved shortcut the scale of what goes in: it passes integers through unchanged."""
    roots = _roots(graph, placed)
    for name in shortcuts:
        node = graph.node(name)
        if node.outputs[0] in activations:
            activations[node.outputs[0]] = activations[roots[node.inputs[0]]]


def _roots(graph: ModelGraph, placed: QuantizedValues) -> dict[str, str]:
    """Return integer value → the value whose integers it holds, itself or the one it was moved from."""
    roots = {value: value for value in placed.bits}
    for node in graph.nodes:
        if node.name in placed.integer_nodes and node.inputs[0] in roots:
            roots.update(dict.fromkeys(node.outputs, roots[node.inputs[0]]))
    return roots


def samples_per_batch(graph: ModelGraph, values: Iterable[str]) -> int:
    """Return a calibration batch whose observed values take about 256 MB together; 16 where shapes are unknown."""
    per_sample = 0
    for value in values:
        shape = graph.value(value).shape
        if shape is None or not all(isinstance(size, int) for size in shape[1:]):
            return 16
        per_sample += 4 * int(np.prod([size for size in shape[1:] if isinstance(size, int)], dtype=np.int64))
    return int(min(max(_MEMORY_PER_BATCH // max(per_sample, 1), 1), 64))
