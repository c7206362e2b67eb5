"""Lets activation bits be chosen beside weight bits, where the budget counts both: the bit operations.

Notation: a the bits of what a layer reads, w those of its weight; its share of the budget is multiplications · w · a.
Layers that read one value form a group: it is rounded once, with one scale, so that a is the same for all of them, and
what its rounding costs counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from workbench.api import (
    ActivationQuantization,
    Choice,
    ModelGraph,
    Progress,
    Setting,
    Tie,
    insert_qdq,
    observe_samples,
)

from .bit_losses import Losses, Trials, metric_loss, never_gaining, output_loss
from .layers import LayerBits
from .parameters import QuantizationParameters
from .placement import values_read
from .prepared import samples_per_batch


@dataclass(frozen=True)
class Groups:
    """The layers whose activation bits are to be chosen, by the value that they read."""

    members: Mapping[str, tuple[str, ...]]

    @property
    def ties(self) -> list[Tie]:
        """Who must agree on activation bits."""
        return [Tie(frozenset(layers), activation_bits) for layers in self.members.values() if len(layers) > 1]


def groups(graph: ModelGraph, layers: Mapping[str, LayerBits], free: Collection[str]) -> Groups:
    """Return the groups of the free layers.

    Args:
        graph: In float.
        layers: Bits of all layers.
        free: Those whose activation bits are not pinned.
    """
    names = {node.name for node in graph.nodes}
    present = {name: bits for name, bits in layers.items() if name in names}
    found: dict[str, list[str]] = {}
    for layer, value in values_read(graph, present).items():
        if layer in free:
            found.setdefault(value, []).append(layer)
    return Groups({value: tuple(members) for value, members in found.items()})


def activation_losses(
    trials: Trials,
    grouped: Groups,
    bits: Sequence[int],
    by_metric: bool,
    parameters: QuantizationParameters,
    progress: Progress,
) -> Losses:
    """Return the loss of every group's value at every choice, by value and bits, with that value alone rounded.

    Args:
        trials: What estimates work with.
        grouped: The values.
        bits: The choices.
        by_metric: Take the validation score instead of the network's outputs.
        parameters: Of calibration.
        progress: Of all of it.

    Raises:
        DataError: there are no samples.
        CancelledError: cancelled.
    """
    tools = trials.tools
    calibrators = {value: parameters.calibrator_of(value) for value in grouped.members}
    observe_samples(
        trials.graph,
        calibrators.items(),
        trials.data,
        tools,
        parameters.calibration_samples,
        batch_size=samples_per_batch(trials.graph, calibrators),
        progress=progress.part(0.0, 0.2),
    )
    loss = metric_loss(trials) if by_metric else output_loss(trials)
    found: Losses = {}
    for number, (value, calibrator) in enumerate(calibrators.items()):
        found[value] = {}
        for count in bits:
            tools.cancel.raise_if_cancelled()
            signed = parameters.activation_type == "int8"
            quantizer = ActivationQuantization.from_range(*calibrator.range(count), count, signed=signed)
            found[value][count] = loss(insert_qdq(trials.graph, {value: quantizer}, {}))
        if by_metric:
            found[value] = never_gaining(found[value])
        progress.update(0.2 + 0.8 * (number + 1) / len(calibrators), f"sensitivity of {value}")
    return found


def pairs(
    layer: str,
    weights: Mapping[int, float],
    grouped: Groups,
    activations: Losses,
    pinned: int,
    macs: float,
) -> list[Choice]:
    """Return a layer's choices of both bits.

    Args:
        layer: Its name.
        weights: Loss by weight bits.
        grouped: The groups; a layer that is in none keeps its activation bits.
        activations: Loss by value and activation bits.
        pinned: The activation bits of a layer in no group.
        macs: Its multiplications.
    """
    value = next((value for value, members in grouped.members.items() if layer in members), None)
    offered = {pinned: 0.0} if value is None else activations[value]
    # Once for all that read the value.
    counts = 1.0 if value is not None and grouped.members[value][0] == layer else 0.0
    return [
        Choice(pair(w, a), weights[w] + counts * offered[a], macs * w * a)
        for w in sorted(weights)
        for a in sorted(offered)
    ]


def pair(weight: int, activation: int) -> str:
    """Return both bits as one setting, such as W4A8."""
    return f"W{weight}A{activation}"


def weight_bits(setting: Setting) -> int:
    """Return the weight bits of a pair."""
    return int(str(setting)[1:].split("A")[0])


def activation_bits(setting: Setting) -> int:
    """Return the activation bits of a pair."""
    return int(str(setting).split("A")[1])
