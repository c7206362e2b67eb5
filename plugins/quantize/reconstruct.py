"""Post-training quantization that learns from a few hundred samples without labels how to round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.api import (
    ROUND_TO_SCALE,
    ActivationQuantization,
    LayerSettings,
    MethodResult,
    ModelGraph,
    Node,
    Parameters,
    Requirement,
    RoundingResult,
    RoundingSettings,
    RoundingTask,
    Tools,
    Unit,
    cut_out,
    find_units,
    join_quantizers,
    needed_data,
)

from .base import Quantization
from .layers import weight_name
from .parameters import QuantizationParameters
from .prepared import Prepared, prepare
from .streams import Streams


class ReconstructionParameters(QuantizationParameters):
    """Those of post-training quantization, and how roundings are learned."""

    unit: Literal["layer", "block"] = Field(
        default="block",
        title="Learn together",
        description="What is fitted to the original at a time: each layer with its activation, or each residual block.",
    )
    samples: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        title="Samples",
        description="Training samples that the roundings are learned from; their labels are not used.",
        json_schema_extra={"unit": "samples"},
    )
    iterations: int = Field(
        default=300, ge=1, le=100_000, title="Steps", description="Steps of learning in each layer or block."
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        title="Batch size",
        description="Samples a step.",
        json_schema_extra={"unit": "samples"},
    )
    learning_rate: float = Field(
        default=0.02,
        gt=0,
        le=1,
        title="Learning rate of roundings",
        description="Step of Adam on the number behind each weight's rounding.",
    )
    scale_learning_rate: float = Field(
        default=0.001,
        ge=0,
        le=1,
        title="Learning rate of activation scales",
        description="Relative step of Adam on the scales of activations below 8 bits, as in LSQ; 0 leaves them.",
    )
    warmup: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        title="Warm-up",
        description="Share of the steps before weights are pushed towards one of their two integers.",
    )
    push: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        title="Push towards integers",
        description="Strength of that push, as a multiple of the mean slope of the error.",
    )
    drop: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        title="Exact activations",
        description="Probability with which an element of an activation below 8 bits stays exact while learning "
        "(QDrop), against learning few samples by heart; 0 never.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        title="Threads",
        description="Of the learning; 0 takes all cores. The last bits of the result depend on their number.",
    )


class Reconstruction(Quantization):
    """Learns for every weight whether it is rounded up or down, part after part as data goes through them.

    Each part reads what the parts before it make after they were quantized, and is fitted to what the original makes.
    The scales of activations below 8 bits are learned along.
    """

    id: ClassVar[str] = "quantize.reconstruct"
    title: ClassVar[str] = "Learned rounding"
    summary: ClassVar[str] = "Integers that are learned layer by layer or block by block from samples without labels."
    source: ClassVar[str] = "Nagel et al., 2020 (AdaRound); Li et al., 2021 (BRECQ); Wei et al., 2022 (QDrop)"
    Parameters: ClassVar[type[Parameters]] = ReconstructionParameters

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Samples, and gradients."""
        return frozenset({Requirement.DATA, Requirement.GRADIENTS})

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Calibrate and round to the nearest, then learn the rounding.

        Raises:
            DataError: there is no data, or it leads to NaN.
            UnsupportedGraphError: an operator without gradient.
            JobError: the learning diverged.
            CancelledError: tools.cancel was set.
        """
        prepared = prepare(graph, plan, tools, self.parameters, self.id, tools.progress.part(0.0, 0.05))
        if prepared is None:
            return MethodResult(graph, ("nothing quantized",))
        return reconstructed(prepared, tools, self.parameters, self.id).result()


@dataclass(frozen=True)
class _Share:
    """What is learned in one unit: initializers of weights, and of scales in the deployed graph.

    `coarse` tells whether any activation in it has fewer than 8 bits.
    """

    unit: Unit
    weights: tuple[str, ...]
    scales: tuple[str, ...]
    coarse: bool


def reconstructed(prepared: Prepared, tools: Tools, parameters: ReconstructionParameters, method: str) -> Prepared:
    """Return what is to be deployed with learned integers and activation scales.

    Args:
        prepared: Rounded to the nearest.
        tools: Of the run; progress is continued.
        parameters: Of the method.
        method: Its id, for messages.
    """
    learning = _Learning(prepared, parameters, tools)
    shares = learning.shares()
    if not any(share.weights or share.scales for share in shares):
        return replace(prepared, notes=(*prepared.notes, "no weight has fewer than 8 bits: nothing to learn"))
    data = needed_data(tools, method, "use quantize.ptq with activation_bits 32")
    streams = Streams(data.calibration(parameters.samples), tools)
    last_reader = {name: index for index, share in enumerate(shares) for name in share.unit.inputs}
    learned = [index for index, share in enumerate(shares) if share.weights or share.scales]
    for index, share in enumerate(shares[: learned[-1] + 1]):
        start, end = (0.05 + 0.95 * place / len(shares) for place in (index, index + 1))
        learning.run(share, streams, tools.progress.part(start, end, f"part {index + 1} of {len(shares)}"))
        streams.forget(lambda name, index=index: last_reader.get(name, -1) > index)  # type: ignore[misc]
    return learning.result(streams.samples)


class _Learning:
    def __init__(self, prepared: Prepared, parameters: ReconstructionParameters, tools: Tools) -> None:
        self._prepared, self._parameters, self._tools = prepared, parameters, tools
        # In whole bytes, whatever the file is going to store.
        self._now = replace(prepared, narrow=()).deployed()
        self._joined = join_quantizers(self._now)
        self._roundings = [node for node in self._joined.nodes if node.op == ROUND_TO_SCALE]
        self._weights = dict(prepared.weights)
        self._scales: dict[ActivationQuantization, float] = {}
        self._quantizers: dict[str, set[ActivationQuantization]] = {}
        self._errors: dict[str, tuple[float, float]] = {}

    def shares(self) -> list[_Share]:
        """Return the units in order; each weight and each scale is learned by the first that reads it."""
        prepared = self._prepared
        units = find_units(prepared.graph, self._parameters.unit, prepared.placement.integer_nodes)
        done: set[str] = set()
        found = []
        for unit in units:
            names = [
                weight_name(prepared.graph, layer, prepared.layers) for layer in unit.layers if layer in prepared.layers
            ]
            weights = tuple(
                name
                for name in dict.fromkeys(names)
                if name in self._weights and self._weights[name].bits < 8 and name not in done
            )
            coarse = self._coarse_scales(unit)
            wanted = coarse if self._parameters.scale_learning_rate > 0 else ()
            scales = tuple(name for name in wanted if name not in done)
            done.update((*weights, *scales))
            found.append(_Share(unit, weights, scales, bool(coarse)))
        return found

    def _coarse_scales(self, unit: Unit) -> tuple[str, ...]:
        """Return the scales of activations below 8 bits that a unit reads; their quantizers are noted."""
        found: dict[str, None] = {}
        for node in self._between(unit):
            zero, lowest, highest = (int(node.attribute(name)) for name in ("zero_point", "lowest", "highest"))
            name = node.inputs[1]
            of = {
                quantizer
                for quantizer in (*self._prepared.activations.values(), *self._prepared.placement.narrower.values())
                if (quantizer.zero_point, quantizer.lowest, quantizer.highest) == (zero, lowest, highest)
                and np.float32(quantizer.scale) == self._scale(name)
            }
            if of and highest - lowest < 255:
                found[name] = None
                self._quantizers[name] = of
        return tuple(found)

    def _between(self, unit: Unit) -> list[Node]:
        """Return the roundings of activations that a unit's outputs are made with, in graph order."""
        seen, ahead, names = set(unit.inputs), list(unit.outputs), set()
        while ahead:
            value = ahead.pop()
            node = None if value in seen else self._joined.producer(value)
            seen.add(value)
            if node is not None:
                names.add(node.name)
                ahead.extend(name for name in node.inputs if name)
        return [node for node in self._roundings if node.name in names]

    def _scale(self, name: str) -> float:
        stored = self._now.constant(name)
        assert stored is not None, name
        return float(stored)

    def run(self, share: _Share, streams: Streams, progress: Any) -> None:
        """Learn one unit, and let the samples go through it."""
        unit = share.unit
        ranks = {name: streams.exact[name].ndim for name in unit.inputs}
        exact = cut_out(self._prepared.graph, unit.inputs, unit.outputs, ranks)
        targets = streams.made(exact)
        if share.weights or share.scales:
            self._learn(share, streams, targets, progress)
        streams.advance(targets, cut_out(self._now, unit.inputs, unit.outputs, ranks))

    def _learn(self, share: _Share, streams: Streams, targets: Mapping[str, Any], progress: Any) -> None:
        chosen, unit = self._parameters, share.unit
        part = join_quantizers(cut_out(self._now, (*unit.inputs, *share.weights, *share.scales), unit.outputs))
        task = RoundingTask(
            part,
            {name: (self._exact_weight(name), self._weights[name]) for name in share.weights},
            {name: self._scale(name) for name in share.scales},
            {name: streams.quantized[name] for name in unit.inputs},
            targets,
            streams.samples,
            {name: streams.exact[name] for name in unit.inputs} if chosen.drop > 0 and share.coarse else {},
            self._fixed_batch(),
        )
        settings = RoundingSettings(
            chosen.iterations,
            chosen.batch_size,
            chosen.learning_rate,
            chosen.scale_learning_rate,
            chosen.warmup,
            chosen.push,
            chosen.drop,
            self._tools.seed,
            chosen.threads,
        )
        result = self._tools.training.reconstruct(task, settings, progress=progress, cancel=self._tools.cancel)
        self._take(share, result)

    def _take(self, share: _Share, result: RoundingResult) -> None:
        self._errors[share.unit.layers[0]] = (result.error_before, result.error_after)
        self._weights.update(result.weights)
        arrays: dict[str, Any] = {}
        for name, rounded in result.weights.items():
            producer = self._now.producer(name)
            assert producer is not None
            arrays[producer.inputs[0]] = rounded.integers
        for name, scale in result.scales.items():
            arrays[name] = np.array(scale, np.float32)
            self._scales.update(dict.fromkeys(self._quantizers[name], float(arrays[name])))
        self._now = self._now.with_initializers(arrays)

    def _fixed_batch(self) -> int | None:
        sizes = [info.shape[0] for info in self._prepared.graph.inputs if info.shape]
        return next((size for size in sizes if isinstance(size, int)), None)

    def _exact_weight(self, name: str) -> np.ndarray:
        stored = self._prepared.graph.constant(name)
        assert stored is not None, name
        return stored

    def result(self, samples: int) -> Prepared:
        """Return what was prepared with what was learned in its place."""
        prepared = self._prepared

        def scaled(quantizer: ActivationQuantization) -> ActivationQuantization:
            return replace(quantizer, scale=self._scales.get(quantizer, quantizer.scale))

        activations = {name: scaled(quantizer) for name, quantizer in prepared.activations.items()}
        narrower = {place: scaled(quantizer) for place, quantizer in prepared.placement.narrower.items()}
        before, after = (sum(pair[side] for pair in self._errors.values()) for side in (0, 1))
        note = (
            f"roundings of {len(self._errors)} {self._parameters.unit}s and {len(self._scales)} activation scales "
            f"learned from {samples} samples: mean error of the parts {before / len(self._errors):.3g} → "
            f"{after / len(self._errors):.3g}"
        )
        details = {**(prepared.details or {}), "errors": {name: list(pair) for name, pair in self._errors.items()}}
        return replace(
            prepared,
            activations=activations,
            weights=self._weights,
            placement=replace(prepared.placement, narrower=narrower),
            notes=(*prepared.notes, note),
            details=details,
        )
