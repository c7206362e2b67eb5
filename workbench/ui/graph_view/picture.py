"""What is to be drawn, as one frozen snapshot: boxes, edges, legend and an index of where they lie; no Qt in here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from workbench.domain.knobs import Knob
from workbench.domain.plan import LayerSettings
from workbench.domain.reports import DrawnEdge, DrawnNode, InspectReport
from workbench.project.state import ProjectState
from workbench.ui import colors
from workbench.ui.colors import Rgb
from workbench.ui.graph_view import overlays
from workbench.ui.graph_view.overlays import Fill, Legend
from workbench.ui.models import numbers

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels at zoom 1."""

_CELL = 512.0
_FEW_CELLS = 48


@dataclass(frozen=True)
class Box:
    """One node.

    Attributes:
        rect: Where it lies.
        title: Operator with what tells it from its like, e.g. "Conv 3×3, 16→32".
        name: Node name, elided by whoever draws it.
        stripe: Colour of the operator family.
        layer: Whether it is compressible.
    """

    id: str
    rect: Rect
    title: str
    name: str
    family: str
    stripe: Rgb
    layer: bool

    @property
    def center(self) -> tuple[float, float]:
        """Its middle."""
        left, top, right, bottom = self.rect
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True)
class Edge:
    """An arrow along `points` from the lower border of its source to the upper border of its target."""

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
    """The part of the picture that changes only with the model."""

    boxes: tuple[Box, ...] = ()
    edges: tuple[Edge, ...] = ()
    width: float = 0.0
    height: float = 0.0

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

    def box_at(self, x: float, y: float) -> Box | None:
        """Return the box under a point, or None."""
        found = self.box_grid.within((x, y, x, y))
        return self.boxes[found[-1]] if found else None


@dataclass(frozen=True)
class Picture:
    """Structure, fills by node id, legend, and groups of coupled layers."""

    structure: Structure = Structure()
    fills: dict[str, Fill] = field(default_factory=dict)
    legend: Legend = field(default_factory=lambda: Legend("Operator"))
    overlay: str = "operator"


def structure_of(report: InspectReport | None) -> Structure:
    """Return the structure of an inspected model; an empty one without a drawing."""
    if report is None or report.drawing is None:
        return Structure()
    titles = {layer.name: _title(layer.op, layer.weight_shape) for layer in report.layers}
    by_id = {node.id: _box(node, titles) for node in report.drawing.nodes}
    boxes = tuple(by_id.values())
    edges = tuple(_edge(edge, by_id) for edge in report.drawing.edges if edge.source in by_id and edge.target in by_id)
    return Structure(boxes, edges, report.drawing.width, report.drawing.height)


def resolve(
    state: ProjectState,
    overlay: str,
    settings: LayerSettings | None,
    knobs: tuple[Knob, ...],
    structure: Structure | None = None,
) -> Picture:
    """Return what to draw.

    Args:
        state: The document.
        overlay: Id of the chosen overlay.
        settings: Every layer's settings under the plan, or None.
        knobs: All knobs that are known.
        structure: That of an earlier picture of the same model, to spare making it again.
    """
    made = structure if structure is not None else structure_of(state.inspect)
    shown = overlays.overlay(overlay, state, settings, knobs)
    return Picture(made, shown.fills, shown.legend, overlay)


def coupled(report: InspectReport | None, layers: Iterable[str]) -> frozenset[str]:
    """Return the layers, without `layers` themselves, whose output channels go together with theirs."""
    if report is None:
        return frozenset()
    chosen = set(layers)
    groups = {layer.group for layer in report.layers if layer.name in chosen and layer.group is not None}
    return frozenset(layer.name for layer in report.layers if layer.group in groups) - chosen


def tooltip(report: InspectReport, box: Box, fill: Fill | None) -> tuple[str, ...]:
    """Return the lines that hovering over a box shows: name, operator, shapes and costs, group, overlay value."""
    lines = [box.name, box.title]
    layer = next((layer for layer in report.layers if layer.name == box.id), None)
    if layer is not None:
        lines.append(
            f"Weight {numbers.shape_text(layer.weight_shape)}, output {numbers.shape_text(layer.output_shape)}"
        )
        lines.append(f"{numbers.count_text(layer.params)} parameters, {numbers.count_text(layer.macs)} MACs")
        if layer.blocked is not None:
            lines.append(f"Can't be pruned: {layer.blocked}")
        elif layer.group is not None:
            group = next((group for group in report.groups if group.id == layer.group), None)
            if group is not None:
                members = len({member.layer for member in group.layers if member.axis == "out"})
                lines.append(f"Group {group.id}: {numbers.plural(members, 'layer')}, {group.channels} channels")
    else:
        cost = next((cost for cost in report.costs if cost.name == box.id), None)
        if cost is not None and cost.counted and (cost.macs or cost.params):
            lines.append(f"{numbers.count_text(cost.params)} parameters, {numbers.count_text(cost.macs)} MACs")
    if fill is not None and fill.text:
        lines.append(fill.text + (" (within noise)" if fill.uncertain else ""))
    return tuple(lines)


def _title(op: str, weight_shape: tuple[int, ...]) -> str:
    if op in ("Conv", "ConvTranspose") and len(weight_shape) > 2:
        kernel = numbers.shape_text(weight_shape[2:])
        return f"{op} {kernel}"
    return op


def _box(node: DrawnNode, titles: dict[str, str]) -> Box:
    rect = (
        node.x - node.width / 2,
        node.y - node.height / 2,
        node.x + node.width / 2,
        node.y + node.height / 2,
    )
    id = node.layer or node.id
    title = titles.get(id, node.op)
    return Box(id, rect, title, id, node.family, colors.family_color(node.family), node.layer is not None)


def _edge(edge: DrawnEdge, boxes: dict[str, Box]) -> Edge:
    """Join the bend points to the borders of both boxes."""
    source, target = boxes[edge.source], boxes[edge.target]
    start = (source.center[0], source.rect[3])
    end = (target.center[0], target.rect[1])
    bends = [point for point in edge.points if start[1] < point[1] < end[1]]
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
