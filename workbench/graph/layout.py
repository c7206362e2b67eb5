"""Where every operator stands in the picture: layered from top to bottom, so that data flows down and shortcuts are seen.

Layers come from the longest path; igraph orders each layer (Sugiyama et al., 1981) and gives coordinates in units that
are stretched to pixels here. Sizes in pixels at zoom 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import igraph

from workbench.domain.reports import DrawnEdge, DrawnNode, Drawing
from workbench.graph.families import INPUT, OUTPUT, family_of
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node, Subgraph

_CHARACTER_PX = 7.5
_PADDING_PX = 24.0
_MIN_WIDTH_PX = 56.0
_MAX_WIDTH_PX = 220.0
_HEIGHT_PX = 28.0
_GAP_X_PX = 20.0
_GAP_Y_PX = 30.0
_COMPONENT_GAP_PX = 60.0
# An edge over many layers would add a hidden node to each; beyond this it is routed beside the picture instead.
_LONG_EDGE_LAYERS = 40
_ROW_PX = 6000.0


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
    drawn = [node for node in graph.nodes if node.op != "Constant"]
    for node in drawn:
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


def _box(id: str, text: str, family: str, layer: str | None) -> _Box:
    width = min(max(len(text) * _CHARACTER_PX + _PADDING_PX, _MIN_WIDTH_PX), _MAX_WIDTH_PX)
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
    levels = _levels(len(vertices), pairs)
    short = [index for index, (source, target) in enumerate(pairs) if levels[target] - levels[source] <= _LONG_EDGE_LAYERS]
    network = igraph.Graph(n=len(vertices), edges=[pairs[index] for index in short], directed=True)
    placed = network.layout_sugiyama(layers=levels, hgap=1, vgap=1, maxiter=30)
    widths = [boxes[vertex].width for vertex in vertices]
    pitch = sorted(widths)[len(widths) // 2] + _GAP_X_PX
    xs = [x * pitch for x, _ in placed]
    _spread(xs, levels, widths)
    step = _HEIGHT_PX + _GAP_Y_PX
    routes = {index: list(points) for index, points in zip(short, placed.edge_routing, strict=True)}
    bends: list[list[tuple[float, float]]] = []
    left = min([x - width / 2 for x, width in zip(xs, widths, strict=True)])
    right = max([x + width / 2 for x, width in zip(xs, widths, strict=True)])
    lane = 0
    for index, (source, target) in enumerate(pairs):
        if index in routes:
            bends.append([(x * pitch, y * step) for x, y in routes[index]])
        else:
            lane += 1
            side = right + _GAP_X_PX * (1 + (lane - 1) % 8)
            bends.append([(side, (levels[source] + 0.5) * step), (side, (levels[target] - 0.5) * step)])
    every = [x for points in bends for x, _ in points]
    left, right = min([left, *every]), max([right, *every])
    return _Part(
        centres=[(x - left, level * step + _HEIGHT_PX / 2) for x, level in zip(xs, levels, strict=True)],
        bends=[[(x - left, y + _HEIGHT_PX / 2) for x, y in points] for points in bends],
        width=right - left,
        height=max(levels) * step + _HEIGHT_PX,
    )


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


def _spread(xs: list[float], levels: list[int], widths: list[float]) -> None:
    """Push boxes of one layer apart where wide ones would overlap, keeping the layer's middle where it was."""
    rows: dict[int, list[int]] = {}
    for vertex, level in enumerate(levels):
        rows.setdefault(level, []).append(vertex)
    for row in rows.values():
        row.sort(key=lambda vertex: xs[vertex])
        before = sum(xs[vertex] for vertex in row)
        for one, other in zip(row, row[1:], strict=False):
            xs[other] = max(xs[other], xs[one] + (widths[one] + widths[other]) / 2 + _GAP_X_PX)
        shift = (sum(xs[vertex] for vertex in row) - before) / len(row)
        for vertex in row:
            xs[vertex] -= shift
