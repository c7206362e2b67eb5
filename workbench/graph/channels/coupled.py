"""Says which numbers of which weights belong to a channel, for trainings that shrink channels before they are removed.

`remove_channels` slices weights; a training has to put zeros, penalties and masks at the very same places: filters,
biases and normalisation of every layer that makes a channel, and the columns of every layer that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.graph.channels.analysis import Analysis, Unit, analyse
from workbench.graph.model import ModelGraph

# Inputs at which a zero says that the channel is not there. Elsewhere it would say something else, as in a divisor.
_ZERO_IS_ABSENT: Mapping[str, frozenset[int]] = {
    "Add": frozenset({0, 1}),
    "BatchNormalization": frozenset({1, 2}),
    "Conv": frozenset({1, 2}),
    "ConvTranspose": frozenset({1, 2}),
    "GRU": frozenset({1, 2, 3}),
    "Gather": frozenset({0}),
    "Gemm": frozenset({0, 1, 2}),
    "GroupNormalization": frozenset({1, 2}),
    "InstanceNormalization": frozenset({1, 2}),
    "LSTM": frozenset({1, 2, 3}),
    "LayerNormalization": frozenset({1, 2}),
    "MatMul": frozenset({0, 1}),
    "Mul": frozenset({0, 1}),
    "PRelu": frozenset({1}),
    "RNN": frozenset({1, 2, 3}),
    "Sub": frozenset({0, 1}),
}


@dataclass(frozen=True)
class WeightChannels:
    """One axis of one weight that holds channels of a group.

    Attributes:
        weight: Initializer.
        axis: Of the weight.
        units: For every position along the axis the unit of the group it belongs to; -1 for none.
        reads: Whether the weight reads the channels; otherwise it makes them or passes them on.
    """

    weight: str
    axis: int
    units: tuple[int, ...]
    reads: bool


def coupled_weights(graph: ModelGraph, unit: Unit = "head") -> dict[str, tuple[WeightChannels, ...]]:
    """Return by id of every prunable group where its channels lie in weights; zeros there mean that they are absent.

    Left out are constants in which a zero means something else, and those that readers see differently. The names are
    those of `folded_graph(graph)`.

    Args:
        graph: The graph.
        unit: As for `channel_groups`.
    """
    analysis = analyse(graph, unit)
    prunable = [group for group in analysis.groups if group.prunable]
    group_of = np.full(int(analysis.classes.max(initial=-1)) + 1, -1, dtype=np.int64)
    unit_of = group_of.copy()
    for number, group in enumerate(prunable):
        classes = analysis.unit_classes[group.id]
        group_of[classes] = number
        unit_of[classes] = np.arange(len(classes))
    reading = _reading(analysis)
    found: dict[str, list[WeightChannels]] = {group.id: [] for group in prunable}
    for weight, (users, axes) in _agreed(analysis).items():
        for axis, labels in enumerate(axes):
            if labels is None:
                continue
            classes = analysis.classes[labels]
            for number in np.unique(group_of[classes]).tolist():
                if number < 0:
                    continue
                units = np.where(group_of[classes] == number, unit_of[classes], -1)
                reads = all((user, weight, axis) in reading for user in users)
                found[prunable[number].id].append(WeightChannels(weight, axis, tuple(units.tolist()), reads))
    return {name: tuple(entries) for name, entries in found.items()}


def _reading(analysis: Analysis) -> set[tuple[str, str, int]]:
    """Return (layer, weight, axis) of all axes that read channels and don't hand them on."""
    members = [member for group in analysis.groups for member in group.members]
    out = {(member.layer, member.weight, member.weight_axis) for member in members if member.axis == "out"}
    return {(member.layer, member.weight, member.weight_axis) for member in members if member.axis == "in"} - out


def _agreed(analysis: Analysis) -> dict[str, tuple[tuple[str, ...], tuple[np.ndarray | None, ...]]]:
    """Return by weight its readers and labels, for weights that all readers see alike and in which zero is absence."""
    nodes = {node.name: node for node in analysis.graph.nodes}
    seen: dict[str, list[tuple[str, tuple[np.ndarray | None, ...]]]] = {}
    refused: set[str] = set()
    for (user, index), (weight, axes) in analysis.uses.items():
        if index in _ZERO_IS_ABSENT.get(nodes[user].op, frozenset()):
            seen.setdefault(weight, []).append((user, axes))
        else:
            refused.add(weight)
    uses: dict[str, int] = {}
    for node in analysis.graph.nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    return {
        weight: (tuple(user for user, _ in entries), entries[0][1])
        for weight, entries in seen.items()
        if weight not in refused
        and uses.get(weight) == len(entries)
        and _alike(analysis, [axes for _, axes in entries])
    }


def _alike(analysis: Analysis, views: list[tuple[np.ndarray | None, ...]]) -> bool:
    named = [tuple(None if labels is None else analysis.classes[labels].tobytes() for labels in axes) for axes in views]
    return len(set(named)) == 1
