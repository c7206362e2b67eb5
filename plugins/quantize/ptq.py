"""Post-training quantization: ranges from a few hundred samples, no training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from workbench.api import LayerSettings, MethodResult, ModelGraph, Parameters, RecipeError, Tools

from .base import Quantization
from .bias_correction import correct_biases
from .grids import Grid, Rounding
from .layers import requested_bits
from .parameters import CorrectedParameters
from .prepared import prepare


class PtqParameters(CorrectedParameters):
    """Calibration, rounding and what is corrected afterwards."""

    grid: Grid = Field(
        default="uniform",
        title="Levels of weights",
        description="Spacing of the levels of weights below 8 bits: even; ternary (-1, 0, 1 where weight_bits is 2); "
        "powers of two (to 4 bits); or sums of them, which lie denser near zero (APoT, to 6 bits). All run on the same "
        "integer kernels. Weights of 1 bit are binary whatever it says.",
    )
    power_of_two_scales: bool = Field(
        default=False,
        title="Powers of two as scales",
        description="Let every scale of weights and activations be a power of two, for devices that shift; costs "
        "accuracy and no time here.",
    )

    @property
    def levels(self) -> Rounding:
        """How weights are rounded beyond their range."""
        return Rounding(self.grid, self.power_of_two_scales)


class PostTrainingQuantization(Quantization):
    """Symmetric weights per output channel, affine activations per tensor, placed so that the runtime fuses them."""

    id: ClassVar[str] = "quantize.ptq"
    title: ClassVar[str] = "Post-training quantization"
    summary: ClassVar[str] = "Integers for weights and activations, with ranges from calibration samples; no training."
    source: ClassVar[str] = "Jacob et al., 2018; Nagel et al., 2019 (bias correction), 2021"
    Parameters: ClassVar[type[Parameters]] = PtqParameters
    in_sweeps: ClassVar[Mapping[str, Any]] = {"bias_correction": False}
    least_bits: ClassVar[int] = 1

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured.

        Raises:
            RecipeError: as Quantization.check; weights of more bits than the grid has.
        """
        warnings = super().check(graph, plan)
        layers, _ = requested_bits(graph, plan)
        for name, bits in layers.items():
            reason = self.parameters.levels.refusal(bits.weight_bits)
            if reason is not None:
                raise RecipeError(
                    f"weight_bits is {bits.weight_bits} with grid {self.parameters.grid}, but {reason}",
                    where=name,
                    action="Take fewer bits or another grid.",
                )
        if self.parameters.grid == "ternary" and all(bits.weight_bits != 2 for bits in layers.values()):
            warnings = (*warnings, "grid ternary is for layers with weight_bits 2, and there are none: all are uniform")
        return warnings

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm, calibrate, round, and insert the quantizers.

        Raises:
            DataError: activations are to be quantized and there is no data, or it leads to NaN.
            CancelledError: tools.cancel was set.
        """
        correct = self.parameters.bias_correction
        first = tools.progress.part(0.0, 0.6, "quantization") if correct else None
        prepared = prepare(graph, plan, tools, self.parameters, self.id, first, self.parameters.levels)
        if prepared is None:
            return MethodResult(graph, ("nothing quantized",))
        if correct:
            rest = tools.progress.part(0.6, 1.0, "bias correction")
            prepared = correct_biases(prepared, tools, self.parameters.calibration_samples, rest)
        return prepared.result()
