"""A surface that is zoomed and moved: wheel, touchpad and pinch at the pointer, and short flights that keep the eye."""

from __future__ import annotations

import math

from PySide6.QtCore import QEasingCurve, QEvent, QPoint, QPointF, QRectF, QSize, Qt, QVariantAnimation, Signal
from PySide6.QtGui import QInputDevice, QNativeGestureEvent, QPainter, QWheelEvent
from PySide6.QtWidgets import QGestureEvent, QGraphicsView, QPinchGesture, QStyle, QWidget

_LEAST, _MOST = 0.01, 4.0
_FLIGHT_MS = 140


class ZoomingView(QGraphicsView):
    """Shows a scene at any scale.

    Signals:
        viewChanged: Zoom or position changed.
    """

    viewChanged = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.MinimalViewportUpdate)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.NoAnchor)
        self.setResizeAnchor(QGraphicsView.ViewportAnchor.AnchorViewCenter)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QGraphicsView.Shape.NoFrame)
        self.viewport().grabGesture(Qt.GestureType.PinchGesture)
        self._from = self._to = (QPointF(), 1.0)
        self._flight = QVariantAnimation(self)
        self._flight.setStartValue(0.0)
        self._flight.setEndValue(1.0)
        self._flight.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._flight.valueChanged.connect(self._fly)
        self.horizontalScrollBar().valueChanged.connect(self._moved)
        self.verticalScrollBar().valueChanged.connect(self._moved)

    @property
    def zoom(self) -> float:
        """Screen pixels for one scene pixel."""
        return self.transform().m11()

    @property
    def flying(self) -> bool:
        """Whether the view is on its way to somewhere."""
        return self._flight.state() == QVariantAnimation.State.Running

    def visible_area(self) -> QRectF:
        """Return what of the scene can be seen."""
        return self.mapToScene(self.viewport().rect()).boundingRect()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom in or out around a point of the viewport (its middle by default)."""
        self._flight.stop()
        target = min(max(self.zoom * factor, _LEAST), _MOST)
        factor = target / self.zoom
        if abs(factor - 1.0) < 1e-6:
            return
        anchor = (at if at is not None else QPointF(self.viewport().rect().center())).toPoint()
        before = self.mapToScene(anchor)
        self.scale(factor, factor)
        self.scroll_by(self.mapFromScene(before) - anchor)
        self.viewChanged.emit()

    def show_area(self, area: QRectF, most: float = _MOST, *, fly: bool = False, beside_px: int = 0) -> None:
        """Show an area of the scene as large as it fits.

        Args:
            area: In the scene.
            most: Largest zoom.
            fly: Go there by a short flight, if the system wants motion.
            beside_px: Width at the left that something covers; a narrow area is shown beside it.
        """
        self._flight.stop()
        if area.isEmpty():
            return
        size = self.viewport().size() - QSize(32, 32)
        scale = min(size.width() / area.width(), size.height() / area.height(), most)
        scale = min(max(scale, _LEAST), _MOST)
        self._from = (self.visible_area().center(), self.zoom)
        wide = area.width() * scale + beside_px > size.width()
        self._to = (area.center() - QPointF(0 if wide else beside_px / 2 / scale, 0), scale)
        duration = min(self._animation_ms(), _FLIGHT_MS)
        if fly and duration > 0 and self.isVisible():
            self._flight.setDuration(duration)
            self._flight.start()
        else:
            self._fly(1.0)

    def center_on(self, point: QPointF) -> None:
        """Put a point of the scene into the middle."""
        self._flight.stop()
        self.centerOn(point)
        self.viewChanged.emit()

    def scroll_by(self, by: QPoint) -> None:
        """Move over the scene by screen pixels."""
        self.horizontalScrollBar().setValue(self.horizontalScrollBar().value() + by.x())
        self.verticalScrollBar().setValue(self.verticalScrollBar().value() + by.y())

    def stop_flight(self) -> None:
        """Stay where the view is now, because the scene changes or the user takes over."""
        self._flight.stop()

    def _animation_ms(self) -> int:
        """Return how long the system wants widgets to move; 0 where it wants no motion."""
        return self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration, None, self)

    def _fly(self, part: float) -> None:
        (start, zoom), (end, target) = self._from, self._to
        scale = math.exp(math.log(zoom) + part * (math.log(target) - math.log(zoom)))
        # The middle moves as the scale does, or the end would come into view only at the last moment.
        way = part if abs(target - zoom) < 1e-6 else (1 / zoom - 1 / scale) / (1 / zoom - 1 / target)
        self.resetTransform()
        self.scale(scale, scale)
        self.centerOn(start + (end - start) * way)
        self.viewChanged.emit()

    def _moved(self) -> None:
        self.viewChanged.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer; a touchpad's two fingers pan, and zoom with Ctrl."""
        touchpad = event.device().type() == QInputDevice.DeviceType.TouchPad
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if touchpad and not control:
            self._flight.stop()
            pixels = event.pixelDelta()
            self.scroll_by(-(pixels if not pixels.isNull() else event.angleDelta() / 4))
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._flight.stop()
            delta = event.angleDelta()
            self.scroll_by(QPoint(-(delta.y() or delta.x()), 0))
        else:
            self.zoom_by(1.0015 ** event.angleDelta().y(), event.position())
        event.accept()

    def viewportEvent(self, event: QEvent) -> bool:
        """Take pinches of touchpads and touch screens."""
        if isinstance(event, QNativeGestureEvent):
            if event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
                self.zoom_by(1.0 + event.value(), event.position())
                return True
        elif isinstance(event, QGestureEvent):
            pinch = event.gesture(Qt.GestureType.PinchGesture)
            if isinstance(pinch, QPinchGesture):
                center = self.viewport().mapFromGlobal(pinch.centerPoint())
                self.zoom_by(pinch.scaleFactor(), QPointF(center))
                return True
        return super().viewportEvent(event)
