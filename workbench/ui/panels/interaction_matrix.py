"""The matrix of pairs of layers: warm where two aggravate each other, cool where they share a loss."""

from __future__ import annotations

import html

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QLinearGradient, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from workbench.ui import colors
from workbench.ui.models import numbers
from workbench.ui.models.interaction_grid import InteractionGrid
from workbench.ui.panels.pareto_marks import blend
from workbench.ui.theme import Theme

_MARGIN, _LEGEND_HEIGHT, _LARGEST_CELL = 8.0, 44.0, 44.0
_NAMES_SHARE = 0.3
_PALE = 0.35


class InteractionMatrix(QWidget):
    """Shows an InteractionGrid.

    Signals:
        layersPicked: The layers of the cell that was clicked.
    """

    layersPicked = Signal(tuple)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.grid = InteractionGrid()
        self.hovered: tuple[int, int] | None = None
        self.hover_text = ""
        self.setMouseTracking(True)
        self.setMinimumSize(320, 240)
        theme.themeChanged.connect(self.update)

    def sizeHint(self) -> QSize:
        """Return a size in which some twenty layers can be read."""
        return QSize(640, 480)

    def set_grid(self, grid: InteractionGrid) -> None:
        """Show a grid."""
        self.grid, self.hovered = grid, None
        self.update()

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Return where a cell is, in pixels."""
        left, top, side = self._frame()
        return QRectF(left + column * side, top + row * side, side, side)

    def cell_at(self, place: QPointF) -> tuple[int, int] | None:
        """Return row and column under a place, or None."""
        left, top, side = self._frame()
        column, row = (place.x() - left) // side, (place.y() - top) // side
        count = len(self.grid.layers)
        return (int(row), int(column)) if 0 <= row < count and 0 <= column < count else None

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw cells, names and the legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self._theme.color("base"))
        count = len(self.grid.layers)
        if not count:
            return
        for row in range(count):
            for column in range(count):
                self._draw_cell(painter, row, column)
        left, top, side = self._frame()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(self._theme.color("border"), 1.0))
        painter.drawRect(QRectF(left, top, side * count, side * count))
        if self.hovered is not None:
            painter.setPen(QPen(self._theme.color("text"), 2.0))
            painter.drawRect(self.cell_rect(*self.hovered))
        self._draw_names(painter)
        self._draw_legend(painter)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what the cell under the pointer stands for."""
        at = self.cell_at(event.position())
        if at != self.hovered:
            self.hovered = at
            self.update()
        cell = None if at is None else self.grid.cells.get(at)
        self.hover_text = "" if cell is None else cell.hover
        if at is not None and cell is None:
            self.hover_text = "Not measured: the two move together, or were left out"
        if self.hover_text:
            spaced = f'<p style="white-space: pre">{html.escape(self.hover_text)}</p>'
            QToolTip.showText(event.globalPosition().toPoint(), spaced, self)
        else:
            QToolTip.hideText()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the layers of a cell."""
        at = self.cell_at(event.position())
        if at is not None:
            self.layersPicked.emit(tuple(dict.fromkeys(self.grid.layers[number] for number in at)))

    def leaveEvent(self, event: QEvent) -> None:
        """Forget what was under the pointer."""
        self.hovered, self.hover_text = None, ""
        self.update()

    def _names_width(self) -> float:
        metrics = QFontMetricsF(self.font())
        widest = max((metrics.horizontalAdvance(name) for name in self.grid.names), default=0.0)
        return min(widest, self.width() * _NAMES_SHARE) + 6

    def _frame(self) -> tuple[float, float, float]:
        """Return left and top of the cells, and a cell's side."""
        count = max(len(self.grid.layers), 1)
        left = _MARGIN + self._names_width()
        # Names above stand upright and take as much height as those at the left take width, within reason.
        top = _MARGIN + min(self._names_width(), self.height() * _NAMES_SHARE)
        side = min((self.width() - left - _MARGIN) / count, (self.height() - top - _LEGEND_HEIGHT) / count)
        return left, top, max(min(side, _LARGEST_CELL), 1.0)

    def _draw_cell(self, painter: QPainter, row: int, column: int) -> None:
        rect = self.cell_rect(row, column)
        inner = rect.adjusted(0.5, 0.5, -0.5, -0.5) if rect.width() > 6 else rect
        cell = self.grid.cells.get((row, column))
        if row == column:
            painter.fillRect(inner, self._theme.color("grid"))
            return
        if cell is None:
            return
        base = self._theme.color("base")
        color = QColor(*colors.signed(self.grid.position(cell)))
        painter.fillRect(inner, color if cell.sure else blend(color, base, _PALE))
        if not cell.sure and rect.width() > 5:
            painter.fillRect(inner, QBrush(blend(self._theme.color("muted"), base, 0.4), Qt.BrushStyle.BDiagPattern))

    def _draw_names(self, painter: QPainter) -> None:
        metrics = QFontMetricsF(self.font())
        left, top, side = self._frame()
        # Where cells are lower than a line, only some are named.
        step = max(1, -(-round(metrics.height()) // max(round(side), 1)))
        elide, middle = Qt.TextElideMode.ElideMiddle, Qt.AlignmentFlag.AlignVCenter
        marked = self.hovered or ()
        base, room = self._theme.color("base"), left - _MARGIN - 4
        plain = [number for number in range(len(self.grid.names)) if number % step == 0 and number not in marked]
        # The names of the cell under the pointer come last, over those that they cover.
        for number in (*plain, *dict.fromkeys(marked)):
            name = self.grid.names[number]
            painter.setPen(self._theme.color("text" if number in marked or not marked else "muted"))
            box = QRectF(_MARGIN, top + (number + 0.5) * side - metrics.height() / 2, room, metrics.height())
            if number in marked:
                painter.fillRect(box, base)
            painter.drawText(box, middle | Qt.AlignmentFlag.AlignRight, metrics.elidedText(name, elide, room))
            painter.save()
            painter.translate(left + (number + 0.5) * side, top - 4)
            painter.rotate(-90)
            above = QRectF(0, -metrics.height() / 2, top - _MARGIN - 4, metrics.height())
            if number in marked:
                painter.fillRect(above, base)
            painter.drawText(above, middle, metrics.elidedText(name, elide, above.width()))
            painter.restore()

    def _draw_legend(self, painter: QPainter) -> None:
        """Draw what the colours mean, with the figures at their ends."""
        metrics = QFontMetricsF(self.font())
        left, top, side = self._frame()
        y = top + side * len(self.grid.layers) + 12
        width = min(140.0, max(self.width() - left - 2 * _MARGIN, 60.0) / 3)
        end = numbers.fixed(self.grid.limit, numbers.decimals_for(self.grid.limit / 20 or None))
        texts = (f"share a loss, {end} {self.grid.unit}", f"aggravate, {end} {self.grid.unit}")
        x = _MARGIN
        painter.setPen(self._theme.color("muted"))
        painter.drawText(QPointF(x, y + metrics.ascent()), texts[0])
        bar = QRectF(x + metrics.horizontalAdvance(texts[0]) + 8, y, width, metrics.height())
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        for stop in range(9):
            gradient.setColorAt(stop / 8, QColor(*colors.signed(stop / 4 - 1)))
        painter.fillRect(bar, gradient)
        painter.drawText(QPointF(bar.right() + 8, y + metrics.ascent()), texts[1])
        after = bar.right() + 8 + metrics.horizontalAdvance(texts[1]) + 20
        swatch = QRectF(after, y, metrics.height(), metrics.height())
        base = self._theme.color("base")
        painter.fillRect(swatch, blend(QColor(*colors.signed(0.5)), base, _PALE))
        painter.fillRect(swatch, QBrush(blend(self._theme.color("muted"), base, 0.4), Qt.BrushStyle.BDiagPattern))
        painter.drawText(QPointF(swatch.right() + 8, y + metrics.ascent()), "within noise")
