"""What all methods that quantize by the plan's bits have in common: their knobs, and what is refused before a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from workbench.api import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    Knob,
    LayerSettings,
    Method,
    ModelGraph,
    Parameters,
    RecipeError,
    Setting,
    Stage,
    Tools,
)

from .layers import INTEGER_LAYERS, LayerBits, requested_bits, some, takes_zero_points
from .parameters import QuantizationParameters
from .prepared import prepare


class Quantization(Method):
    """Symmetric weights per output channel, affine activations per tensor, placed so that the runtime fuses them."""

    stage: ClassVar[Stage] = Stage.QUANTIZE
    knobs: ClassVar[tuple[Knob, ...]] = (WEIGHT_BITS, ACTIVATION_BITS)
    needs_data: ClassVar[bool] = True
    within_16_bits: ClassVar[tuple[Mapping[str, Any], ...]] = ({"reduce_range": True}, {"activation_type": "int8"})
    Parameters: ClassVar[type[Parameters]] = QuantizationParameters
    # Binary weights and activations need a rule of their own, which not every method has.
    least_bits: ClassVar[int] = 2

    @classmethod
    def refused(cls, knob: Knob) -> Mapping[Setting, str]:
        """Return the bits that this method does not know; half precision is for weights alone."""
        found: dict[Setting, str] = {
            bits: f"{cls.title} needs {cls.least_bits} bits or more"
            for bits in knob.choices
            if isinstance(bits, int) and bits < cls.least_bits
        }
        if knob == ACTIVATION_BITS:
            found[16] = "The runtime has no half-precision kernels on this device"
        return found

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured.

        Raises:
            RecipeError: an already quantized graph, half-precision activations, fewer bits than this method knows, a
                weight that is not float32, or two layers that share a weight and differ in its bits.
        """
        layers, warnings = requested_bits(graph, plan)
        for name, bits in layers.items():
            self._refuse_fewer(name, WEIGHT_BITS, bits.weight_bits)
            self._refuse_fewer(name, ACTIVATION_BITS, bits.activation_bits)
        if not any(bits.touched for bits in layers.values()):
            return (*warnings, "No layer has weight_bits or activation_bits below 32: nothing is quantized.")
        slow = [
            name
            for name, bits in layers.items()
            if bits.activation_bits <= 8 and graph.node(name).op not in INTEGER_LAYERS
        ]
        if slow:
            warnings = (
                *warnings,
                f"{len(slow)} layer(s) with quantized activations compute in float, because the runtime has no integer "
                f"kernel for them: {some(slow)}",
            )
        if self.parameters.weight_scheme == "affine":
            warnings = (*warnings, *self._of_zero_points(graph, layers))
        wide = [name for name, bits in layers.items() if bits.activation_bits <= 8 < bits.weight_bits]
        if wide:
            warnings = (
                *warnings,
                f"{len(wide)} layer(s) have quantized activations and float weights ({some(wide)}): the file "
                "keeps them, but ONNX Runtime may round them to 8 bits by itself where the output is quantized too",
            )
        return warnings

    def _of_zero_points(self, graph: ModelGraph, layers: Mapping[str, LayerBits]) -> tuple[str, ...]:
        """Return what affine weights cost.

        Raises:
            RecipeError: levels or scales of this kind have no zero point.
        """
        levels = self.parameters.levels
        if levels.grid != "uniform" or levels.power_of_two_scales:
            kind = "powers of two as scales" if levels.grid == "uniform" else f"grid {levels.grid}"
            raise RecipeError(
                f"weight_scheme is affine, but {kind} has levels about zero",
                where=self.id,
                action="Take the scheme symmetric, or evenly spaced levels with scales of any size.",
            )
        rounded = [name for name, bits in layers.items() if 1 < bits.weight_bits <= 8]
        still = [name for name in rounded if not takes_zero_points(graph, name)]
        convolutions = [name for name in rounded if graph.node(name).op == "Conv" and name not in still]
        found = []
        if still:
            found.append(
                f"{len(still)} depthwise convolution(s) keep symmetric weights ({some(still)}): zero points would make "
                "them many times slower"
            )
        if convolutions:
            found.append(
                f"{len(convolutions)} convolution(s) get weights with zero points, for which the runtime has slower "
                "integer kernels: look at the prediction before the run, or take weight_scheme symmetric"
            )
        return tuple(found)

    def saturating(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Return the layers with unsigned data and weights of 8 bits: fewer of either stay within."""
        if self.parameters.reduce_range or self.parameters.activation_type == "int8":
            return ()
        return tuple(
            name
            for name, bits in requested_bits(graph, plan)[0].items()
            if bits.weight_bits == bits.activation_bits == 8 and graph.node(name).op in INTEGER_LAYERS
        )

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return the file that one made-up sample and the nearest levels lead to: the same nodes and number formats.

        Raises:
            RecipeError: as requested_bits.
            DataError: made-up values lead to NaN.
        """
        chosen = self.parameters
        prepared = prepare(graph, plan, tools, chosen.quick(), self.id, rounding=chosen.levels)
        return graph if prepared is None else prepared.result().graph

    def _refuse_fewer(self, layer: str, knob: Knob, bits: int) -> None:
        if bits < self.least_bits:
            raise RecipeError(
                f"{knob.name} is {bits}, which {self.id} can't do",
                where=layer,
                expected=f"{self.least_bits} or more",
                action="Take more bits, or quantize.ptq.",
            )
