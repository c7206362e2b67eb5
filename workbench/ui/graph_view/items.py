"""The two layers of the scene: the picture itself, and the marks (selection, group, branch, search hits) above it.

Each is one item for the whole graph that paints what is exposed, so that ten thousand nodes cost no ten thousand items.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from workbench.ui.graph_view.painting import PicturePainter, detail_at
from workbench.ui.graph_view.structure import Structure
from workbench.ui.theme import Theme

_MANY_EDGES = 400


class GraphItem(QGraphicsItem):
    """Everything that changes only with picture or theme."""

    def __init__(self, painter: PicturePainter) -> None:
        super().__init__()
        self._painter = painter
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemUsesExtendedStyleOption)

    def resized(self) -> None:
        """Say that the picture has, or is about to get, another size."""
        self.prepareGeometryChange()

    def boundingRect(self) -> QRectF:
        """Return the whole picture with room for arrows and outlines."""
        return _bounds(self._painter)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Paint what is exposed."""
        scale = option.levelOfDetailFromTransform(painter.worldTransform())
        self._painter.paint(painter, option.exposedRect, scale)


class MarksItem(QGraphicsItem):
    """Selection, coupled group (dashed), branch (dotted), hits of the search, and the box under the pointer."""

    def __init__(self, painter: PicturePainter, theme: Theme) -> None:
        super().__init__()
        self._painter = painter
        self._theme = theme
        self.selected: tuple[str, ...] = ()
        self.coupled: frozenset[str] = frozenset()
        self.beside: frozenset[str] = frozenset()
        self.hits: frozenset[str] = frozenset()
        self._hovered: str | None = None
        self.setZValue(1)

    def resized(self) -> None:
        """Forget marks of another picture."""
        self.prepareGeometryChange()
        self._hovered = None
        self.hits = frozenset()

    @property
    def hovered(self) -> str | None:
        """Id of the box under the pointer."""
        return self._hovered

    def set_hovered(self, id: str | None) -> None:
        """Outline another box; only both places are painted anew, since the pointer moves often."""
        for changed in (self._hovered, id):
            box = self._painter.picture.structure.box(changed) if changed is not None else None
            if box is not None:
                left, top, right, bottom = box.rect
                self.update(QRectF(left, top, right - left, bottom - top).adjusted(-12, -12, 12, 12))
        self._hovered = id

    def boundingRect(self) -> QRectF:
        """Return the whole picture with room for outlines."""
        return _bounds(self._painter)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Paint the marks."""
        structure = self._painter.picture.structure
        scale = option.levelOfDetailFromTransform(painter.worldTransform())
        width = max(2.0, 2.0 / scale)
        if self.selected:
            near = {index for id in self.selected for index in structure.edges_at.get(id, ())}
            if len(near) < _MANY_EDGES:
                self._painter.paint_edges_strong(painter, [structure.edges[index] for index in sorted(near)], scale)
                detail = detail_at(scale, 11)
                for id in self.selected:
                    if (box := structure.box(id)) is not None:
                        self._painter.paint_box(painter, box, scale, detail)
        accent = self._theme.color("accent")
        dashed = QPen(accent, width, Qt.PenStyle.DashLine)
        dashed.setDashPattern([3, 2])
        self._outline(painter, structure, self.coupled, dashed, 3.0)
        dotted = QPen(self._theme.color("text"), width, Qt.PenStyle.DashLine)
        dotted.setCapStyle(Qt.PenCapStyle.RoundCap)
        dotted.setDashPattern([0.01, 2.2])
        self._outline(painter, structure, self.beside, dotted, 6.0)
        self._outline(painter, structure, self.hits, QPen(self._theme.color("warning"), width), 3.0)
        if self._hovered is not None:
            self._outline(painter, structure, (self._hovered,), QPen(self._theme.color("muted"), width * 0.7), 1.0)
        self._outline(painter, structure, self.selected, QPen(accent, width * 1.4), 2.0)

    def _outline(self, painter: QPainter, structure: Structure, ids: Iterable[str], pen: QPen, distance: float) -> None:
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for id in ids:
            if (box := structure.box(id)) is not None:
                left, top, right, bottom = box.rect
                rect = QRectF(left, top, right - left, bottom - top)
                painter.drawRoundedRect(rect.adjusted(-distance, -distance, distance, distance), 6, 6)


def _bounds(painter: PicturePainter) -> QRectF:
    structure = painter.picture.structure
    return QRectF(0, 0, structure.width, structure.height).adjusted(-60, -60, 60, 60)
