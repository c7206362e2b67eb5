"""Finds where the channels of a group can be seen at work: the values that the layers behind them read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from workbench.api import ChannelAxis, ChannelGroup, Member, ModelGraph, Node

# How much of the values of one batch may be held at a time.
_BATCH_BYTES = 128_000_000
_LARGEST_BATCH = 64
_ACTIVATIONS = frozenset(
    {"BatchNormalization", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid"}
)


@dataclass(frozen=True)
class Site:
    """A value that holds channels of a group.

    Attributes:
        place: The value and its channel axis.
        layer: The layer that reads the value (or makes it, where no layer with weights reads it).
        positions: For every unit of the group its positions on the axis.
    """

    place: ChannelAxis
    layer: str
    positions: tuple[tuple[int, ...], ...]


def reading_sites(graph: ModelGraph, group: ChannelGroup) -> tuple[Site, ...]:
    """Return a site for every layer that reads the group's channels, activation functions and normalisation behind it.

    What a layer reads is what is missing when the channels go. Depthwise layers pass their channels on and are left
    out. Where no layer with weights reads the channels, the outputs of the layers that make them stand in.
    """
    passing = {member.layer for member in group.out_members if not member.own}
    readers = [member for member in group.members if member.axis == "in" and member.layer not in passing]
    sites = [site for site in (_read(graph, member) for member in readers) if site is not None]
    if not sites:
        makers = [member for member in group.out_members if member.own]
        sites = [site for site in (_made(graph, member) for member in makers) if site is not None]
    return tuple(dict.fromkeys(sites))


def acting_sites(graph: ModelGraph, group: ChannelGroup) -> tuple[Site, ...]:
    """Return where the group's channels can be seen as maps, behind their activation; `reading_sites` if nowhere.

    A layer behind a global pooling reads one number per map, which says nothing of the map's zeros or rank.
    """
    read = reading_sites(graph, group)
    maps = [site for site in read if is_map(graph, site)]
    if not maps:
        made = [_made(graph, member) for member in group.out_members if member.own]
        acting = [replace(site, place=_activated(graph, site.place)) for site in made if site is not None]
        maps = [site for site in acting if is_map(graph, site)]
    return tuple(maps) or read


def is_map(graph: ModelGraph, site: Site) -> bool:
    """Whether a site's value is (n, channels, height, width) with more than one position, as far as the file says."""
    if site.place.axis != 1:
        return False
    shape = graph.value(site.place.value).shape
    if shape is not None:
        return len(shape) == 4 and shape[2:] != (1, 1)
    node = graph.node(site.layer)
    return node.op in ("Conv", "ConvTranspose") and len(graph.constant_shape(node.inputs[1]) or ()) == 4


def _activated(graph: ModelGraph, place: ChannelAxis) -> ChannelAxis:
    """Follow a value through the normalisation and activation behind it."""
    value = place.value
    while len(readers := graph.consumers(value)) == 1 and readers[0].op in _ACTIVATIONS:
        value = readers[0].outputs[0]
    return replace(place, value=value)


def _read(graph: ModelGraph, member: Member) -> Site | None:
    node = graph.node(member.layer)
    if node.op == "Conv":
        return Site(ChannelAxis(node.inputs[0], 1), node.name, _in_all_groups(graph, node, member))
    if node.op == "ConvTranspose":
        return Site(ChannelAxis(node.inputs[0], 1), node.name, member.positions)
    if node.op in ("Gemm", "MatMul") and not graph.is_constant(node.inputs[0]):
        turned = node.op == "Gemm" and node.attribute("transA", 0)
        return Site(ChannelAxis(node.inputs[0], -2 if turned else -1), node.name, member.positions)
    if node.op in ("LSTM", "GRU", "RNN") and member.weight == node.inputs[1]:
        return Site(ChannelAxis(node.inputs[0], 2), node.name, member.positions)
    return None


def _in_all_groups(graph: ModelGraph, node: Node, member: Member) -> tuple[tuple[int, ...], ...]:
    """Return positions on the value's axis; the weight of a grouped convolution counts them within one group."""
    groups = node.attribute("group", 1)
    shape = graph.constant_shape(node.inputs[1])
    if groups == 1 or shape is None:
        return member.positions
    return tuple(
        tuple(number * shape[1] + place for number in range(groups) for place in places) for places in member.positions
    )


def _made(graph: ModelGraph, member: Member) -> Site | None:
    node = graph.node(member.layer)
    axis = {"Conv": 1, "Gemm": -1, "MatMul": -1}.get(node.op)
    if axis is None or (node.op == "Conv" and member.weight_axis != 0):
        return None
    return Site(ChannelAxis(node.outputs[0], axis), node.name, member.positions)


def channels_first(array: np.ndarray, place: ChannelAxis) -> np.ndarray:
    """Return a batch's value (n, …) as (c, everything else)."""
    return np.moveaxis(array, place.axis, 0).reshape(array.shape[place.axis], -1)


def batch_size(graph: ModelGraph, values: Iterable[str]) -> int:
    """Return how many samples' values fit into memory together; 16 where their shapes are not known."""
    per_sample = 0
    for value in dict.fromkeys(values):
        shape = graph.value(value).shape
        if shape is None or not all(isinstance(size, int) for size in shape[1:]):
            return 16
        per_sample += 4 * int(np.prod([size for size in shape[1:] if isinstance(size, int)], dtype=np.int64))
    return min(max(_BATCH_BYTES // max(per_sample, 1), 1), _LARGEST_BATCH)
