"""Where every operator stands in the picture: in layers from top to bottom, so that shortcuts are seen as such.

Layers come from the longest path; igraph orders each layer (Sugiyama et al., 1981) and `alignment` sets the boxes,
whose widths igraph does not know. Sizes in pixels at zoom 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import igraph

from workbench.domain.reports import Drawing, DrawnEdge, DrawnNode
from workbench.graph.alignment import align
from workbench.graph.families import INPUT, OUTPUT, family_of
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node, Subgraph

_CHARACTER_PX = 9.0
_PADDING_PX = 32.0
# Layers show kernel and overlay figure beside their operator.
_LAYER_WIDTH_PX = 190.0
_MIN_WIDTH_PX = 56.0
_MAX_WIDTH_PX = 220.0
_HEIGHT_PX = 28.0
_GAP_X_PX = 20.0
_GAP_Y_PX = 30.0
_COMPONENT_GAP_PX = 60.0
# An edge adds a hidden node to each layer that it crosses; the longest edges are routed beside the picture instead
# where all together would add more than this many, which keeps the time linear.
_HIDDEN_NODES = 2000
_HIDDEN_NODES_PER_BOX = 3
_ROW_PX = 6000.0
_ORDERING_ROUNDS = 30


@dataclass
class _Box:
    id: str
    op: str
    family: str
    layer: str | None
    width: float


def layout(graph: ModelGraph) -> Drawing:
    """Return coordinates of all operators, graph inputs and graph outputs; constants are not drawn.

    Ids are node names; inputs and outputs have "input:" and "output:" before their value's name.
    """
    boxes, edges = _boxes_and_edges(graph)
    if not boxes:
        return Drawing(nodes=(), edges=(), width=0.0, height=0.0)
    network = igraph.Graph(n=len(boxes), edges=[(source, target) for source, target, _ in edges], directed=True)
    placed: list[tuple[float, float]] = [(0.0, 0.0)] * len(boxes)
    bends: list[tuple[tuple[float, float], ...]] = [()] * len(edges)
    of_component = network.connected_components(mode="weak").membership
    members: dict[int, list[int]] = {}
    for vertex, component in enumerate(of_component):
        members.setdefault(component, []).append(vertex)
    inside: dict[int, list[int]] = {component: [] for component in members}
    for index, (source, _, _) in enumerate(edges):
        inside[of_component[source]].append(index)
    left = top = row_height = width = 0.0
    for component, vertices in sorted(members.items(), key=lambda item: -len(item[1])):
        part = _place(vertices, [edges[index] for index in inside[component]], boxes)
        if left and left + part.width > _ROW_PX:
            left, top, row_height = 0.0, top + row_height + _COMPONENT_GAP_PX, 0.0
        for vertex, (x, y) in zip(vertices, part.centres, strict=True):
            placed[vertex] = (x + left, y + top)
        for index, points in zip(inside[component], part.bends, strict=True):
            bends[index] = tuple((round(x + left, 1), round(y + top, 1)) for x, y in points)
        width, row_height = max(width, left + part.width), max(row_height, part.height)
        left += part.width + _COMPONENT_GAP_PX
    return Drawing(
        nodes=tuple(
            DrawnNode.model_construct(
                id=box.id,
                op=box.op,
                family=box.family,
                x=round(x, 1),
                y=round(y, 1),
                width=box.width,
                height=_HEIGHT_PX,
                layer=box.layer,
            )
            for box, (x, y) in zip(boxes, placed, strict=True)
        ),
        edges=tuple(
            DrawnEdge.model_construct(source=boxes[source].id, target=boxes[target].id, value=value, points=points)
            for (source, target, value), points in zip(edges, bends, strict=True)
        ),
        width=round(width, 1),
        height=round(top + row_height, 1),
    )


def _boxes_and_edges(graph: ModelGraph) -> tuple[list[_Box], list[tuple[int, int, str]]]:
    layers = {node.name for node, _ in layer_nodes(graph)}
    boxes: list[_Box] = []
    writer: dict[str, int] = {}
    for info in graph.inputs:
        writer[info.name] = len(boxes)
        boxes.append(_box(f"input:{info.name}", info.name, INPUT, None))
    edges: list[tuple[int, int, str]] = []
    for node in _drawn(graph):
        index = len(boxes)
        boxes.append(_box(node.name, node.op, family_of(node.op), node.name if node.name in layers else None))
        edges.extend((writer[name], index, name) for name in dict.fromkeys(_reads(node)) if name in writer)
        writer.update({name: index for name in node.outputs if name})
    for info in graph.outputs:
        index = len(boxes)
        boxes.append(_box(f"output:{info.name}", info.name, OUTPUT, None))
        if info.name in writer:
            edges.append((writer[info.name], index, info.name))
    return boxes, edges


def _drawn(graph: ModelGraph) -> list[Node]:
    """Return the nodes that depend on an input; what constants alone feed (DequantizeLinear of a weight) is not."""
    fed = {info.name for info in graph.inputs}
    shown: list[Node] = []
    results = {info.name for info in graph.outputs}
    for node in graph.nodes:
        reads = _reads(node)
        if node.op != "Constant" and (any(name in fed for name in reads) or not results.isdisjoint(node.outputs)):
            shown.append(node)
            fed.update(filter(None, node.outputs))
    return shown


def _box(id: str, text: str, family: str, layer: str | None) -> _Box:
    least = _MIN_WIDTH_PX if layer is None else _LAYER_WIDTH_PX
    width = min(max(len(text) * _CHARACTER_PX + _PADDING_PX, least), _MAX_WIDTH_PX)
    return _Box(id, text, family, layer, width)


def _reads(node: Node) -> list[str]:
    """Return the values that a node reads, those that its subgraphs take from outside included."""
    names = [name for name in node.inputs if name]
    for attribute in node.attributes.values():
        for body in attribute if isinstance(attribute, tuple) else (attribute,):
            if isinstance(body, Subgraph):
                for inner in body.nodes:
                    names.extend(_reads(inner))
                names.extend(info.name for info in body.outputs)
    return names


@dataclass
class _Part:
    """One connected part with its own origin: centres by vertex, bend points by edge."""

    centres: list[tuple[float, float]]
    bends: list[list[tuple[float, float]]]
    width: float
    height: float


def _place(vertices: list[int], edges: list[tuple[int, int, str]], boxes: list[_Box]) -> _Part:
    local = {vertex: index for index, vertex in enumerate(vertices)}
    pairs = [(local[source], local[target]) for source, target, _ in edges]
    widths = [boxes[vertex].width for vertex in vertices]
    levels = _levels(len(vertices), pairs)
    step = _HEIGHT_PX + _GAP_Y_PX
    xs, routes = _align(levels, pairs, widths)
    right = max(x + width / 2 for x, width in zip(xs, widths, strict=True))
    bends: list[list[tuple[float, float]]] = []
    beside = 0
    for index, (source, target) in enumerate(pairs):
        if index in routes:
            bends.append(_without_straight([(x, level * step) for x, level in routes[index]]))
        else:
            side = right + _GAP_X_PX * (1 + beside % 8)
            bends.append([(side, (levels[source] + 0.5) * step), (side, (levels[target] - 0.5) * step)])
            beside += 1
    every = [x for points in bends for x, _ in points]
    left = min([*(x - width / 2 for x, width in zip(xs, widths, strict=True)), *every])
    right = max([right, *every])
    return _Part(
        centres=[(x - left, level * step + _HEIGHT_PX / 2) for x, level in zip(xs, levels, strict=True)],
        bends=[[(x - left, y + _HEIGHT_PX / 2) for x, y in points] for points in bends],
        width=right - left,
        height=max(levels) * step + _HEIGHT_PX,
    )


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
