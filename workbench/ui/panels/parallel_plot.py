"""Draws parallel coordinates: point at a line to read it, click to choose it, drag along an axis to bound it."""

from __future__ import annotations

import html
import itertools
import math

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from workbench.ui.models.candidate_filter import Bound
from workbench.ui.models.measures import Key
from workbench.ui.models.parallel_scene import ParallelAxis, ParallelLine, ParallelScene
from workbench.ui.panels.pareto_marks import blend, draw_mark, mark_color
from workbench.ui.theme import Theme

_SIDE, _ABOVE, _BELOW = 44.0, 66.0, 14.0
_GRIP = 14.0
_NEAR = 7.0
_LEAST_DRAG = 4.0


class ParallelPlot(QWidget):
    """Shows a ParallelScene.

    Signals:
        picked: Id of the line that was clicked; "" is the original.
        menuAsked: (id of the line under the pointer or None, position on screen).
        bounded: A Bound that the user drew on an axis, or took away.
    """

    picked = Signal(str)
    menuAsked = Signal(object, QPoint)
    bounded = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.scene = ParallelScene()
        self.selected: str | None = None
        self.hovered: str | None = None
        self.hover_text = ""
        self.dimmed: frozenset[str] = frozenset()
        self.bounds: dict[Key, Bound] = {}
        self._pressed: tuple[int, float] | None = None
        self._dragged: tuple[int, float, float] | None = None
        self.setMouseTracking(True)
        self.setMinimumSize(160, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.themeChanged.connect(self.update)

    def sizeHint(self) -> QSize:
        """Return a size with room for the axes."""
        return QSize(560, 260)

    def set_scene(self, scene: ParallelScene) -> None:
        """Draw a scene."""
        self.scene = scene
        self.update()

    def select(self, id: str | None) -> None:
        """Draw a line as the chosen one."""
        self.selected = id
        self.update()

    def set_dimmed(self, ids: frozenset[str]) -> None:
        """Step back with these lines."""
        self.dimmed = ids
        self.update()

    def set_bounds(self, bounds: tuple[Bound, ...]) -> None:
        """Show bounds on their axes."""
        self.bounds = {bound.key: bound for bound in bounds}
        self.update()

    # --- places -------------------------------------------------------------------------------------------------

    def axis_x(self, number: int) -> float:
        """Return where an axis stands, in pixels."""
        count = len(self.scene.axes)
        room = self.width() - 2 * _SIDE
        return self.width() / 2 if count < 2 else _SIDE + room * number / (count - 1)

    def y_of(self, height: float) -> float:
        """Return the pixel row of a height on the axes."""
        return _ABOVE + (1 - height) * self._span

    def height_at(self, y: float) -> float:
        """Return the height at a pixel row, within the axes."""
        return min(max(1 - (y - _ABOVE) / self._span, 0.0), 1.0)

    def line_at(self, place: QPointF, reach: float = _NEAR) -> ParallelLine | None:
        """Return the line under a place; of several the one drawn on top."""
        found, least = None, reach
        for line in self.scene.lines:
            for one, other in itertools.pairwise(self._corners(line)):
                if one is not None and other is not None and (distance := _distance(place, one, other)) <= least:
                    found, least = line, distance
        return found

    @property
    def _span(self) -> float:
        return max(self.height() - _ABOVE - _BELOW, 1.0)

    def _corners(self, line: ParallelLine) -> list[QPointF | None]:
        return [
            None if value is None else QPointF(self.axis_x(number), self.y_of(axis.height(value)))
            for number, (axis, value) in enumerate(zip(self.scene.axes, line.values, strict=True))
        ]

    def _axis_at(self, place: QPointF) -> int | None:
        near = [(abs(place.x() - self.axis_x(number)), number) for number in range(len(self.scene.axes))]
        distance, number = min(near, default=(math.inf, 0))
        return number if distance <= _GRIP and place.y() >= _ABOVE - 8 else None

    # --- drawing ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw axes, then lines from the least to the most important, then bounds and labels."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self._theme.color("base"))
        for number in range(len(self.scene.axes)):
            x = self.axis_x(number)
            painter.setPen(QPen(self._theme.color("border"), 1.0))
            painter.drawLine(QPointF(x, self.y_of(1)), QPointF(x, self.y_of(0)))
        strong = {self.selected, self.hovered}
        for line in sorted(self.scene.lines, key=lambda line: (line.id not in self.dimmed) + (line.id in strong)):
            self._draw_line(painter, line)
        for number, axis in enumerate(self.scene.axes):
            self._draw_bound(painter, number, axis)
            self._draw_words(painter, number, axis)

    def _draw_line(self, painter: QPainter, line: ParallelLine) -> None:
        base = self._theme.color("base")
        color, width = mark_color(line.kind, self._theme), 1.6
        if line.id in self.dimmed:
            color = blend(self._theme.color("muted"), base, 0.3)
        if line.id in (self.selected, self.hovered):
            width = 3.0 if line.id == self.selected else 2.2
        style = {"original": Qt.PenStyle.DashLine, "stale": Qt.PenStyle.DotLine}
        painter.setPen(QPen(color, width, style.get(line.kind, Qt.PenStyle.SolidLine)))
        corners = self._corners(line)
        for one, other in itertools.pairwise(corners):
            if one is not None and other is not None:
                painter.drawLine(one, other)
        if line.id in self.dimmed:
            return
        for corner in corners:
            if corner is not None:
                draw_mark(painter, line.kind, line.row.star, corner, self._theme)

    def _draw_bound(self, painter: QPainter, number: int, axis: ParallelAxis) -> None:
        rect = self._bound_rect(number, axis)
        if rect is None:
            return
        color = self._theme.color("warning")
        painter.setPen(QPen(color, 1.0))
        painter.setBrush(QColor(color.red(), color.green(), color.blue(), 40))
        painter.drawRect(rect)

    def _bound_rect(self, number: int, axis: ParallelAxis) -> QRectF | None:
        if self._dragged is not None and self._dragged[0] == number:
            one, other = self._dragged[1:]
        else:
            bound = self.bounds.get(axis.key)
            if bound is None:
                return None
            ends = [axis.low if bound.low is None else bound.low, axis.high if bound.high is None else bound.high]
            one, other = (min(max(axis.height(value), -0.02), 1.02) for value in ends)
        top, bottom = self.y_of(max(one, other)), self.y_of(min(one, other))
        return QRectF(self.axis_x(number) - 7, top, 14, max(bottom - top, 2))

    def _draw_words(self, painter: QPainter, number: int, axis: ParallelAxis) -> None:
        x, metrics = self.axis_x(number), QFontMetricsF(self.font())
        count = len(self.scene.axes)
        room = (self.width() - 2 * _SIDE) / max(count - 1, 1) - 4 if count > 1 else self.width()
        room = min(max(room, 40.0), 2 * _SIDE - 4)
        center = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter
        height = metrics.height()
        lines = [axis.heading] if metrics.horizontalAdvance(axis.heading) <= room else _two_lines(axis, metrics, room)
        painter.setPen(self._theme.color("text"))
        for row, text in enumerate(lines):
            place = QRectF(x - room / 2, _ABOVE - 12 - height * (len(lines) + 1 - row), room, height)
            painter.drawText(place, center, metrics.elidedText(text, Qt.TextElideMode.ElideRight, room))
        painter.setPen(self._theme.color("muted"))
        direction = axis.direction if metrics.horizontalAdvance(axis.direction) <= room else axis.direction[:1]
        painter.drawText(QRectF(x - room / 2, _ABOVE - 12 - height, room, height), center, direction)
        base = self._theme.color("base")
        taken: list[float] = []
        for tick in axis.ticks:
            y, text = self.y_of(axis.height(tick)), axis.text(tick)
            if any(abs(y - other) < metrics.height() for other in taken):
                continue
            taken.append(y)
            width = metrics.horizontalAdvance(text)
            box = QRectF(x + 9, y - metrics.height() / 2, width, metrics.height())
            # Lines run beneath the figures, which a veil keeps readable.
            painter.fillRect(box.adjusted(-2, 1, 2, -1), QColor(base.red(), base.green(), base.blue(), 200))
            painter.drawText(box, center, text)
            painter.drawLine(QPointF(x, y), QPointF(x + 5, y))

    # --- mouse --------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of an axis, or choose a line."""
        place = event.position()
        if event.button() == Qt.MouseButton.RightButton:
            line = self.line_at(place)
            self.menuAsked.emit(None if line is None else line.id, event.globalPosition().toPoint())
            return
        number = self._axis_at(place)
        if number is not None:
            self._pressed = number, place.y()
        elif (line := self.line_at(place)) is not None:
            self.picked.emit(line.id)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Draw a bound, or say what is under the pointer."""
        place = event.position()
        if self._pressed is not None:
            number, began = self._pressed
            if self._dragged is not None or abs(place.y() - began) >= _LEAST_DRAG:
                self._dragged = number, self.height_at(began), self.height_at(place.y())
                self.bounded.emit(self._bound())
                self.update()
            return
        self._point_at(place)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of an axis: a click without a drag takes its bound away, or chooses the line there."""
        pressed, self._pressed = self._pressed, None
        if pressed is None:
            return
        if self._dragged is not None:
            bound, self._dragged = self._bound(), None
            self.bounded.emit(bound)
        elif (axis := self.scene.axes[pressed[0]]).key in self.bounds:
            self.bounded.emit(Bound(axis.key))
        elif (line := self.line_at(event.position())) is not None:
            self.picked.emit(line.id)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Forget what was under the pointer."""
        self.hovered, self.hover_text = None, ""
        self.update()

    def _bound(self) -> Bound:
        assert self._dragged is not None
        number, one, other = self._dragged
        axis = self.scene.axes[number]
        low, high = sorted((axis.value(one), axis.value(other)))
        # The ends of an axis are open: what comes later and goes beyond them is within.
        reach = (axis.high - axis.low) * 1e-6
        return Bound(axis.key, low if low > axis.low + reach else None, high if high < axis.high - reach else None)

    def _point_at(self, place: QPointF) -> None:
        line, number = self.line_at(place), self._axis_at(place)
        hovered = None if line is None else line.id
        if hovered != self.hovered:
            self.hovered = hovered
            self.update()
        shape = Qt.CursorShape.ArrowCursor if line is None else Qt.CursorShape.PointingHandCursor
        self.setCursor(Qt.CursorShape.SplitVCursor if number is not None else shape)
        if line is not None:
            self.hover_text = line.hover
        elif number is not None:
            axis = self.scene.axes[number]
            self.hover_text = f"{axis.heading}\n{axis.direction}\nDrag to bound it, click to take the bound away"
        else:
            self.hover_text = ""
        if self.hover_text:
            spaced = f'<p style="white-space: pre">{html.escape(self.hover_text)}</p>'
            QToolTip.showText(self.mapToGlobal(place.toPoint()), spaced, self)
        else:
            QToolTip.hideText()


def _two_lines(axis: ParallelAxis, metrics: QFontMetricsF, room: float) -> list[str]:
    """Return a heading broken for a narrow place, its unit only where it fits."""
    first, _, last = axis.title.rpartition(" ")
    if not first:
        return [axis.title, axis.unit] if axis.unit else [axis.title]
    whole = f"{last}, {axis.unit}" if axis.unit else last
    return [first, whole if metrics.horizontalAdvance(whole) <= room else last]


def _distance(place: QPointF, one: QPointF, other: QPointF) -> float:
    """Return how far a place is from the straight between two others."""
    dx, dy = other.x() - one.x(), other.y() - one.y()
    length = dx * dx + dy * dy
    share = 0.0 if not length else ((place.x() - one.x()) * dx + (place.y() - one.y()) * dy) / length
    share = min(max(share, 0.0), 1.0)
    return math.hypot(place.x() - one.x() - share * dx, place.y() - one.y() - share * dy)
