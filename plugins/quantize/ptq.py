"""Post-training quantization: ranges from a few hundred samples, no training."""

from __future__ import annotations

from typing import ClassVar

from workbench.api import LayerSettings, MethodResult, ModelGraph, Tools

from .base import Quantization
from .prepared import prepare


class PostTrainingQuantization(Quantization):
    """Symmetric weights per output channel, affine activations per tensor, placed so that the runtime fuses them."""

    id: ClassVar[str] = "quantize.ptq"
    title: ClassVar[str] = "Post-training quantization"
    summary: ClassVar[str] = "Integers for weights and activations, with ranges from calibration samples; no training."
    source: ClassVar[str] = "Jacob et al., 2018; Nagel et al., 2021"

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm, calibrate, round, and insert the quantizers.

        Raises:
            DataError: activations are to be quantized and there is no data, or it leads to NaN.
            CancelledError: tools.cancel was set.
        """
        prepared = prepare(graph, plan, tools, self.parameters, self.id)
        return MethodResult(graph, ("nothing quantized",)) if prepared is None else prepared.result()
