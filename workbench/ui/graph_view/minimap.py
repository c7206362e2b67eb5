"""The overview in the corner: the whole graph small, and a frame for what is visible that can be dragged."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from workbench.ui.graph_view.canvas import GraphCanvas
from workbench.ui.theme import Theme

_MOST = QSize(168, 200)
_INSET = 6


class Minimap(QWidget):
    """Paints the picture once into a pixmap and moves a frame over it."""

    def __init__(self, canvas: GraphCanvas, theme: Theme) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._theme = theme
        self._pixmap: QPixmap | None = None
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Overview: click or drag to move the view")
        self.setAccessibleName("Overview of the graph")
        canvas.viewChanged.connect(self._view_changed)

    def refresh(self) -> None:
        """Paint picture and colours anew."""
        structure = self._canvas.picture.structure
        self._pixmap = None
        if structure.width > 0 and structure.height > 0:
            room = _MOST - QSize(2 * _INSET, 2 * _INSET)
            size = QSize(max(round(structure.width), 1), max(round(structure.height), 1))
            size = size.scaled(room, Qt.AspectRatioMode.KeepAspectRatio)
            size = size.expandedTo(QSize(24, 24))
            self.resize(size + QSize(2 * _INSET, 2 * _INSET))
        self._view_changed()
        self.update()

    def _scale(self) -> tuple[float, float]:
        structure = self._canvas.picture.structure
        return (
            (self.width() - 2 * _INSET) / max(structure.width, 1.0),
            (self.height() - 2 * _INSET) / max(structure.height, 1.0),
        )

    def _view_changed(self) -> None:
        """Show only while part of the graph is out of sight."""
        structure = self._canvas.picture.structure
        whole = QRectF(0, 0, structure.width, structure.height)
        self.setVisible(bool(structure.boxes) and not self._canvas.visible_area().contains(whole))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw background, picture and frame."""
        structure = self._canvas.picture.structure
        horizontal, vertical = self._scale()
        if self._pixmap is None:
            self._pixmap = self._painted(structure.width, structure.height)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.color("border"), 1))
        painter.setBrush(self._theme.color("raised"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.drawPixmap(_INSET, _INSET, self._pixmap)
        visible = self._canvas.visible_area()
        frame = QRectF(
            _INSET + visible.left() * horizontal,
            _INSET + visible.top() * vertical,
            visible.width() * horizontal,
            visible.height() * vertical,
        ).intersected(QRectF(self.rect()).adjusted(2, 2, -2, -2))
        accent = self._theme.color("accent")
        painter.setPen(QPen(accent, 1.5))
        accent.setAlpha(36)
        painter.setBrush(accent)
        painter.drawRect(frame)

    def _painted(self, width: float, height: float) -> QPixmap:
        ratio = self.devicePixelRatioF()
        horizontal, vertical = self._scale()
        pixmap = QPixmap((QSize(self.width() - 2 * _INSET, self.height() - 2 * _INSET) * ratio).expandedTo(QSize(1, 1)))
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(horizontal, vertical)
        self._canvas.painter.paint(painter, QRectF(0, 0, width, height), min(horizontal, vertical))
        painter.end()
        return pixmap

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Move the view to the place."""
        self._go(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the view along."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(event.position())

    def _go(self, position: QPointF) -> None:
        horizontal, vertical = self._scale()
        self._canvas.center_on(QPointF((position.x() - _INSET) / horizontal, (position.y() - _INSET) / vertical))
