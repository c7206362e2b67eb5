"""Turns a model into the picture of its operators: which have a box, how large it is, and what belongs together.

Sizes in pixels at zoom 1; `placement` says where every box stands, `blocks` what module it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.domain.reports import Drawing, DrawnEdge, DrawnNode
from workbench.graph.blocks import find_blocks
from workbench.graph.families import INPUT, OUTPUT, family_of
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node, Subgraph
from workbench.graph.placement import place

_CHARACTER_PX = 9.0
_PADDING_PX = 32.0
# Layers show kernel and overlay figure beside their operator.
_LAYER_WIDTH_PX = 190.0
_MIN_WIDTH_PX = 56.0
_MAX_WIDTH_PX = 220.0
_HEIGHT_PX = 28.0


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
    drawn = _drawn(graph)
    boxes, edges = _boxes_and_edges(graph, drawn)
    placed = place([(box.width, _HEIGHT_PX) for box in boxes], [(source, target) for source, target, _ in edges])
    found = find_blocks(graph, drawn)
    return Drawing(
        nodes=tuple(
            DrawnNode.model_construct(
                id=box.id,
                op=box.op,
                family=box.family,
                x=x,
                y=y,
                width=box.width,
                height=_HEIGHT_PX,
                layer=box.layer,
                block=found.innermost.get(box.id),
            )
            for box, (x, y) in zip(boxes, placed.centres, strict=True)
        ),
        edges=tuple(
            DrawnEdge.model_construct(source=boxes[source].id, target=boxes[target].id, value=value, points=points)
            for (source, target, value), points in zip(edges, placed.bends, strict=True)
        ),
        width=placed.width,
        height=placed.height,
        blocks=found.blocks,
    )


def _boxes_and_edges(graph: ModelGraph, drawn: list[Node]) -> tuple[list[_Box], list[tuple[int, int, str]]]:
    layers = {node.name for node, _ in layer_nodes(graph)}
    boxes: list[_Box] = []
    writer: dict[str, int] = {}
    for info in graph.inputs:
        writer[info.name] = len(boxes)
        boxes.append(_box(f"input:{info.name}", info.name, INPUT, None))
    edges: list[tuple[int, int, str]] = []
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
