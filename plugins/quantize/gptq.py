"""Post-training quantization whose weights are rounded by what rounding does to their layer's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from workbench.api import LayerSettings, MethodResult, ModelGraph, Parameters, Tools

from .base import Quantization
from .bias_correction import correct_biases
from .parameters import CorrectedParameters
from .prepared import prepare
from .turn_rounding import TurnParameters, round_in_turn


class GptqParameters(CorrectedParameters, TurnParameters):
    """Calibration, and how weights are rounded in turn."""


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
    in_sweeps: ClassVar[Mapping[str, Any]] = {"bias_correction": False}

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
        part = tools.progress.part(0.3, 0.6 if correct else 1.0, "rounding")
        prepared = round_in_turn(prepared, tools, self.parameters, self.parameters.calibration_samples, self.id, part)
        if correct:
            rest = tools.progress.part(0.6, 1.0, "bias correction")
            prepared = correct_biases(prepared, tools, self.parameters.calibration_samples, rest)
        return prepared.result()
