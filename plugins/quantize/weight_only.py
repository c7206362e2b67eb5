"""Weight-only quantization: weights in few bits, activations in float; for models whose size is their time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.api import (
    WEIGHT_BITS,
    BlockQuantization,
    Knob,
    LayerReport,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Origin,
    Parameters,
    RecipeError,
    Requirement,
    Setting,
    Stage,
    Tools,
    WeightQuantization,
    fold_batch_norm,
    fold_constants,
    insert_qdq,
    layer_nodes,
    store_blocks,
    store_half,
    store_narrow,
    upgrade_opset,
    why_not_blocks,
)

from .awq import scaled_inputs
from .blocks import BlockGrid, block_grid
from .inputs import Read, output_error, read_weights, second_moments
from .layers import channel_axis, refuse_other_bits, refuse_quantized, some
from .second_order import rounded_in_turn
from .storage import usable_bits
from .weights import quantize_weight

_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_LEAST_BLOCK = 16
_SMALL = 65_536
_SLOW_FLOAT = (
    "onnxruntime 1.31 unpacks weights of 2 and 8 bits whole at every run when it computes in float, which took up "
    "to 300 times as long as the float model; arithmetic int8, or 4 bits, is fast"
)
_DEQUANTIZED = "their weights are read through DequantizeLinear, which the runtime computes at every run"


class WeightOnlyParameters(Parameters):
    """How weights are rounded, and how the runtime computes with them."""

    block_size: Literal[16, 32, 64, 128, 256] = Field(
        default=32,
        title="Block size",
        description="Consecutive inputs of one output that share a scale: fewer are more accurate and larger (a scale "
        "takes 32 bits).",
        json_schema_extra={"unit": "weights"},
    )
    symmetric: bool = Field(
        default=True,
        title="Symmetric",
        description="One zero point for all weights instead of one a block, which helps most below 4 bits.",
    )
    weight_range: Literal["minmax", "mse"] = Field(
        default="mse",
        title="Weight range",
        description="Range of each block: all its weights, or what makes the least squared error; where samples are "
        "looked at, errors count by what their inputs are.",
    )
    rounding: Literal["nearest", "gptq"] = Field(
        default="nearest",
        title="Rounding",
        description="To the nearest level, or in turn so that errors make up for each other in the layer's output "
        "(GPTQ), which needs samples.",
    )
    scaling: Literal["none", "awq"] = Field(
        default="none",
        title="Scaling of inputs",
        description="Scale what layers read, where it is made, so that weights of large activations lose least (AWQ), "
        "which needs samples; the function stays the same.",
    )
    arithmetic: Literal["int8", "float"] = Field(
        default="int8",
        title="Arithmetic",
        description="int8 lets the runtime round each row of the data to 8 bits a block and multiply integers, which "
        "is fast for all bits; float is exact, and fast for 4 bits only.",
    )
    calibration_samples: int = Field(
        default=256,
        ge=1,
        le=100_000,
        title="Calibration samples",
        description="Training samples for GPTQ and AWQ.",
        json_schema_extra={"unit": "samples"},
    )
    damping: float = Field(
        default=0.01,
        gt=0,
        le=1,
        title="Damping",
        description="Of GPTQ: share of the mean second moment that is added to each.",
    )
    activation_order: bool = Field(
        default=True,
        title="Order by activations",
        description="Of GPTQ: round the weights that read most first.",
    )


@dataclass(frozen=True)
class _Chosen:
    """Layers by what becomes of them: packed blocks, DequantizeLinear, half precision; and what to say."""

    packed: Mapping[str, int]
    dequantized: Mapping[str, int]
    halves: tuple[str, ...]
    notes: tuple[str, ...]


class WeightOnly(Method):
    """Stores weights in few bits and leaves activations in float.

    A MatMul or Gemm becomes com.microsoft's MatMulNBits with a scale a block; convolutions get one a channel.
    """

    id: ClassVar[str] = "quantize.weight_only"
    title: ClassVar[str] = "Weight-only quantization"
    summary: ClassVar[str] = "Packed weights of 2 to 8 bits for matrix products; activations stay in float."
    source: ClassVar[str] = "Frantar et al., 2023 (GPTQ); Lin et al., 2024 (AWQ)"
    stage: ClassVar[Stage] = Stage.QUANTIZE
    knobs: ClassVar[tuple[Knob, ...]] = (WEIGHT_BITS,)
    Parameters: ClassVar[type[Parameters]] = WeightOnlyParameters

    @classmethod
    def blocked(cls, knob: Knob, layer: LayerReport) -> str | None:
        """Return why a layer's weight is left alone, or None."""
        if layer.op == "Gather":
            return "an embedding would be dequantized whole at every run; quantize.ptq stores it so all the same"
        if layer.op not in _OPERATORS:
            return f"the runtime has no {layer.op} with packed weights; quantize.ptq stores them in fewer bits"
        return None

    @classmethod
    def refused(cls, knob: Knob) -> Mapping[Setting, str]:
        """Return that no packed weight has one bit."""
        return {1: "No packed weight has 1 bit; quantize.ptq makes binary weights"}

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Samples for GPTQ and AWQ."""
        return frozenset({Requirement.DATA}) if self._needs_samples else frozenset()

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured.

        Raises:
            RecipeError: an already quantized graph, one bit, a weight that is not float32 or shared at other bits.
        """
        graph = fold_constants(graph)
        chosen = self._chosen(graph, plan)
        notes = list(chosen.notes)
        if not chosen.packed and not chosen.dequantized and not chosen.halves:
            return (*notes, "No layer has weight_bits below 32 that can be quantized: nothing changes.")
        if self.parameters.arithmetic == "float" and any(bits not in (3, 4) for bits in chosen.packed.values()):
            notes.append(_SLOW_FLOAT)
        small = [name for name in chosen.packed if _elements(graph, name) < _SMALL]
        if small:
            notes.append(
                f"{len(small)} weights hold fewer than {_SMALL:,} numbers ({some(small)}): packed they are smaller, "
                "but take longer than in float here"
            )
        if chosen.dequantized:
            shown = some(tuple(chosen.dequantized))
            notes.append(f"{len(chosen.dequantized)} layers are no plain matrix products ({shown}): {_DEQUANTIZED}")
        return tuple(notes)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph with packed weights.

        Raises:
            RecipeError: as check.
            DataError: samples are needed and missing, or lead to values that are not finite.
            CancelledError: tools.cancel was set.
        """
        graph = fold_batch_norm(fold_constants(graph))
        chosen = self._chosen(graph, plan)
        if not chosen.packed and not chosen.dequantized and not chosen.halves:
            return MethodResult(graph, ("nothing quantized",))
        graph, weights, figures, notes = self._packed(graph, chosen.packed, tools)
        if weights:
            graph = store_blocks(graph, weights, integer_arithmetic=self.parameters.arithmetic == "int8")
        if chosen.halves:
            graph = store_half(graph, tuple(dict.fromkeys(graph.node(name).inputs[1] for name in chosen.halves)))
        if chosen.dequantized:
            graph = insert_qdq(upgrade_opset(graph, 13), {}, self._per_channel(graph, chosen.dequantized))
            usable, unread = usable_bits(tools.inference)
            narrow = store_narrow(graph, usable)
            graph, notes = narrow.graph, (*notes, *unread)
        tools.progress.update(1.0)
        words = []
        if weights:
            words.append(f"{len(weights)} weights packed in blocks of {self.parameters.block_size}")
        if chosen.dequantized:
            words.append(f"{len(chosen.dequantized)} weights with a scale a channel")
        if chosen.halves:
            words.append(f"{len(chosen.halves)} weights in half precision")
        return MethodResult(graph, ("; ".join(words), *chosen.notes, *notes), {"output_error": figures})

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph:
        """Return the file with the nearest levels, which need no samples.

        Raises:
            RecipeError: as check.
        """
        quick = {"rounding": "nearest", "scaling": "none", "weight_range": "minmax"}
        return WeightOnly(self.parameters.model_copy(update=quick)).apply(graph, plan, tools).graph

    @property
    def _needs_samples(self) -> bool:
        return bool(self.parameters.rounding == "gptq" or self.parameters.scaling == "awq")

    def _chosen(self, graph: ModelGraph, plan: LayerSettings) -> _Chosen:
        refuse_quantized(graph)
        packed: dict[str, int] = {}
        dequantized: dict[str, int] = {}
        halves: list[str] = []
        left: list[str] = []
        owners: dict[str, tuple[str, int]] = {}
        for node, weight in layer_nodes(graph):
            bits = int(plan.number(node.name, WEIGHT_BITS)) if node.name in plan else int(WEIGHT_BITS.untouched)
            if bits == WEIGHT_BITS.untouched:
                continue
            named = plan.origin(node.name, WEIGHT_BITS) == Origin.LINE
            if bits == 1:
                raise RecipeError(
                    "weight_bits is 1, which no packed weight has",
                    where=node.name,
                    expected="2 to 8, or 16",
                    action="Use quantize.ptq for binary weights, or take 2 bits.",
                )
            reason = None
            if node.op == "Gather":
                reason = "an embedding would be dequantized whole at every run"
            elif node.op not in _OPERATORS:
                reason = f"the runtime has no {node.op} with packed weights"
            elif weight.dtype != "float32":
                reason = f"its weight is stored as {weight.dtype}"
            elif node.inputs[1] != weight.name:
                reason = "its weight is not a stored constant on the right-hand side"
            if reason is not None:
                if named:
                    raise RecipeError(
                        f"weight_bits is {bits}, but {reason}", where=node.name, action="Leave this layer at 32 bits."
                    )
                left.append(f"{node.name} ({reason})")
                continue
            refuse_other_bits(owners, node, weight.name, bits)
            if bits == 16:
                halves.append(node.name)
            elif why_not_blocks(graph, node) is None:
                packed[node.name] = bits
            else:
                dequantized[node.name] = bits
        notes = (f"{len(left)} layers stay as they are: {some(left)}",) if left else ()
        return _Chosen(packed, dequantized, tuple(halves), notes)

    def _packed(
        self, graph: ModelGraph, layers: Mapping[str, int], tools: Tools
    ) -> tuple[ModelGraph, dict[str, BlockQuantization], dict[str, Any], tuple[str, ...]]:
        """Return the graph (scaled), packed weights by layer, output errors by layer, and notes."""
        if not layers:
            return graph, {}, {}, ()
        reads, _ = read_weights(graph, list(layers))
        bits = {each.weight: layers[each.nodes[0].name] for each in reads.values()}
        # Layers whose second moments would not fit are rounded to the nearest level.
        for name in layers:
            node = graph.node(name)
            bits.setdefault(node.inputs[1], layers[name])
        seconds: dict[str, np.ndarray] = {}
        notes: tuple[str, ...] = ()
        if self._needs_samples:
            part = tools.progress.part(0.0, 0.5)

            def keep(each: Read, second: np.ndarray) -> None:
                seconds[each.weight] = second[0]

            second_moments(graph, reads, tools, self.parameters.calibration_samples, self.id, part, keep)
        if self.parameters.scaling == "awq":

            def plainly(name: str, weight: np.ndarray) -> np.ndarray:
                levels = self._grid(weight, bits[name], "minmax").levels(weight.shape[1])
                return levels.values(levels.nearest(weight))

            scaled = scaled_inputs(graph, reads, seconds, plainly, tools)
            graph, notes = scaled.graph, scaled.notes
            for name, factor in scaled.factors.items():
                seconds[name] = seconds[name] / np.outer(factor, factor)
        made: dict[str, BlockQuantization] = {}
        figures: dict[str, Any] = {}
        rest = tools.progress.part(0.5 if self._needs_samples else 0.0, 0.95, "rounding")
        for number, name in enumerate(layers):
            tools.cancel.raise_if_cancelled()
            node = graph.node(name)
            weight_name = node.inputs[1]
            if weight_name not in made:
                array = graph.constant(weight_name)
                assert array is not None, weight_name
                # (out, in), as the operator multiplies.
                weight = array.astype(np.float64)
                weight = weight if node.op == "Gemm" and node.attribute("transB", 0) else weight.T
                made[weight_name], figure = self._rounded(weight, bits[weight_name], seconds.get(weight_name), tools)
                if figure is not None:
                    figures[name] = figure
            rest.update((number + 1) / len(layers))
        return graph, {name: made[graph.node(name).inputs[1]] for name in layers}, figures, notes

    def _grid(
        self, weight: np.ndarray, bits: int, rule: Literal["minmax", "mse"], second: np.ndarray | None = None
    ) -> BlockGrid:
        importance = None if second is None else np.diag(second)
        # A block wider than the weight would only be padded.
        block = min(self.parameters.block_size, max(_LEAST_BLOCK, 1 << (weight.shape[1] - 1).bit_length()))
        return block_grid(weight, bits, block, symmetric=self.parameters.symmetric, rule=rule, importance=importance)

    def _rounded(
        self, weight: np.ndarray, bits: int, second: np.ndarray | None, tools: Tools
    ) -> tuple[BlockQuantization, dict[str, float] | None]:
        """Return the packed weight, and the relative error of its outputs where samples say it."""
        grid = self._grid(weight, bits, self.parameters.weight_range, second)
        levels = grid.levels(weight.shape[1])
        codes = levels.nearest(weight)
        if second is None:
            return grid.quantized(codes), None
        total = output_error(weight, second)
        error = output_error(levels.values(codes) - weight, second)
        figure = {"nearest": _share(error, total)}
        if self.parameters.rounding == "gptq":
            p, pause = self.parameters, tools.cancel.raise_if_cancelled
            found = rounded_in_turn(weight, second, levels, p.damping, p.activation_order, pause)
            after = output_error(levels.values(found) - weight, second)
            figure["in_turn"] = _share(min(after, error), total)
            codes = found if after < error else codes
        return grid.quantized(codes), figure

    def _per_channel(self, graph: ModelGraph, layers: Mapping[str, int]) -> dict[str, WeightQuantization]:
        found: dict[str, WeightQuantization] = {}
        for name, bits in layers.items():
            node = graph.node(name)
            array = graph.constant(node.inputs[1])
            assert array is not None, name
            axis = channel_axis(node, array, 1)
            found[node.inputs[1]] = quantize_weight(array, axis, bits, self.parameters.weight_range)
        return found


def _share(error: float, total: float) -> float:
    return round(float(np.sqrt(error / total)), 6) if total > 0 else 0.0


def _elements(graph: ModelGraph, layer: str) -> int:
    return int(np.prod(graph.constant_shape(graph.node(layer).inputs[1]) or (), dtype=np.int64))
