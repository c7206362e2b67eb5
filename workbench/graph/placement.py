"""Places boxes of any graph in layers from top to bottom; knows sizes and edges, but neither models nor operators.

Layers come from the longest path; igraph orders each layer (Sugiyama et al., 1981) and `alignment` sets the boxes,
whose widths igraph does not know. Sizes in pixels at zoom 1. The window places the boxes of a graph with collapsed
blocks itself, so nothing in here may need a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import igraph

from workbench.graph.alignment import align

_GAP_X_PX = 20.0
_GAP_Y_PX = 30.0
_COMPONENT_GAP_PX = 60.0
# An edge adds a hidden node to each layer that it crosses; the longest edges are routed beside the picture instead
# where all together would add more than this many, which keeps the time linear.
_HIDDEN_NODES = 2000
_HIDDEN_NODES_PER_BOX = 3
_ROW_PX = 6000.0
_ORDERING_ROUNDS = 30

Point = tuple[float, float]
Size = tuple[float, float]
"""Width and height."""


@dataclass(frozen=True)
class Placement:
    """Centres by box, bend points by edge, and the size of the whole."""

    centres: tuple[Point, ...]
    bends: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def place(sizes: Sequence[Size], pairs: Sequence[tuple[int, int]]) -> Placement:
    """Return where boxes stand and edges bend; connected parts stand side by side, the largest first.

    Args:
        sizes: Width and height of every box, in topological order.
        pairs: (source, target) of every edge as indices of boxes; the source comes first in `sizes`.
    """
    if not sizes:
        return Placement((), (), 0.0, 0.0)
    network = igraph.Graph(n=len(sizes), edges=list(pairs), directed=True)
    centres: list[Point] = [(0.0, 0.0)] * len(sizes)
    bends: list[tuple[Point, ...]] = [()] * len(pairs)
    of_component = network.connected_components(mode="weak").membership
    members: dict[int, list[int]] = {}
    for vertex, component in enumerate(of_component):
        members.setdefault(component, []).append(vertex)
    inside: dict[int, list[int]] = {component: [] for component in members}
    for index, (source, _) in enumerate(pairs):
        inside[of_component[source]].append(index)
    left = top = row_height = width = 0.0
    for component, vertices in sorted(members.items(), key=lambda item: -len(item[1])):
        part = _place_part(vertices, [pairs[index] for index in inside[component]], sizes)
        if left and left + part.width > _ROW_PX:
            left, top, row_height = 0.0, top + row_height + _COMPONENT_GAP_PX, 0.0
        for vertex, (x, y) in zip(vertices, part.centres, strict=True):
            centres[vertex] = (round(x + left, 1), round(y + top, 1))
        for index, points in zip(inside[component], part.bends, strict=True):
            bends[index] = tuple((round(x + left, 1), round(y + top, 1)) for x, y in points)
        width, row_height = max(width, left + part.width), max(row_height, part.height)
        left += part.width + _COMPONENT_GAP_PX
    return Placement(tuple(centres), tuple(bends), round(width, 1), round(top + row_height, 1))


@dataclass
class _Part:
    """One connected part with its own origin: centres by vertex, bend points by edge."""

    centres: list[tuple[float, float]]
    bends: list[list[tuple[float, float]]]
    width: float
    height: float


def _place_part(vertices: list[int], edges: list[tuple[int, int]], sizes: Sequence[Size]) -> _Part:
    local = {vertex: index for index, vertex in enumerate(vertices)}
    pairs = [(local[source], local[target]) for source, target in edges]
    widths = [sizes[vertex][0] for vertex in vertices]
    levels = _levels(len(vertices), pairs)
    middles, height = _middles(levels, [sizes[vertex][1] for vertex in vertices])
    xs, routes = _align(levels, pairs, widths)
    right = max(x + width / 2 for x, width in zip(xs, widths, strict=True))
    bends: list[list[Point]] = []
    beside = 0
    for index, (source, target) in enumerate(pairs):
        if index in routes:
            bends.append(_without_straight([(x, middles[level]) for x, level in routes[index]]))
        else:
            side = right + _GAP_X_PX * (1 + beside % 8)
            above, below = levels[source], levels[target]
            start = (middles[above] + middles[above + 1]) / 2
            bends.append([(side, start), (side, (middles[below - 1] + middles[below]) / 2)])
            beside += 1
    every = [x for points in bends for x, _ in points]
    left = min([*(x - width / 2 for x, width in zip(xs, widths, strict=True)), *every])
    right = max([right, *every])
    return _Part(
        centres=[(x - left, middles[level]) for x, level in zip(xs, levels, strict=True)],
        bends=[[(x - left, y) for x, y in points] for points in bends],
        width=right - left,
        height=height,
    )


def _middles(levels: list[int], heights: list[float]) -> tuple[list[float], float]:
    """Return the height at which each layer's middle lies, and the height of all."""
    tallest = [0.0] * (max(levels) + 1)
    for level, height in zip(levels, heights, strict=True):
        tallest[level] = max(tallest[level], height)
    middles: list[float] = []
    top = 0.0
    for height in tallest:
        middles.append(top + height / 2)
        top += height + _GAP_Y_PX
    return middles, top - _GAP_Y_PX


def _align(
    levels: list[int], pairs: list[tuple[int, int]], box_widths: list[float]
) -> tuple[list[float], dict[int, list[tuple[float, int]]]]:
    """Return every box's centre, and the points at which edges pass the layers between their ends."""
    columns, passing = _order(levels, pairs, _short_edges(levels, pairs))
    widths = list(box_widths)
    at = [(level, column, vertex) for vertex, (level, column) in enumerate(zip(levels, columns, strict=True))]
    above: list[list[int]] = [[] for _ in levels]
    below: list[list[int]] = [[] for _ in levels]
    hidden: dict[int, list[int]] = {}
    for index, points in passing.items():
        source, target = pairs[index]
        line = list(range(len(widths), len(widths) + len(points)))
        for vertex, (column, level) in zip(line, points, strict=True):
            at.append((level, column, vertex))
            widths.append(0.0)
            above.append([])
            below.append([])
        for one, other in zip([source, *line], [*line, target], strict=True):
            below[one].append(other)
            above[other].append(one)
        hidden[index] = line
    rows: list[list[int]] = [[] for _ in range(max(levels) + 1)]
    for level, _, vertex in sorted(at):
        rows[level].append(vertex)
    xs = align(rows, above, below, widths, _GAP_X_PX)
    level_of = {vertex: level for level, _, vertex in at}
    return xs[: len(levels)], {
        index: [(xs[vertex], level_of[vertex]) for vertex in line] for index, line in hidden.items()
    }


def _short_edges(levels: list[int], pairs: list[tuple[int, int]]) -> list[int]:
    """Return the edges that igraph routes, shortest first, as many as the budget of hidden nodes allows; in order."""
    budget = _HIDDEN_NODES + _HIDDEN_NODES_PER_BOX * len(levels)
    spans = [levels[target] - levels[source] for source, target in pairs]
    chosen: list[int] = []
    for index in sorted(range(len(pairs)), key=lambda index: spans[index]):
        budget -= spans[index] - 1
        if budget < 0:
            break
        chosen.append(index)
    return sorted(chosen)


def _order(
    levels: list[int], pairs: list[tuple[int, int]], chosen: list[int]
) -> tuple[list[float], dict[int, list[tuple[float, int]]]]:
    """Return every vertex's column, and (column, layer) wherever a chosen edge passes; columns give the order.

    igraph 1.0 crashes on a layered graph of several parts, so each part is given to it alone; parts stand side by side.
    """
    whole = igraph.Graph(n=len(levels), edges=[pairs[index] for index in chosen], directed=True)
    membership = whole.connected_components(mode="weak").membership
    members: dict[int, list[int]] = {}
    for vertex, part in enumerate(membership):
        members.setdefault(part, []).append(vertex)
    inside: dict[int, list[int]] = {part: [] for part in members}
    for index in chosen:
        inside[membership[pairs[index][0]]].append(index)
    columns = [0.0] * len(levels)
    routes: dict[int, list[tuple[float, int]]] = {}
    start = 0.0
    for part, vertices in sorted(members.items(), key=lambda item: -len(item[1])):
        local = {vertex: index for index, vertex in enumerate(vertices)}
        first = min(levels[vertex] for vertex in vertices)
        edges = [(local[pairs[index][0]], local[pairs[index][1]]) for index in inside[part]]
        network = igraph.Graph(n=len(vertices), edges=edges, directed=True)
        placed = network.layout_sugiyama(
            layers=[levels[vertex] - first for vertex in vertices], hgap=1, vgap=1, maxiter=_ORDERING_ROUNDS
        )
        coordinates = list(placed)
        points = [list(line) for line in placed.edge_routing]
        reached = [x for x, _ in coordinates] + [x for line in points for x, _ in line]
        shift = start - min(reached)
        for vertex, (x, _) in zip(vertices, coordinates, strict=True):
            columns[vertex] = x + shift
        for index, line in zip(inside[part], points, strict=True):
            routes[index] = [(x + shift, round(y) + first) for x, y in line]
        start = max(reached) + shift + 1
    return columns, routes


def _without_straight(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out bend points on a vertical line between two others."""
    return [
        point
        for index, point in enumerate(points)
        if not 0 < index < len(points) - 1
        or max(abs(points[index - 1][0] - point[0]), abs(points[index + 1][0] - point[0])) > 0.5
    ]


def _levels(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return each vertex's layer: the longest path from above; sources stand right above their first reader.

    Vertices come in topological order, so one sweep in each direction is enough.
    """
    levels = [0] * count
    fed = [False] * count
    by_source: list[list[int]] = [[] for _ in range(count)]
    for source, target in pairs:
        by_source[source].append(target)
        fed[target] = True
    for vertex in range(count):
        for target in by_source[vertex]:
            levels[target] = max(levels[target], levels[vertex] + 1)
    for vertex in range(count):
        if not fed[vertex] and by_source[vertex]:
            levels[vertex] = min(levels[target] for target in by_source[vertex]) - 1
    return levels
