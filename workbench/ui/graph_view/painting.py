"""Draws a picture with a QPainter, in three levels of detail: boxes with text, bars with a title, plain blocks."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen, QPolygonF

from workbench.ui import colors
from workbench.ui.colors import Rgb
from workbench.ui.graph_view.overlays import Fill
from workbench.ui.graph_view.picture import Picture
from workbench.ui.graph_view.structure import Box, Edge
from workbench.ui.theme import Theme, body_font

_READABLE_PX = 8.0
_LEAST_TITLE_PX = 24.0
_ARROW = 6.0
_STRIPE = 5.0
_RADIUS = 5.0
_PILE = 3.0


class Detail(enum.Enum):
    """How much of a box is drawn."""

    FULL = "full"
    TITLE = "title"
    BLOCK = "block"


def detail_at(scale: float, text_px: float) -> Detail:
    """Return the level at a zoom: text is only drawn where it is at least readable."""
    if scale * text_px >= _READABLE_PX:
        return Detail.FULL
    return Detail.TITLE if scale >= 0.36 else Detail.BLOCK


def fitting_value(fill: Fill, metrics: QFontMetricsF, width: float, beside: float = 0.0) -> str:
    """Return what a box shows of its value: half a number, cut at the box, would read as another one.

    Args:
        fill: Its text, and a short form that stands in where the text leaves no room.
        metrics: Of the font.
        width: Of the box.
        beside: What else is to stand there.
    """
    text = fill.text
    if fill.short and metrics.horizontalAdvance(text) + beside > width:
        text = fill.short
    return text if metrics.horizontalAdvance(text) <= width else metrics.elidedText(text, _CUT, width)


class PicturePainter:
    """Paints boxes and edges of one picture; remembers what is dear to make (paths, elided names, colour batches)."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self._picture = Picture()
        self._paths: dict[int, QPainterPath] = {}
        self._elided: dict[tuple[str, int], str] = {}
        base = body_font()
        self._title_font = QFont(base)
        self._title_font.setPixelSize(13)
        self._title_font.setWeight(QFont.Weight.DemiBold)
        self._name_font = QFont(base)
        self._name_font.setPixelSize(11)
        self._small_font = QFont(base)

    @property
    def picture(self) -> Picture:
        """What is painted."""
        return self._picture

    def set_picture(self, picture: Picture) -> None:
        """Paint another picture."""
        if picture.structure is not self._picture.structure:
            self._paths.clear()
            self._elided.clear()
        self._picture = picture

    def paint(self, painter: QPainter, area: QRectF, scale: float) -> None:
        """Paint everything that touches `area` (scene pixels) at `scale` (screen pixels a scene pixel)."""
        structure = self._picture.structure
        reach = (area.left(), area.top(), area.right(), area.bottom())
        detail = detail_at(scale, 11)
        self._paint_edges(painter, [structure.edges[i] for i in structure.edge_grid.within(reach)], scale, detail)
        boxes = [structure.boxes[index] for index in structure.box_grid.within(reach)]
        if detail is Detail.BLOCK:
            self._paint_blocks(painter, boxes)
        else:
            for box in boxes:
                self.paint_box(painter, box, scale, detail)

    def edge_path(self, edge: Edge) -> QPainterPath:
        """Return an edge as a smooth path that leaves and enters boxes vertically."""
        path = self._paths.get(id(edge))
        if path is None:
            path = QPainterPath(QPointF(*edge.points[0]))
            for (x0, y0), (x1, y1) in zip(edge.points, edge.points[1:], strict=False):
                if abs(x0 - x1) < 0.5:
                    path.lineTo(x1, y1)
                else:
                    middle = (y0 + y1) / 2
                    path.cubicTo(x0, middle, x1, middle, x1, y1)
            self._paths[id(edge)] = path
        return path

    def paint_edges_strong(self, painter: QPainter, edges: Iterable[Edge], scale: float) -> None:
        """Paint the edges of a selected node."""
        color = self._theme.color("edge_strong")
        painter.setPen(QPen(color, max(1.8, 1.4 / scale)))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for edge in edges:
            painter.drawPath(self.edge_path(edge))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        for edge in edges:
            painter.drawPolygon(_arrow_head(edge, max(_ARROW, 5.0 / scale)))

    def paint_box(self, painter: QPainter, box: Box, scale: float, detail: Detail) -> None:
        """Paint one node, or a closed block as a pile of boxes."""
        fill = self._picture.fills.get(box.id)
        rect = _rect(box)
        back = self._background(box, fill)
        if box.members:
            self._paint_pile(painter, rect)
        shape = QPainterPath()
        shape.addRoundedRect(rect, _RADIUS, _RADIUS)
        painter.fillPath(shape, QColor(*back))
        if fill is not None and fill.uncertain:
            painter.fillPath(shape, QBrush(_faded(colors.ink_on(back), 60), Qt.BrushStyle.BDiagPattern))
        painter.save()
        painter.setClipPath(shape, Qt.ClipOperation.IntersectClip)
        painter.fillRect(QRectF(rect.left(), rect.top(), _STRIPE, rect.height()), QColor(*box.stripe))
        painter.restore()
        painter.setPen(QPen(self._theme.color("border"), 1.0))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(rect, _RADIUS, _RADIUS)
        self._paint_text(painter, box, rect, fill, back, scale, detail)

    def _paint_pile(self, painter: QPainter, rect: QRectF) -> None:
        painter.setPen(QPen(self._theme.color("border"), 1.0))
        painter.setBrush(self._theme.color("node"))
        for distance in (2 * _PILE, _PILE):
            painter.drawRoundedRect(rect.translated(distance, distance), _RADIUS, _RADIUS)

    def _paint_text(
        self, painter: QPainter, box: Box, rect: QRectF, fill: Fill | None, back: Rgb, scale: float, detail: Detail
    ) -> None:
        ink = QColor(*colors.ink_on(back))
        inner = rect.adjusted(_STRIPE + 6, 3, -6, -3)
        painter.setPen(ink)
        if detail is Detail.TITLE:
            self._small_font.setPixelSize(max(round(_READABLE_PX / scale), 1))
            if self._small_font.pixelSize() * 1.1 > rect.height():
                return
            painter.setFont(self._small_font)
            area = QRectF(inner)
            if fill is not None and fill.text:
                metrics = QFontMetricsF(self._small_font)
                value = fitting_value(fill, metrics, area.width())
                painter.drawText(area, _RIGHT, value)
                area.setWidth(area.width() - metrics.horizontalAdvance(value) - 4 / scale)
            if area.width() * scale >= _LEAST_TITLE_PX or fill is None:
                title = box.title if box.members else box.title.split(" ")[0]
                painter.drawText(area, _LEFT, self._fitted(title, self._small_font, area.width()))
            return
        two_lines = rect.height() >= 34
        title_area = QRectF(inner.left(), inner.top(), inner.width(), inner.height() / (2 if two_lines else 1))
        painter.setFont(self._title_font)
        if fill is not None and fill.text:
            metrics = QFontMetricsF(self._title_font)
            value = fitting_value(fill, metrics, title_area.width(), beside=metrics.horizontalAdvance(box.title) + 8)
            painter.drawText(title_area, _RIGHT, value)
            title_area.setWidth(title_area.width() - metrics.horizontalAdvance(value) - 8)
        painter.drawText(title_area, _LEFT, self._fitted(box.title, self._title_font, title_area.width()))
        if two_lines:
            name_area = QRectF(inner.left(), inner.center().y(), inner.width(), inner.height() / 2)
            painter.setFont(self._name_font)
            below = box.note or box.name
            painter.drawText(name_area, _LEFT, self._fitted(below, self._name_font, name_area.width()))

    def _fitted(self, text: str, font: QFont, width: float) -> str:
        key = (text, round(width) * 64 + font.pixelSize())
        if key not in self._elided:
            self._elided[key] = QFontMetricsF(font).elidedText(text, Qt.TextElideMode.ElideMiddle, width)
        return self._elided[key]

    def _background(self, box: Box, fill: Fill | None) -> Rgb:
        """Return a box's fill: the overlay's colour, a tint of the family for operators, or plain for "no value"."""
        if fill is not None:
            return fill.color
        node = colors.parse(self._theme.roles.node)
        if self._picture.overlay != "operator":
            return node
        share = 0.26 if self._theme.dark else 0.16
        red, green, blue = (round(a + (b - a) * share) for a, b in zip(node, box.stripe, strict=True))
        return red, green, blue

    def _paint_blocks(self, painter: QPainter, boxes: list[Box]) -> None:
        """Paint plain rectangles, one call a colour: this is what ten thousand nodes at a glance cost."""
        by_color: dict[Rgb, list[QRectF]] = {}
        for box in boxes:
            fill = self._picture.fills.get(box.id)
            if fill is not None:
                color = fill.color
            elif self._picture.overlay == "operator":
                color = box.stripe
            else:
                color = colors.parse(self._theme.roles.border)
            by_color.setdefault(color, []).append(_rect(box))
        painter.setPen(Qt.PenStyle.NoPen)
        for color, rects in by_color.items():
            painter.setBrush(QColor(*color))
            painter.drawRects(rects)

    def _paint_edges(self, painter: QPainter, edges: list[Edge], scale: float, detail: Detail) -> None:
        color = self._theme.color("edge")
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if detail is Detail.BLOCK:
            pen = QPen(color, 1.0)
            pen.setCosmetic(True)
            painter.setPen(pen)
            for edge in edges:
                painter.drawPolyline([QPointF(x, y) for x, y in edge.points])
            return
        painter.setPen(QPen(color, 1.4))
        for edge in edges:
            painter.drawPath(self.edge_path(edge))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        for edge in edges:
            painter.drawPolygon(_arrow_head(edge, max(_ARROW, 4.0 / scale)))


_CUT = Qt.TextElideMode.ElideRight
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def _rect(box: Box) -> QRectF:
    left, top, right, bottom = box.rect
    return QRectF(left, top, right - left, bottom - top)


def _arrow_head(edge: Edge, size: float) -> QPolygonF:
    (_, before), (x, y) = edge.points[-2], edge.points[-1]
    back = size if y >= before else -size
    return QPolygonF([QPointF(x, y), QPointF(x - size * 0.55, y - back), QPointF(x + size * 0.55, y - back)])


def _faded(color: Rgb, alpha: int) -> QColor:
    red, green, blue = color
    return QColor(red, green, blue, alpha)
