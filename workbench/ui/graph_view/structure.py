"""What is to be drawn and where: boxes, edges and an index of the places they take; no Qt in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from workbench.domain.reports import Drawing, DrawnEdge, DrawnNode, InspectReport
from workbench.graph.collapse import BLOCK_FAMILY, BlockTree
from workbench.ui import colors
from workbench.ui.colors import Rgb
from workbench.ui.models import numbers

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels at zoom 1."""

_CELL = 512.0
_FEW_CELLS = 48


@dataclass(frozen=True)
class Box:
    """One node, or one closed block.

    Attributes:
        rect: Where it lies.
        title: Operator with what tells it from its like, e.g. "Conv 3×3, 16→32".
        name: Node name, elided by whoever draws it.
        stripe: Colour of the operator family; of a block, that of most of its layers.
        layer: Whether it is compressible.
        members: Of a closed block, the ids of all nodes in it; () for a node.
        note: What is said of a block below its title.
    """

    id: str
    rect: Rect
    title: str
    name: str
    family: str
    stripe: Rgb
    layer: bool
    members: tuple[str, ...] = ()
    note: str = ""

    @property
    def center(self) -> tuple[float, float]:
        """Its middle."""
        left, top, right, bottom = self.rect
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True)
class Edge:
    """An arrow along `points` from the lower border of its source to the upper border of its target.

    Where closed blocks feed each other in a circle, some arrows lead up, from the upper border to the lower one.
    """

    source: str
    target: str
    value: str
    points: tuple[tuple[float, float], ...]

    @property
    def rect(self) -> Rect:
        """The rectangle that holds it."""
        xs = [x for x, _ in self.points]
        ys = [y for _, y in self.points]
        return min(xs), min(ys), max(xs), max(ys)


class Grid:
    """Finds what lies in a rectangle without looking at everything; long things are kept apart and always tested."""

    def __init__(self, rects: Iterable[Rect]) -> None:
        self._rects = tuple(rects)
        self._cells: dict[tuple[int, int], list[int]] = {}
        self._long: list[int] = []
        for index, rect in enumerate(self._rects):
            cells = list(_cells(rect, _FEW_CELLS))
            if len(cells) >= _FEW_CELLS:
                self._long.append(index)
            else:
                for cell in cells:
                    self._cells.setdefault(cell, []).append(index)

    def within(self, area: Rect) -> list[int]:
        """Return the indices, ascending, of everything that touches `area`."""
        columns = int(area[2] // _CELL) - int(area[0] // _CELL) + 1
        rows = int(area[3] // _CELL) - int(area[1] // _CELL) + 1
        if columns * rows > len(self._cells):
            return [index for index, rect in enumerate(self._rects) if _touch(rect, area)]
        found = {index for cell in _cells(area) for index in self._cells.get(cell, ())}
        found.update(self._long)
        return sorted(index for index in found if _touch(self._rects[index], area))


@dataclass(frozen=True)
class Structure:
    """The part of the picture that changes only with the model and its closed blocks.

    Attributes:
        owner: For every node that a closed block hides, the block's id.
    """

    boxes: tuple[Box, ...] = ()
    edges: tuple[Edge, ...] = ()
    width: float = 0.0
    height: float = 0.0
    owner: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def position(self) -> dict[str, int]:
        """Index of a box by node id."""
        return {box.id: index for index, box in enumerate(self.boxes)}

    @cached_property
    def box_grid(self) -> Grid:
        """Where boxes lie."""
        return Grid(box.rect for box in self.boxes)

    @cached_property
    def edge_grid(self) -> Grid:
        """Where edges lie."""
        return Grid(edge.rect for edge in self.edges)

    @cached_property
    def edges_at(self) -> dict[str, tuple[int, ...]]:
        """Indices of the edges that begin or end at a node."""
        found: dict[str, list[int]] = {}
        for index, edge in enumerate(self.edges):
            found.setdefault(edge.source, []).append(index)
            found.setdefault(edge.target, []).append(index)
        return {id: tuple(indices) for id, indices in found.items()}

    def box(self, id: str) -> Box | None:
        """Return the box of a node, or None."""
        index = self.position.get(id)
        return None if index is None else self.boxes[index]

    def shown(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return the boxes that stand for nodes: their own, or that of the block that hides them; each once."""
        return tuple(dict.fromkeys(self.owner.get(id, id) for id in ids))

    def box_at(self, x: float, y: float) -> Box | None:
        """Return the box under a point, or None."""
        found = self.box_grid.within((x, y, x, y))
        return self.boxes[found[-1]] if found else None


def structure_of(report: InspectReport | None) -> Structure:
    """Return the structure of an inspected model with all its operators; an empty one without a drawing."""
    if report is None or report.drawing is None:
        return Structure()
    titles = _titles(report)
    return _structure({node.id: _box(node, titles) for node in report.drawing.nodes}, report.drawing, {})


def folded_structure(report: InspectReport, tree: BlockTree, drawing: Drawing, closed: Collection[str]) -> Structure:
    """Return the structure of a model with closed blocks.

    Args:
        report: What is known of the model.
        tree: Its blocks.
        drawing: What is left with the blocks closed.
        closed: Ids of the closed blocks.
    """
    titles, blocks = _titles(report), _Blocks(report, tree)
    boxes = {node.id: blocks.box(node) if node.family == BLOCK_FAMILY else _box(node, titles) for node in drawing.nodes}
    return _structure(boxes, drawing, tree.owners(closed))


def _structure(boxes: dict[str, Box], drawing: Drawing, owner: Mapping[str, str]) -> Structure:
    edges = tuple(_edge(edge, boxes) for edge in drawing.edges if edge.source in boxes and edge.target in boxes)
    return Structure(tuple(boxes.values()), edges, drawing.width, drawing.height, owner)


def _titles(report: InspectReport) -> dict[str, str]:
    return {layer.name: _title(layer.op, layer.weight_shape) for layer in report.layers}


class _Blocks:
    """Makes the boxes of closed blocks, with what their members cost together."""

    def __init__(self, report: InspectReport, tree: BlockTree) -> None:
        self._tree = tree
        self._costs = {cost.name: (cost.params, cost.macs) for cost in report.costs}
        self._costs.update({layer.name: (layer.params, layer.macs) for layer in report.layers})
        self._nodes = {node.id: node for node in tree.drawing.nodes}

    def box(self, node: DrawnNode) -> Box:
        block = self._tree.by_id[node.id]
        members = self._tree.members[node.id]
        layers = [id for id in members if self._nodes[id].layer is not None]
        families = Counter(self._nodes[id].family for id in layers or members)
        family = families.most_common(1)[0][0]
        costs = [self._costs.get(id, (0, 0)) for id in members]
        params, macs = sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
        parts = [numbers.plural(len(layers), "layer") if layers else numbers.plural(len(members), "operator")]
        parts += [f"{numbers.count_text(params)} params"] if params else []
        parts += [f"{numbers.count_text(macs)} MACs"] if macs else []
        return Box(
            node.id, _rect(node), block.title, block.name, family, colors.family_color(family), False, members,
            " · ".join(parts),
        )  # fmt: skip


def _title(op: str, weight_shape: tuple[int, ...]) -> str:
    if op in ("Conv", "ConvTranspose") and len(weight_shape) > 2:
        kernel = numbers.shape_text(weight_shape[2:])
        return f"{op} {kernel}"
    return op


def _box(node: DrawnNode, titles: dict[str, str]) -> Box:
    id = node.layer or node.id
    title = titles.get(id, node.op)
    return Box(id, _rect(node), title, id, node.family, colors.family_color(node.family), node.layer is not None)


def _rect(node: DrawnNode) -> Rect:
    return node.x - node.width / 2, node.y - node.height / 2, node.x + node.width / 2, node.y + node.height / 2


def _edge(edge: DrawnEdge, boxes: dict[str, Box]) -> Edge:
    """Join the bend points to the borders of both boxes."""
    source, target = boxes[edge.source], boxes[edge.target]
    down = source.rect[3] <= target.rect[1]
    start = (source.center[0], source.rect[3 if down else 1])
    end = (target.center[0], target.rect[1 if down else 3])
    low, high = min(start[1], end[1]), max(start[1], end[1])
    bends = [point for point in edge.points if low < point[1] < high]
    return Edge(source.id, target.id, edge.value, (start, *bends, end))


def _cells(rect: Rect, most: int | None = None) -> Iterator[tuple[int, int]]:
    count = 0
    for column in range(int(rect[0] // _CELL), int(rect[2] // _CELL) + 1):
        for row in range(int(rect[1] // _CELL), int(rect[3] // _CELL) + 1):
            yield column, row
            count += 1
            if most is not None and count >= most:
                return


def _touch(one: Rect, other: Rect) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
