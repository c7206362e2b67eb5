"""Finds values whose channels can be scaled at no change of the function: divided where made, multiplied where read.

Notation: a *site* is a value x with channels c. Dividing x[c] by a factor f[c] > 0 where it is made (rows of a weight,
a bias, the scale and shift of a normalisation) and multiplying what reads it (columns of weights) by f[c] gives the
same outputs, because everything between is positively homogeneous: h(x / f) = h(x) / f (Nagel et al., 2019).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.api import ModelGraph, Node

from .scaling_paths import LAYERS, Place, follow


class Part(NamedTuple):
    """A weight and the channel that each of its elements belongs to.

    Attributes:
        weight: Name of the initializer.
        channel: Numbers of channels, in a shape that broadcasts against the weight's.
    """

    weight: str
    channel: np.ndarray


@dataclass(frozen=True)
class Site:
    """A value whose channels can be scaled.

    Attributes:
        value: Its name; channels lie on `axis`.
        axis: 1, or -1 for the last.
        channels: How many there are.
        made_by: The layer whose product it is, or the node that applies a normalisation's scale.
        readers: Layers that read it, directly or after what is homogeneous.
        divided, multiplied: What is to change.
        of_layer: Whether `made_by` is a layer, whose weight is the first of `divided`.
    """

    value: str
    axis: int
    channels: int
    made_by: str
    readers: tuple[str, ...]
    divided: tuple[Part, ...]
    multiplied: tuple[Part, ...]
    of_layer: bool


class Sites(NamedTuple):
    """The sites of a graph in its order, and why other layers make none: (layer, reason)."""

    found: tuple[Site, ...]
    skipped: tuple[tuple[str, str], ...]


def find_sites(graph: ModelGraph) -> Sites:
    """Return all sites of a graph whose constants and batch norms are folded."""
    found: list[Site] = []
    skipped: list[tuple[str, str]] = []
    for node in graph.nodes:
        source = _source(graph, node)
        if source is None:
            continue
        axis, channels, divided, maker = source
        ends = follow(graph, Place(node.outputs[0], axis, channels))
        if isinstance(ends, str):
            skipped.append((node.name, ends))
            continue
        multiplied = [_read(graph, graph.node(name), place) for name, place in ends]
        if any(part is None for part in multiplied):
            skipped.append((node.name, "a layer behind it shares its weight, or stores it in another way"))
            continue
        found.append(
            Site(
                node.outputs[0],
                axis,
                channels,
                maker.name,
                tuple(name for name, _ in ends),
                divided,
                tuple(part for part in multiplied if part is not None),
                maker.op in LAYERS,
            )
        )
    layers = {node.name for node in graph.nodes if node.op in LAYERS} - {site.made_by for site in found}
    return Sites(tuple(found), tuple((name, why) for name, why in skipped if name in layers))


def loose_sites(graph: ModelGraph, ops: Collection[str]) -> tuple[Site, ...]:
    """Return every value that layers of `ops` read along its last axis; nothing is divided where it is made.

    Layers whose weight is shared or not stored are left out.
    """
    readers: dict[str, list[tuple[str, Part]]] = {}
    for node in graph.nodes:
        if node.op not in ops or node.domain or graph.is_constant(node.inputs[0]) or node.attribute("transA", 0):
            continue
        shape = graph.constant_shape(node.inputs[1])
        if shape is None or len(shape) != 2:
            continue
        channels = shape[1] if node.op == "Gemm" and node.attribute("transB", 0) else shape[0]
        part = _read(graph, node, Place(node.inputs[0], -1, channels))
        if part is not None:
            readers.setdefault(node.inputs[0], []).append((node.name, part))
    return tuple(
        Site(
            value,
            -1,
            found[0][1].channel.size,
            value,
            tuple(name for name, _ in found),
            (),
            tuple(part for _, part in found),
            False,
        )
        for value, found in readers.items()
    )


def magnitudes(arrays: Mapping[str, np.ndarray], parts: Iterable[Part], channels: int) -> np.ndarray:
    """Return the largest magnitude of every channel over all parts, (channels,) float64."""
    largest = np.zeros(channels)
    for part in parts:
        array = np.abs(arrays[part.weight])
        shape = (1,) * (array.ndim - part.channel.ndim) + part.channel.shape
        shared = tuple(axis for axis, size in enumerate(shape) if size == 1)
        reduced = array.max(axis=shared, keepdims=True) if shared else array
        index = np.broadcast_to(part.channel.reshape(shape), reduced.shape)
        np.maximum.at(largest, index.reshape(-1), reduced.reshape(-1))
    return largest


def scale(arrays: dict[str, np.ndarray], site: Site, factor: np.ndarray) -> None:
    """Divide what makes the site's value by `factor` (channels,) and multiply what reads it, in place of the arrays."""
    for part in site.divided:
        arrays[part.weight] = arrays[part.weight] / factor[part.channel]
    for part in site.multiplied:
        arrays[part.weight] = arrays[part.weight] * factor[part.channel]


def weights_of(graph: ModelGraph, sites: Iterable[Site]) -> dict[str, np.ndarray]:
    """Return the weights that scaling the sites changes, by name, in double precision."""
    names = dict.fromkeys(part.weight for site in sites for part in (*site.divided, *site.multiplied))
    arrays = {name: graph.constant(name) for name in names}
    return {name: array.astype(np.float64) for name, array in arrays.items() if array is not None}


def with_weights(graph: ModelGraph, arrays: Mapping[str, np.ndarray]) -> ModelGraph:
    """Return the graph with new weights, in single precision."""
    return graph.with_initializers({name: array.astype(np.float32) for name, array in arrays.items()})


class _Source(NamedTuple):
    """Axis and number of the channels of what a node makes, what to divide, and the node that those belong to."""

    axis: int
    channels: int
    divided: tuple[Part, ...]
    maker: Node


def _source(graph: ModelGraph, node: Node) -> _Source | None:
    if node.op in LAYERS and node.domain == "":
        return _layer_source(graph, node)
    inputs = [*node.inputs, "", "", "", ""]
    normalisation = {
        "LayerNormalization": (inputs[1], inputs[2]),
        "RMSNormalization": (inputs[1],),
        "SimplifiedLayerNormalization": (inputs[1],),
        "SkipLayerNormalization": (inputs[2], inputs[3]),
        "SkipSimplifiedLayerNormalization": (inputs[2],),
    }.get(node.op)
    if normalisation is not None and int(node.attribute("axis", -1)) == -1:
        return _vectors(graph, node, normalisation, -1)
    if node.op in ("BatchNormalization", "InstanceNormalization"):
        return _vectors(graph, node, inputs[1:3], 1)
    if node.op in ("Add", "Mul") and len(node.inputs) == 2:
        return _written_out(graph, node)
    return None


def _layer_source(graph: ModelGraph, node: Node) -> _Source | None:
    weight = node.inputs[1]
    shape = graph.constant_shape(weight)
    if shape is None or not _own(graph, weight):
        return None
    groups = int(node.attribute("group", 1))
    if node.op == "Conv":
        channels, axis = shape[0], 1
        index = np.arange(channels).reshape(-1, *(1,) * (len(shape) - 1))
    elif node.op == "ConvTranspose":
        channels, axis = shape[1] * groups, 1
        group = np.arange(shape[0]) // (shape[0] // groups)
        index = (group[:, None] * shape[1] + np.arange(shape[1])).reshape(*shape[:2], *(1,) * (len(shape) - 2))
    elif len(shape) != 2:
        return None
    else:
        rows = node.op == "Gemm" and bool(node.attribute("transB", 0))
        channels, axis = shape[0 if rows else 1], -1
        index = np.arange(channels).reshape((-1, 1) if rows else (1, -1))
    parts = [Part(weight, index)]
    if node.op != "MatMul" and len(node.inputs) > 2 and node.inputs[2]:
        bias = _vector(graph, node.inputs[2], channels)
        if bias is None:
            return None
        parts.append(bias)
    return _Source(axis, channels, tuple(parts), node)


def _vectors(graph: ModelGraph, node: Node, names: Iterable[str], axis: int) -> _Source | None:
    given = [name for name in names if name]
    shape = graph.constant_shape(given[0]) if given else None
    if shape is None or len(shape) != 1:
        return None
    parts = [_vector(graph, name, shape[0]) for name in given]
    if any(part is None for part in parts):
        return None
    return _Source(axis, shape[0], tuple(part for part in parts if part is not None), node)


def _written_out(graph: ModelGraph, node: Node) -> _Source | None:
    """Return the constants of a MatMul's bias, or of a normalisation's scale and shift, that stand as Mul and Add."""
    constant = next((name for name in node.inputs if graph.is_constant(name)), None)
    data = next((name for name in node.inputs if not graph.is_constant(name)), None)
    if constant is None or data is None:
        return None
    shape = graph.constant_shape(constant) or ()
    channels = max(shape, default=1)
    part = _vector(graph, constant, channels)
    if part is None or channels < 2 or (graph.value(data).shape or (None,))[-1] not in (channels, None):
        return None
    if node.op == "Mul":
        return _Source(-1, channels, (part,), node)
    before = graph.producer(data)
    if before is None or len(graph.consumers(data)) != 1 or data in {info.name for info in graph.outputs}:
        return None
    # Only what scales all of the sum's other half makes the sum scalable.
    inner = None
    if before.op == "MatMul" and before.domain == "":
        inner = _layer_source(graph, before)
    elif before.op == "Mul" and before.domain == "" and len(before.inputs) == 2:
        inner = _written_out(graph, before)
    if inner is None or (inner.axis, inner.channels) != (-1, channels):
        return None
    return _Source(-1, channels, (*inner.divided, part), inner.maker)


def _vector(graph: ModelGraph, name: str, channels: int) -> Part | None:
    """Return a stored vector of one number a channel, or None if it is shared, or of another form."""
    shape = graph.constant_shape(name)
    if shape is None or not _own(graph, name) or not shape or shape[-1] != channels or max(shape) != np.prod(shape):
        return None
    return Part(name, np.arange(channels).reshape(shape))


def _read(graph: ModelGraph, node: Node, place: Place) -> Part | None:
    """Return the weight of a layer with the channels of what it reads."""
    weight = node.inputs[1]
    shape = graph.constant_shape(weight)
    if shape is None or not _own(graph, weight):
        return None
    if node.op in ("Gemm", "MatMul"):
        if len(shape) != 2:
            return None
        columns = node.op == "Gemm" and bool(node.attribute("transB", 0))
        size = shape[1 if columns else 0]
        if size != place.channels * place.block:
            return None
        index = np.arange(size) // place.block
        return Part(weight, index.reshape((1, -1) if columns else (-1, 1)))
    groups = int(node.attribute("group", 1))
    ones = (1,) * (len(shape) - 2)
    if node.op == "ConvTranspose":
        return Part(weight, np.arange(shape[0]).reshape(-1, 1, *ones)) if shape[0] == place.channels else None
    if shape[1] * groups != place.channels:
        return None
    group = np.arange(shape[0]) // max(shape[0] // groups, 1)
    return Part(weight, (group[:, None] * shape[1] + np.arange(shape[1])).reshape(*shape[:2], *ones))


def _own(graph: ModelGraph, name: str) -> bool:
    """Whether a weight is stored in single precision and read by one node alone."""
    return (
        name in graph.initializers
        and len(graph.consumers(name)) == 1
        and graph.value(name).dtype == "float32"
        and name not in {info.name for info in graph.outputs}
    )
