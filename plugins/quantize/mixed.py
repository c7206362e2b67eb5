"""Mixed precision: every layer gets the bits at which the network loses least within a budget."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from workbench.api import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    Choice,
    Chosen,
    LayerSettings,
    MethodResult,
    ModelGraph,
    Parameters,
    RecipeError,
    Requirement,
    Tie,
    Tools,
    allocate,
    fold_batch_norm,
    fold_constants,
    graph_cost,
    needed_data,
)

from .base import Quantization
from .bias_correction import correct_biases
from .bit_losses import Losses, Sensitivity, Subject, Trials, losses
from .layers import LayerBits, channel_axis, requested_bits, weight_name
from .mixed_activations import Groups, activation_bits, activation_losses, groups, pairs, weight_bits
from .mixed_latency import LayerTiming, left_in_float
from .parameters import CorrectedParameters
from .prepared import prepare
from .turn_rounding import TurnParameters, round_in_turn

_FULL = 8
_COST_UNITS = {"average_bits": "bytes", "bit_operations": "bit operations", "latency": "share of the time"}
_LOSS_UNITS = {
    "output": "share of the outputs' power",
    "metric": "points of the validation score",
    "gradient": "estimated rise of the training loss",
    "hessian": "estimated rise of the training loss",
}


class MixedParameters(CorrectedParameters):
    """The budget, the choices, and how the loss of a choice is estimated."""

    budget: Literal["average_bits", "bit_operations", "latency", "plan"] = Field(
        default="average_bits",
        title="Budget",
        description="What is limited: the average bits of all weights (the size), or the bit operations "
        "(multiplications times weight bits times activation bits), or the time measured on the device, which leaves "
        "layers in float where integers gain too little or lose time; plan takes the plan's bits as they are.",
    )
    average_bits: float = Field(
        default=4.0,
        ge=1,
        le=8,
        title="Average bits",
        description="Of all weights of quantized layers, those of pinned layers included; read by that budget.",
        json_schema_extra={"unit": "bits"},
    )
    bit_operations: float = Field(
        default=0.5,
        gt=0,
        le=1,
        title="Bit operations",
        description="As a share of those with 8-bit weights everywhere; read by that budget.",
        json_schema_extra={"unit": "share"},
    )
    latency_ratio: float = Field(
        default=0.5,
        gt=0,
        le=10,
        title="Latency ratio",
        description="Time as a share of the original's; read by the budget latency, which times every layer for a "
        "second or two.",
        json_schema_extra={"unit": "share"},
    )
    fewest_bits: int = Field(
        default=2,
        ge=2,
        le=8,
        title="Fewest bits",
        description="No layer gets fewer.",
        json_schema_extra={"unit": "bits"},
    )
    most_bits: int = Field(
        default=8, ge=2, le=8, title="Most bits", description="No layer gets more.", json_schema_extra={"unit": "bits"}
    )
    activations: Literal["plan", "chosen"] = Field(
        default="plan",
        title="Activation bits",
        description="Those of the plan, or chosen beside the weights' within the bit operations, alike for all layers "
        "that read the same value. Fewer than 8 run no faster on this kind of processor.",
    )
    fewest_activation_bits: int = Field(
        default=4,
        ge=2,
        le=8,
        title="Fewest activation bits",
        description="No layer gets fewer; read where activation bits are chosen.",
        json_schema_extra={"unit": "bits"},
    )
    rounding: Literal["nearest", "gptq"] = Field(
        default="nearest",
        title="Rounding",
        description="How weights are rounded when their bits are chosen: to the nearest level, or in turn by what "
        "rounding does to the layer's outputs, as quantize.gptq does.",
    )
    sensitivity: Sensitivity = Field(
        default="output",
        title="Sensitivity",
        description="How the loss of a choice is estimated: output compares the network's outputs with one layer "
        "rounded (seconds), metric takes what the validation score loses (noisy where little is lost), gradient and "
        "hessian weigh the rounding error by the curvature of the loss (Fisher; Hutchinson's trace, as HAWQ-V2).",
    )
    sensitivity_samples: int = Field(
        default=256,
        ge=1,
        title="Sensitivity samples",
        description="Training samples that losses are estimated on; metric takes the validation samples instead.",
        json_schema_extra={"unit": "samples"},
    )

    @property
    def choices(self) -> tuple[int, ...]:
        """The bits that a layer may get, ascending."""
        return tuple(range(self.fewest_bits, self.most_bits + 1))

    @property
    def activation_choices(self) -> tuple[int, ...]:
        """The bits that what a layer reads may get, ascending."""
        return tuple(range(self.fewest_activation_bits, _FULL + 1))


class MixedPrecision(Quantization):
    """Chooses weight bits, then quantizes as quantize.ptq does; a line that names one layer pins that layer's bits."""

    id: ClassVar[str] = "quantize.mixed"
    title: ClassVar[str] = "Mixed-precision quantization"
    summary: ClassVar[str] = "Gives every layer the weight bits at which the network loses least within a budget."
    source: ClassVar[str] = "Dong et al., 2020 (HAWQ-V2); Yao et al., 2021 (HAWQ-V3)"
    Parameters: ClassVar[type[Parameters]] = MixedParameters

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return samples, gradients where curvature is measured, and a device where time is limited."""
        needed = {Requirement.DATA}
        if self.parameters.sensitivity in ("gradient", "hessian"):
            needed.add(Requirement.GRADIENTS)
        if self.parameters.budget == "latency":
            needed.add(Requirement.LATENCY)
        return frozenset(needed)

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured before anything is measured.

        Raises:
            RecipeError: as Quantization.check; no choice of bits is left, or none can meet the budget.
        """
        settings: MixedParameters = self.parameters
        if settings.fewest_bits > settings.most_bits:
            raise RecipeError(
                f"fewest_bits is {settings.fewest_bits} and most_bits {settings.most_bits}",
                where=self.id,
                action="Make fewest_bits the smaller one.",
            )
        if settings.activations == "chosen" and settings.budget != "plan":
            if settings.budget != "bit_operations":
                raise RecipeError(
                    f"activations is chosen, but the budget {settings.budget} does not count activation bits",
                    where=self.id,
                    action="Take the budget bit_operations, or the plan's activation bits.",
                )
            if settings.sensitivity not in ("output", "metric"):
                raise RecipeError(
                    f"activations is chosen, but sensitivity {settings.sensitivity} says nothing of activations",
                    where=self.id,
                    expected="output or metric",
                    action="Choose one of these.",
                )
        warnings = super().check(graph, plan)
        layers, _ = requested_bits(graph, plan)
        free = _free(layers, plan)
        if settings.budget not in ("plan", "latency") and free:
            # With losses of 0 only the budget can fail, and that needs no samples to be seen.
            nothing = {layer: dict.fromkeys(settings.choices, 0.0) for layer in free}
            grouped = _grouped(graph, layers, plan, settings)
            unheard = {value: dict.fromkeys(settings.activation_choices, 0.0) for value in grouped.members}
            _allocated(graph, layers, nothing, settings, grouped, unheard)
        if settings.budget != "plan" and not free:
            warnings = (*warnings, "No layer is free: each has weight bits in a line of its own, or none below 32.")
        return warnings

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return the file at the plan's bits; None where measured time is to say which layers stay in float."""
        return None if self.parameters.budget == "latency" else super().outline(graph, plan, tools)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Estimate, allocate, quantize.

        Raises:
            DataError: there is no data.
            RecipeError: nothing is within the budget.
            CancelledError: tools.cancel was set.
        """
        settings: MixedParameters = self.parameters
        layers, _ = requested_bits(graph, plan)
        free = _free(layers, plan) if settings.budget != "plan" else ()
        details: dict[str, Any] = {}
        notes: tuple[str, ...] = ()
        if free:
            folded = fold_batch_norm(fold_constants(graph))
            present = {node.name for node in folded.nodes}
            subjects = {name: _subject(folded, name, layers[name]) for name in free if name in present}
            by_time = settings.budget == "latency"
            trials = Trials(
                folded,
                subjects,
                tuple(sorted({layers[name].weight_bits for name in subjects})) if by_time else settings.choices,
                needed_data(tools, self.id),
                tools,
                settings.sensitivity_samples,
                settings.weight_range,
                frozenset(name for name in subjects if settings.with_zero_points(folded, name)),
            )
            ends = 0.2 if by_time else 0.7
            estimated = losses(trials, settings.sensitivity, tools.progress.part(0.0, ends, "sensitivity"))
            if by_time:
                part = tools.progress.part(ends, 0.7, "timing layers")
                own = {name: layers[name].weight_bits for name in subjects}
                lost = {name: estimated[name][bits] for name, bits in own.items()}
                timing = LayerTiming(graph, plan, tools, settings, self.id)
                timed = timing.choose(lost, own, settings.latency_ratio, _tied(folded, layers, subjects), part)
                chosen = timed.layers
                note = (
                    f"{timed.reached:.3f} of the original's time (budget {settings.latency_ratio:g}; all in integers "
                    f"{timed.whole:.3f})"
                )
                details["latency_ratio"] = timed.reached
                details["layer_latency"] = {"whole": timed.whole, "in_float": dict(timed.in_float)}
            else:
                grouped = _grouped(folded, layers, plan, settings)
                read: Losses = {}
                if grouped.members:
                    part = tools.progress.part(ends, 0.8, "sensitivity to activations")
                    by_metric = settings.sensitivity == "metric"
                    choices = settings.activation_choices
                    read = activation_losses(trials, grouped, choices, by_metric, settings, part)
                    details["activation_sensitivity"] = {
                        value: {str(bits): loss for bits, loss in by.items()} for value, by in read.items()
                    }
                chosen, note = _allocated(folded, layers, estimated, settings, grouped, read)
                if grouped.members:
                    narrowed = {
                        layer: activation_bits(entry.choice.value)
                        for layer, entry in chosen.items()
                        if any(layer in members for members in grouped.members.values())
                    }
                    plan = plan.with_values(ACTIVATION_BITS, narrowed)
                    notes = (_counted(narrowed, "activation bits"),)
            both = settings.activations == "chosen" and not by_time
            of = weight_bits if both else int
            values = {layer: of(entry.choice.value) for layer, entry in chosen.items()}
            plan = plan.with_values(WEIGHT_BITS, values)
            plan = left_in_float(plan, [layer for layer, bits in values.items() if bits > _FULL])
            notes = (note, _counted(values), *notes)
            knobs = (WEIGHT_BITS, ACTIVATION_BITS) if by_time or both else (WEIGHT_BITS,)
            details |= {
                "plan": {
                    "layers": {layer: {knob.name: int(plan.number(layer, knob)) for knob in knobs} for layer in values}
                },
                "settled": {"budget": "plan"},
                "sensitivity": {
                    layer: {str(bits): loss for bits, loss in by.items()} for layer, by in estimated.items()
                },
                "trades": {layer: _trades(entry, settings.budget) for layer, entry in chosen.items()},
                "trade_units": {"cost": _COST_UNITS[settings.budget], "loss": _LOSS_UNITS[settings.sensitivity]},
            }
        rest = tools.progress.part(0.8 if free else 0.0, 1.0)
        prepared = prepare(graph, plan, tools, settings, self.id, rest.part(0.0, 0.5))
        if prepared is None:
            return MethodResult(graph, (*notes, "nothing quantized"), details)
        samples = settings.calibration_samples
        if settings.rounding == "gptq":
            part = rest.part(0.5, 0.8, "rounding")
            prepared = round_in_turn(prepared, tools, TurnParameters(), samples, self.id, part)
        if settings.bias_correction:
            prepared = correct_biases(prepared, tools, samples, rest.part(0.8, 1.0, "bias correction"))
        result = prepared.result()
        return MethodResult(result.graph, (*notes, *result.notes), {**result.details, **details})


def _free(layers: Mapping[str, LayerBits], plan: LayerSettings) -> tuple[str, ...]:
    """Return the layers whose bits are to be chosen: those the plan quantizes without naming them alone."""
    return tuple(
        name for name, bits in layers.items() if bits.weight_bits <= _FULL and not plan.explicit(name, WEIGHT_BITS)
    )


def _grouped(
    graph: ModelGraph, layers: Mapping[str, LayerBits], plan: LayerSettings, settings: MixedParameters
) -> Groups:
    """Return the layers whose activation bits are to be chosen, by what they read."""
    if settings.activations == "plan":
        return Groups({})
    free = {
        name
        for name in _free(layers, plan)
        if layers[name].activation_bits <= _FULL and not plan.explicit(name, ACTIVATION_BITS)
    }
    return groups(graph, layers, free)


def _tied(graph: ModelGraph, layers: Mapping[str, LayerBits], free: Collection[str]) -> list[frozenset[str]]:
    """Return the sets of free layers that share a weight."""
    readers: dict[str, set[str]] = {}
    for name in free:
        readers.setdefault(weight_name(graph, name, layers), set()).add(name)
    return [frozenset(names) for names in readers.values() if len(names) > 1]


def _subject(graph: ModelGraph, name: str, bits: LayerBits) -> Subject:
    weight = weight_name(graph, name, {name: bits})
    array = graph.constant(weight)
    assert array is not None, name  # requested_bits lists stored float32 weights only
    return Subject(weight, channel_axis(graph.node(name), array, bits.weight))


def _allocated(
    graph: ModelGraph,
    layers: Mapping[str, LayerBits],
    estimated: Mapping[str, Mapping[int, float]],
    settings: MixedParameters,
    grouped: Groups,
    read: Losses,
) -> tuple[dict[str, Chosen], str]:
    """Return what each free layer gets, and the note that says what the budget came to.

    Where activation bits are chosen, settings are pairs of both bits.
    """
    costs = {entry.name: entry.macs for entry in graph_cost(graph).nodes}
    quantized = {name: bits for name, bits in layers.items() if bits.weight_bits <= _FULL}
    owners: dict[str, str] = {}
    ties: dict[str, set[str]] = {}
    units: dict[str, float] = {}
    for name, bits in quantized.items():
        weight = graph.node(name).inputs[bits.weight]
        owner = owners.setdefault(weight, name)
        ties.setdefault(owner, set()).add(name)
        if settings.budget == "average_bits":
            shape = graph.constant_shape(weight) or ()
            # A shared weight is stored once.
            units[name] = float(math.prod(shape)) if owner == name else 0.0
        else:
            units[name] = float(costs.get(name, 0)) * bits.activation_bits
    whole = sum(units.values())
    both = settings.activations == "chosen"
    choices: dict[str, list[Choice]] = {}
    for name, bits in quantized.items():
        weights = estimated.get(name, {bits.weight_bits: 0.0})
        if both:
            macs = float(costs.get(name, 0))
            choices[name] = pairs(name, weights, grouped, read, bits.activation_bits, macs)
        else:
            choices[name] = [Choice(count, loss, units[name] * count) for count, loss in weights.items()]
    by_size = settings.budget == "average_bits"
    budget = settings.average_bits if by_size else settings.bit_operations

    def written(cost: float) -> str:
        share = cost / max(whole, 1e-300)
        unit = "weight bits on average" if by_size else "of the bit operations with 8-bit weights"
        return f"{share if by_size else share / _FULL:.3f} {unit}"

    alike = [
        Tie(frozenset(names), weight_bits) if both else frozenset(names) for names in ties.values() if len(names) > 1
    ]
    found = allocate(choices, budget * whole * (1 if by_size else _FULL), [*alike, *grouped.ties], written=written)
    note = f"{written(found.cost)} (budget {budget:g})"
    return {name: found.layers[name] for name in estimated}, note


def _trades(entry: Chosen, budget: str) -> dict[str, Any]:
    bits_of_cost = 8.0 if budget == "average_bits" else 1.0
    found: dict[str, Any] = {"bits": entry.choice.value, "loss": entry.choice.loss}
    for side, trade in (("dearer", entry.dearer), ("cheaper", entry.cheaper)):
        if trade is not None:
            found[side] = {"bits": trade.value, "loss": trade.loss, "cost": trade.cost / bits_of_cost}
    return found


def _counted(values: Mapping[str, int], of: str = "bits") -> str:
    counts = {bits: list(values.values()).count(bits) for bits in sorted(set(values.values()))}
    return f"layers by {of}: " + ", ".join(f"{count} with {bits}" for bits, count in counts.items())
