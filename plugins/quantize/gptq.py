"""Post-training quantization whose weights are rounded by what rounding does to their layer's outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from workbench.api import LayerSettings, MethodResult, ModelGraph, Parameters, Tools, WeightQuantization, weight_levels

from .base import Quantization
from .bias_correction import correct_biases
from .inputs import Read, output_error, read_weights, second_moments
from .parameters import CorrectedParameters
from .prepared import Prepared, prepare
from .second_order import Levels, rounded_in_turn


class GptqParameters(CorrectedParameters):
    """Calibration, and how weights are rounded in turn."""

    damping: float = Field(
        default=0.01,
        gt=0,
        le=1,
        title="Damping",
        description="Share of the mean second moment that is added to each, so that rare inputs are not overrated.",
    )
    activation_order: bool = Field(
        default=True,
        title="Order by activations",
        description="Round the weights that read most first, so that most others are left to make up for them.",
    )


class Gptq(Quantization):
    """Rounds each column of a weight given those before it; what rounding costs, the columns after it make up for.

    Ranges are those of post-training quantization. What a convolution reads is unfolded into patches. Layers that are
    no product of a stored weight with activations (embeddings) are rounded to the nearest level.
    """

    id: ClassVar[str] = "quantize.gptq"
    title: ClassVar[str] = "Rounding in turn (GPTQ)"
    summary: ClassVar[str] = "Integers whose rounding errors make up for each other in the layer's output; no training."
    source: ClassVar[str] = "Frantar et al., 2023, GPTQ; Hassibi & Stork, 1993, Optimal Brain Surgeon"
    Parameters: ClassVar[type[Parameters]] = GptqParameters

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Calibrate, round in turn, insert the quantizers.

        Raises:
            DataError: there is no data, or it leads to values that are not finite.
            CancelledError: tools.cancel was set.
        """
        correct = self.parameters.bias_correction
        prepared = prepare(graph, plan, tools, self.parameters, self.id, tools.progress.part(0.0, 0.3, "calibration"))
        if prepared is None:
            return MethodResult(graph, ("nothing quantized",))
        prepared = self._rounded(prepared, tools, 0.6 if correct else 1.0)
        if correct:
            rest = tools.progress.part(0.6, 1.0, "bias correction")
            prepared = correct_biases(prepared, tools, self.parameters.calibration_samples, rest)
        return prepared.result()

    def _rounded(self, prepared: Prepared, tools: Tools, end: float) -> Prepared:
        names = [name for name, bits in prepared.layers.items() if bits.weight_bits <= 8]
        weights, left = read_weights(prepared.graph, names)
        rounded = dict(prepared.weights)
        errors: dict[str, dict[str, float]] = {}

        def take(each: Read, second: np.ndarray) -> None:
            before = prepared.weights[each.weight]
            array = prepared.graph.constant(each.weight)
            assert array is not None, each.weight
            integers, error = self._in_turn(each, array, before, second, tools)
            rounded[each.weight] = replace(before, integers=integers)
            errors[each.nodes[0].name] = error

        samples = self.parameters.calibration_samples
        progress = tools.progress.part(0.3, end, "rounding")
        second_moments(prepared.graph, weights, tools, samples, self.id, progress, take)
        notes = [*prepared.notes, f"{len(errors)} weights rounded in turn"]
        if left:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left.items())[:3])
            notes.append(f"{len(left)} rounded to the nearest level ({reasons})")
        details: dict[str, Any] = {**(prepared.details or {}), "output_error": errors}
        return replace(prepared, weights=rounded, notes=tuple(notes), details=details)

    def _in_turn(
        self, each: Read, array: np.ndarray, before: WeightQuantization, second: np.ndarray, tools: Tools
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Return new integers, and the output's relative error in root mean square before and after."""
        layout = each.layout
        scales = layout.matrices(np.broadcast_to(before.spread(), array.shape)).astype(np.float64)
        weight = layout.matrices(array).astype(np.float64)
        nearest = layout.matrices(before.integers).astype(np.float64)
        lowest, highest = weight_levels(before.bits)
        integers = np.empty_like(weight)
        lost = np.zeros(2)
        total = 0.0
        for group in range(layout.groups):
            levels = Levels(scales[group], np.zeros_like(scales[group]), lowest, highest)
            found = rounded_in_turn(
                weight[group],
                second[group],
                levels,
                self.parameters.damping,
                self.parameters.activation_order,
                tools.cancel.raise_if_cancelled,
            )
            errors = [output_error(levels.values(q) - weight[group], second[group]) for q in (nearest[group], found)]
            # Few samples or a grid that clips can make it worse; then the nearest levels stay.
            better = errors[1] < errors[0]
            integers[group] = found if better else nearest[group]
            lost += (errors[0], min(errors))
            total += output_error(weight[group], second[group])
        before_error, after_error = np.sqrt(lost / total) if total > 0 else (0.0, 0.0)
        figures = {"nearest": round(float(before_error), 6), "in_turn": round(float(after_error), 6)}
        return layout.stored(integers).astype(np.int8), figures
