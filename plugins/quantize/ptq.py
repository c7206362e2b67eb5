"""Post-training quantization: ranges from a few hundred samples, no training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from workbench.api import LayerSettings, MethodResult, ModelGraph, Parameters, Tools

from .base import Quantization
from .bias_correction import correct_biases
from .parameters import QuantizationParameters
from .prepared import prepare


class PtqParameters(QuantizationParameters):
    """Calibration, rounding and what is corrected afterwards."""

    bias_correction: bool = Field(
        default=False,
        title="Bias correction",
        description="Take the mean error of every layer's outputs on the calibration samples out of its bias, layer by "
        "layer; gains most below 8 bits. Takes a pass over the samples for each layer in the depth.",
    )


class PostTrainingQuantization(Quantization):
    """Symmetric weights per output channel, affine activations per tensor, placed so that the runtime fuses them."""

    id: ClassVar[str] = "quantize.ptq"
    title: ClassVar[str] = "Post-training quantization"
    summary: ClassVar[str] = "Integers for weights and activations, with ranges from calibration samples; no training."
    source: ClassVar[str] = "Jacob et al., 2018; Nagel et al., 2019 (bias correction), 2021"
    Parameters: ClassVar[type[Parameters]] = PtqParameters

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm, calibrate, round, and insert the quantizers.

        Raises:
            DataError: activations are to be quantized and there is no data, or it leads to NaN.
            CancelledError: tools.cancel was set.
        """
        correct = self.parameters.bias_correction
        first = tools.progress.part(0.0, 0.3, "quantization") if correct else None
        prepared = prepare(graph, plan, tools, self.parameters, self.id, first)
        if prepared is None:
            return MethodResult(graph, ("nothing quantized",))
        if correct:
            rest = tools.progress.part(0.3, 1.0, "bias correction")
            prepared = correct_biases(prepared, tools, self.parameters.calibration_samples, self.id, rest)
        return prepared.result()
