"""Draws the marks of plot, table and legend: one painter for all, so that a symbol means the same everywhere."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QGraphicsObject, QStyleOptionGraphicsItem, QWidget

from workbench.ui.models.label_placement import Box, Label, place_labels
from workbench.ui.models.pareto_scene import Budget, Ghost, Kind, Mark, Scene
from workbench.ui.plotting import pg
from workbench.ui.theme import Theme

RADIUS = 4.5
_MOST_LABELS = 24
_LONGEST = 28
_DIMMED = 0.22


def mark_color(kind: Kind, theme: Theme) -> QColor:
    """Return the fill of a mark."""
    if kind == "original":
        return theme.color("text")
    if kind == "beaten":
        return blend(theme.color("accent"), theme.color("base"), 0.5)
    return theme.color("muted" if kind == "stale" else "accent")


def draw_mark(painter: QPainter, kind: Kind, star: bool, at: QPointF, theme: Theme, *, fraction: float = 0.0) -> None:
    """Draw one mark: diamond, dot, star, cross, or the hollow ring of a running job with its share as an arc."""
    color = mark_color(kind, theme)
    if kind in ("ghost", "foretold"):
        ring = QRectF(at.x() - RADIUS, at.y() - RADIUS, 2 * RADIUS, 2 * RADIUS)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(blend(color, theme.color("base"), 0.5), 1.5))
        painter.drawEllipse(ring)
        if kind == "foretold":
            return
        painter.setPen(QPen(color, 2.0))
        painter.drawArc(ring, 90 * 16, -round(fraction * 360 * 16))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(at, 1.5, 1.5)
        return
    if kind == "stale":
        reach = RADIUS * 0.8
        painter.setPen(QPen(color, 1.5))
        painter.drawLine(at + QPointF(-reach, -reach), at + QPointF(reach, reach))
        painter.drawLine(at + QPointF(-reach, reach), at + QPointF(reach, -reach))
        return
    # A rim in the background's colour keeps neighbours apart.
    painter.setPen(QPen(theme.color("base"), 1.0))
    painter.setBrush(color)
    if kind == "original":
        painter.drawPolygon(_polygon(at, [RADIUS * 1.4] * 4))
    elif star:
        painter.drawPolygon(_polygon(at, [RADIUS * 1.9, RADIUS * 0.8] * 5))
    else:
        painter.drawEllipse(at, RADIUS, RADIUS)


def mark_pixmap(kind: Kind, star: bool, theme: Theme, ratio: float = 2.0) -> QPixmap:
    """Return a mark as the picture that table rows and the legend show."""
    pixmap = QPixmap(QSize(16, 16) * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw_mark(painter, kind, star, QPointF(8, 8), theme, fraction=0.4)
    painter.end()
    return pixmap


@dataclass(frozen=True)
class _Mapping:
    """From the axes' units to pixels of the view box, computed once per painting."""

    left: float
    bottom: float
    x_scale: float
    y_scale: float
    height: float

    @classmethod
    def of(cls, box: pg.ViewBox) -> _Mapping:
        view, rect = box.viewRect(), box.rect()
        x_scale, y_scale = rect.width() / view.width(), rect.height() / view.height()
        return cls(view.left(), view.top(), x_scale, y_scale, rect.height())

    def __call__(self, x: float, y: float) -> QPointF:
        return QPointF((x - self.left) * self.x_scale, self.height - (y - self.bottom) * self.y_scale)


class MarksItem(QGraphicsObject):
    """Everything of a Scene but axes and budgets, in pixels over a view box."""

    def __init__(self, box: pg.ViewBox, theme: Theme) -> None:
        super().__init__(box)
        self._box = box
        self._theme = theme
        self.scene_value = Scene()
        self.budget = Budget()
        self.selected: str | None = None
        self.hovered: str | None = None
        self.dimmed: frozenset[str] = frozenset()
        self.most_label_gaps = 1
        self.labels: dict[str, QRectF] = {}
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self.setZValue(10)

    def boundingRect(self) -> QRectF:
        """Return the view box."""
        return QRectF(self._box.rect())

    def place_of(self, mark: Mark) -> QPointF:
        """Return where a mark is, in pixels of the view box."""
        return _Mapping.of(self._box)(mark.x, mark.y)

    def place_of_ghost(self, number: int) -> QPointF:
        """Return where a ghost waits: where it is foretold to land, else in the lower left corner."""
        ghosts = self.scene_value.ghosts
        place = ghosts[number].place if number < len(ghosts) else None
        if place is not None:
            return _Mapping.of(self._box)(*place)
        row = sum(ghost.place is None for ghost in ghosts[:number])
        return QPointF(14, self._box.rect().height() - 14 - 20 * row)

    def nearest(self, place: QPointF, reach: float = 10.0) -> Mark | None:
        """Return the mark under a place in the view box; of several the one drawn on top."""
        found: Mark | None = None
        least = reach
        pixel = _Mapping.of(self._box)
        for mark in self.scene_value.marks:
            offset = pixel(mark.x, mark.y) - place
            distance = math.hypot(offset.x(), offset.y())
            if distance <= least:
                found, least = mark, distance
        return found

    def ghost_at(self, place: QPointF, reach: float = 10.0) -> Ghost | None:
        """Return the running job under a place in the view box."""
        for number, ghost in enumerate(self.scene_value.ghosts):
            offset = self.place_of_ghost(number) - place
            if math.hypot(offset.x(), offset.y()) <= reach:
                return ghost
        return None

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem | None = None, widget: QWidget | None = None
    ) -> None:
        """Draw from the least to the most important."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, scene, pixel = self._theme, self.scene_value, _Mapping.of(self._box)
        lines = self._draw_step(painter, pixel)
        for mark in scene.marks:
            lines.extend(self._draw_intervals(painter, pixel, mark))
        for mark in sorted(scene.marks, key=lambda mark: mark.id not in self.dimmed):
            painter.setOpacity(_DIMMED if mark.id in self.dimmed else 1.0)
            draw_mark(painter, mark.kind, mark.star, pixel(mark.x, mark.y), theme)
        painter.setOpacity(1.0)
        for mark in scene.marks:
            if mark.id in (self.selected, self.hovered):
                painter.setBrush(Qt.BrushStyle.NoBrush)
                strong = mark.id == self.selected
                painter.setPen(QPen(theme.color("accent" if strong else "muted"), 2.0 if strong else 1.0))
                painter.drawEllipse(pixel(mark.x, mark.y), 2.2 * RADIUS, 2.2 * RADIUS)
        self._draw_labels(painter, pixel, lines)
        self._draw_ghosts(painter, pixel)

    # --- parts --------------------------------------------------------------------------------------------------

    def _draw_step(self, painter: QPainter, pixel: _Mapping) -> list[Box]:
        xs, ys = self.scene_value.step
        corners = [pixel(x, y) for x, y in zip(xs, ys, strict=True)]
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(blend(self._theme.color("accent"), self._theme.color("base"), 0.7), 1.5))
        painter.drawPolyline(QPolygonF(corners))
        return [_box_of(one, other) for one, other in itertools.pairwise(corners)]

    def _draw_intervals(self, painter: QPainter, pixel: _Mapping, mark: Mark) -> list[Box]:
        if mark.id in self.dimmed:
            return []
        share = 0.28 if mark.kind in ("beaten", "stale") else 0.45
        painter.setPen(QPen(blend(mark_color(mark.kind, self._theme), self._theme.color("base"), share), 2.0))
        bars = []
        if mark.x_interval is not None:
            bars.append((pixel(mark.x_interval[0], mark.y), pixel(mark.x_interval[1], mark.y)))
        if mark.y_interval is not None:
            bars.append((pixel(mark.x, mark.y_interval[0]), pixel(mark.x, mark.y_interval[1])))
        for one, other in bars:
            painter.drawLine(one, other)
        return [_box_of(one, other) for one, other in bars]

    def _draw_labels(self, painter: QPainter, pixel: _Mapping, lines: list[Box]) -> None:
        """Name the points; of many only those that matter most."""
        marks = [mark for mark in self.scene_value.marks if mark.id not in self.dimmed]
        rank = {"original": 1, "front": 2, "beaten": 3, "stale": 4}
        ordered = sorted(marks, key=lambda mark: 0 if mark.id == self.selected else rank[mark.kind] - mark.star)
        if len(ordered) > _MOST_LABELS:
            ordered = [mark for mark in ordered if mark.star or mark.id == self.selected or mark.kind == "original"]
            ordered += [mark for mark in marks if mark.kind == "front" and mark not in ordered]
            ordered = ordered[:_MOST_LABELS]
        font = QFont(painter.font())
        metrics = QFontMetricsF(font)
        texts = [_short(mark.name) for mark in ordered]
        places = [pixel(mark.x, mark.y) for mark in ordered]
        rect = self._box.rect()
        placed = place_labels(
            [
                Label(
                    place.x(),
                    place.y(),
                    metrics.horizontalAdvance(text) + 2,
                    metrics.height(),
                    ring=RADIUS if mark.id == self.selected else 0.0,
                )
                for mark, place, text in zip(ordered, places, texts, strict=True)
            ],
            [_around(pixel(mark.x, mark.y)) for mark in marks]
            + [_around(self.place_of_ghost(number), 40) for number in range(len(self.scene_value.ghosts))],
            [*lines, *self._budget_lines(pixel)],
            Box(2, 2, rect.width() - 4, rect.height() - 4),
            most_gaps=self.most_label_gaps,
        )
        self.labels = {}
        for mark, text, at, place in zip(ordered, texts, places, placed, strict=True):
            if place is None:
                continue
            box = QRectF(place.box.left, place.box.top, place.box.width, place.box.height)
            self.labels[mark.id] = box
            if place.far:
                painter.setPen(QPen(self._theme.color("border"), 1.0))
                painter.drawLine(at, _edge_towards(box, at))
            quiet = mark.kind in ("beaten", "stale") and mark.id != self.selected
            painter.setPen(self._theme.color("muted" if quiet else "text"))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _budget_lines(self, pixel: _Mapping) -> list[Box]:
        """Return the lines that the plot draws for the budget, so that labels keep clear of them."""
        rect, lines = self._box.rect(), []
        if self.budget.cost is not None:
            lines.append(Box(pixel(self.budget.cost, 0).x() - 1, 0, 2, rect.height()))
        if self.budget.score is not None:
            lines.append(Box(0, pixel(0, self.budget.score).y() - 1, rect.width(), 2))
        return lines

    def _draw_ghosts(self, painter: QPainter, pixel: _Mapping) -> None:
        metrics = QFontMetricsF(painter.font())
        width = self._box.rect().width() - 32
        for number, ghost in enumerate(self.scene_value.ghosts):
            at = self.place_of_ghost(number)
            if ghost.place is not None:
                self._draw_foretold(painter, pixel, ghost)
            draw_mark(painter, ghost.kind, False, at, self._theme, fraction=ghost.fraction)
            if ghost.place is not None:
                continue
            share = f"{ghost.fraction * 100:.0f}\N{NO-BREAK SPACE}%"
            text = metrics.elidedText(f"{ghost.title}  {share}", Qt.TextElideMode.ElideMiddle, width)
            painter.setPen(self._theme.color("muted"))
            painter.drawText(at + QPointF(10, metrics.ascent() / 2 - 1), text)

    def _draw_foretold(self, painter: QPainter, pixel: _Mapping, ghost: Ghost) -> None:
        """Draw the intervals of what is foretold, thin and dotted: nothing of it was measured."""
        assert ghost.place is not None
        x, y = ghost.place
        color = blend(self._theme.color("accent"), self._theme.color("base"), 0.45)
        painter.setPen(QPen(color, 1.0, Qt.PenStyle.DotLine))
        if ghost.x_interval is not None:
            painter.drawLine(pixel(ghost.x_interval[0], y), pixel(ghost.x_interval[1], y))
        if ghost.y_interval is not None:
            painter.drawLine(pixel(x, ghost.y_interval[0]), pixel(x, ghost.y_interval[1]))


def _polygon(at: QPointF, reaches: list[float]) -> QPolygonF:
    """Return corners around a point, the first one upwards."""
    step = 2 * math.pi / len(reaches)
    return QPolygonF(
        [
            at + QPointF(reach * math.sin(number * step), -reach * math.cos(number * step))
            for number, reach in enumerate(reaches)
        ]
    )


def blend(color: QColor, back: QColor, share: float) -> QColor:
    """Return an opaque mix, which does not add up where bars cross."""
    return QColor.fromRgbF(
        *(back_part + (part - back_part) * share for part, back_part in zip(_parts(color), _parts(back), strict=True))
    )


def _parts(color: QColor) -> tuple[float, float, float]:
    return color.redF(), color.greenF(), color.blueF()


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _around(at: QPointF, width: float = 2 * RADIUS) -> Box:
    return Box(at.x() - RADIUS, at.y() - RADIUS, width, 2 * RADIUS)


def _box_of(one: QPointF, other: QPointF) -> Box:
    left, top = min(one.x(), other.x()), min(one.y(), other.y())
    return Box(left - 1, top - 1, abs(one.x() - other.x()) + 2, abs(one.y() - other.y()) + 2)


def _edge_towards(box: QRectF, at: QPointF) -> QPointF:
    return QPointF(
        min(max(at.x(), box.left()), box.right()),
        min(max(at.y(), box.top()), box.bottom()),
    )
