"""The zoomable, pannable surface of the graph: pointer, wheel, pinch and keys become zoom, pan and selection."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QHelpEvent,
    QInputDevice,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QGestureEvent,
    QGraphicsScene,
    QGraphicsView,
    QPinchGesture,
    QRubberBand,
    QToolTip,
    QWidget,
)

from workbench.ui.graph_view.drag import Drag
from workbench.ui.graph_view.items import GraphItem, MarksItem
from workbench.ui.graph_view.painting import PicturePainter
from workbench.ui.graph_view.picture import Picture
from workbench.ui.graph_view.walk import Direction, step
from workbench.ui.theme import Theme

_MARGIN = 400.0
_LEAST, _MOST = 0.01, 4.0
_COMFORTABLE = 0.8
_FIT_READABLE = 0.5


class GraphCanvas(QGraphicsView):
    """Shows a picture.

    Signals:
        selectionRequested: Ids of the nodes to select.
        viewChanged: Zoom or position changed.
        menuRequested: (id or None, global position) of a context menu.
        tooltipRequested: (id, global position) of the box that the pointer rests on.
    """

    selectionRequested = Signal(tuple)
    viewChanged = Signal()
    menuRequested = Signal(object, QPoint)
    tooltipRequested = Signal(str, QPoint)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._painter = PicturePainter(theme)
        self._scene = QGraphicsScene(self)
        self._scene.setItemIndexMethod(QGraphicsScene.ItemIndexMethod.NoIndex)
        self._graph = GraphItem(self._painter)
        self._marks = MarksItem(self._painter, theme)
        self._scene.addItem(self._graph)
        self._scene.addItem(self._marks)
        self.setScene(self._scene)
        self.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.MinimalViewportUpdate)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.NoAnchor)
        self.setResizeAnchor(QGraphicsView.ViewportAnchor.AnchorViewCenter)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QGraphicsView.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().grabGesture(Qt.GestureType.PinchGesture)
        self.setAccessibleName("Graph")
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, self.viewport())
        self._drag = Drag.NONE
        self._pressed_at = QPoint()
        self._last = QPoint()
        self._space = False
        self._fit_pending = False
        self.horizontalScrollBar().valueChanged.connect(self._moved)
        self.verticalScrollBar().valueChanged.connect(self._moved)
        self._dress()

    # --- what is shown ------------------------------------------------------------------------------------------

    @property
    def picture(self) -> Picture:
        """What is shown."""
        return self._painter.picture

    @property
    def painter(self) -> PicturePainter:
        """Paints the picture, for the overview."""
        return self._painter

    def set_picture(self, picture: Picture) -> None:
        """Show another picture; a new structure is brought into view as a whole."""
        new = picture.structure is not self._painter.picture.structure
        if new:
            self._graph.resized()
            self._marks.resized()
        self._painter.set_picture(picture)
        if new:
            self.setSceneRect(
                QRectF(0, 0, picture.structure.width, picture.structure.height).adjusted(
                    -_MARGIN, -_MARGIN, _MARGIN, _MARGIN
                )
            )
            self.show_start()
        self._scene.update()

    def set_selected(self, ids: tuple[str, ...], coupled_ids: frozenset[str]) -> None:
        """Mark these nodes, and those that go with them."""
        self._marks.selected = ids
        self._marks.coupled = coupled_ids
        self._scene.update()

    def set_hits(self, ids: Iterable[str]) -> None:
        """Mark what the search found."""
        self._marks.hits = frozenset(ids)
        self._scene.update()

    def refresh_theme(self) -> None:
        """Take the theme's new colours."""
        self._dress()
        self._scene.update()

    def _dress(self) -> None:
        self.setBackgroundBrush(self._theme.color("base"))

    # --- zoom and position --------------------------------------------------------------------------------------

    @property
    def zoom(self) -> float:
        """Screen pixels for one scene pixel."""
        return self.transform().m11()

    def visible_area(self) -> QRectF:
        """Return what of the scene can be seen."""
        return self.mapToScene(self.viewport().rect()).boundingRect()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom in or out around a point of the viewport (its middle by default)."""
        target = min(max(self.zoom * factor, _LEAST), _MOST)
        factor = target / self.zoom
        if abs(factor - 1.0) < 1e-6:
            return
        anchor = (at if at is not None else QPointF(self.viewport().rect().center())).toPoint()
        before = self.mapToScene(anchor)
        self.scale(factor, factor)
        shift = self.mapFromScene(before) - anchor
        self._scroll(shift)
        self.viewChanged.emit()

    def fit(self) -> None:
        """Show the whole graph."""
        self._fit_to(QRectF(0, 0, self.picture.structure.width, self.picture.structure.height), _MOST / 2)

    def zoom_to(self, ids: Iterable[str]) -> None:
        """Bring these nodes into view at a readable size."""
        rects = [box.rect for box in (self.picture.structure.box(id) for id in ids) if box is not None]
        if rects:
            left, top = min(rect[0] for rect in rects), min(rect[1] for rect in rects)
            right, bottom = max(rect[2] for rect in rects), max(rect[3] for rect in rects)
            self._fit_to(QRectF(left, top, right - left, bottom - top).adjusted(-80, -80, 80, 80), 1.2)

    def reveal(self, id: str) -> None:
        """Scroll so far that a node can be seen; the zoom stays."""
        box = self.picture.structure.box(id)
        if box is None:
            return
        left, top, right, bottom = box.rect
        area = QRectF(left, top, right - left, bottom - top)
        if not self.visible_area().contains(area):
            self.centerOn(area.center())
            self.viewChanged.emit()

    def show_start(self) -> None:
        """Show the whole graph if it is readable then, else its beginning at a readable size."""
        structure = self.picture.structure
        if not structure.boxes:
            return
        if self.viewport().width() < 80 or not self.isVisible():
            self._fit_pending = True
            return
        self._fit_pending = False
        self.fit()
        if self.zoom < _FIT_READABLE:
            self.resetTransform()
            self.scale(_COMFORTABLE, _COMFORTABLE)
            first = min(structure.boxes, key=lambda box: box.rect[1])
            height = self.viewport().height() / _COMFORTABLE
            self.centerOn(first.center[0], first.rect[1] - 24 + height / 2)
            self.viewChanged.emit()

    def center_on(self, point: QPointF) -> None:
        """Put a point of the scene into the middle."""
        self.centerOn(point)
        self.viewChanged.emit()

    def _fit_to(self, area: QRectF, most: float) -> None:
        if area.isEmpty():
            return
        size = self.viewport().size() - QSize(32, 32)
        scale = min(size.width() / area.width(), size.height() / area.height(), most)
        scale = min(max(scale, _LEAST), _MOST)
        self.resetTransform()
        self.scale(scale, scale)
        self.centerOn(area.center())
        self.viewChanged.emit()

    def _scroll(self, by: QPoint) -> None:
        self.horizontalScrollBar().setValue(self.horizontalScrollBar().value() + by.x())
        self.verticalScrollBar().setValue(self.verticalScrollBar().value() + by.y())

    def _moved(self) -> None:
        self.viewChanged.emit()

    # --- events -------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Bring a picture into view that came while there was no room."""
        super().resizeEvent(event)
        if self._fit_pending:
            self.show_start()
        self.viewChanged.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer; a touchpad's two fingers pan, and zoom with Ctrl."""
        touchpad = event.device().type() == QInputDevice.DeviceType.TouchPad
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if touchpad and not control:
            pixels = event.pixelDelta()
            self._scroll(-(pixels if not pixels.isNull() else event.angleDelta() / 4))
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            delta = event.angleDelta()
            self._scroll(QPoint(-(delta.y() or delta.x()), 0))
        else:
            self.zoom_by(1.0015 ** event.angleDelta().y(), event.position())
        event.accept()

    def viewportEvent(self, event: QEvent) -> bool:
        """Take pinches (of touchpads and touch screens) and tooltips."""
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
        elif isinstance(event, QHelpEvent):
            box = self._box_under(event.pos())
            if box is None:
                QToolTip.hideText()
            else:
                self.tooltipRequested.emit(box, event.globalPos())
            return True
        return super().viewportEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click, a pan or a rubber band."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self._pressed_at = self._last = event.position().toPoint()
        if event.button() == Qt.MouseButton.MiddleButton or (
            event.button() == Qt.MouseButton.LeftButton and self._space
        ):
            self._drag = Drag.PAN
            self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
        elif event.button() == Qt.MouseButton.LeftButton:
            self._drag = Drag.PRESSED
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pan, stretch the rubber band, or follow the pointer."""
        position = event.position().toPoint()
        if self._drag is Drag.PRESSED and (position - self._pressed_at).manhattanLength() > 4:
            band = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            self._drag = Drag.BAND if band else Drag.PAN
            if not band:
                self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
        if self._drag is Drag.PAN:
            self._scroll(self._last - position)
        elif self._drag is Drag.BAND:
            self._band.setGeometry(QRect(self._pressed_at, position).normalized())
            self._band.show()
        elif self._drag is Drag.NONE:
            self._hover(self._box_under(position))
        self._last = position

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the click, pan or rubber band."""
        drag, self._drag = self._drag, Drag.NONE
        self._band.hide()
        self.viewport().setCursor(Qt.CursorShape.OpenHandCursor if self._space else Qt.CursorShape.ArrowCursor)
        adding = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if drag is Drag.PRESSED:
            self._click(self._box_under(event.position().toPoint()), adding)
        elif drag is Drag.BAND:
            area = self.mapToScene(QRect(self._pressed_at, event.position().toPoint()).normalized()).boundingRect()
            structure = self.picture.structure
            found = structure.box_grid.within((area.left(), area.top(), area.right(), area.bottom()))
            before = self._marks.selected if adding else ()
            self.selectionRequested.emit((*before, *(structure.boxes[index].id for index in found)))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Zoom to a node; on empty ground show the whole graph."""
        box = self._box_under(event.position().toPoint())
        if box is None:
            self.fit()
        else:
            self.zoom_to([box])

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for a menu; a node that was not selected is selected first."""
        if event.reason() == QContextMenuEvent.Reason.Keyboard:
            current = self._marks.selected[-1] if self._marks.selected else None
            self.menuRequested.emit(current, self.mapToGlobal(self.rect().center()))
            return
        box = self._box_under(event.pos())
        if box is not None and box not in self._marks.selected:
            self.selectionRequested.emit((box,))
        self.menuRequested.emit(box, event.globalPos())

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer any more."""
        self._hover(None)
        super().leaveEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Forget a held space key."""
        self._space = False
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk the graph, plus and minus zoom, 0 shows all, Space held pans."""
        arrows: dict[int, Direction] = {
            Qt.Key.Key_Up: "up",
            Qt.Key.Key_Down: "down",
            Qt.Key.Key_Left: "left",
            Qt.Key.Key_Right: "right",
        }
        key = event.key()
        if key in arrows:
            current = self._marks.selected[-1] if self._marks.selected else None
            target = step(self.picture.structure, current, arrows[key])
            if target is not None:
                self.selectionRequested.emit((target,))
                self.reveal(target)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(1.25)
        elif key == Qt.Key.Key_Minus:
            self.zoom_by(1 / 1.25)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self._space = True
                self.viewport().setCursor(Qt.CursorShape.OpenHandCursor)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.zoom_to(self._marks.selected)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End panning by Space."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self.viewport().setCursor(Qt.CursorShape.ArrowCursor)
        else:
            super().keyReleaseEvent(event)

    def _click(self, box: str | None, adding: bool) -> None:
        selected = self._marks.selected
        if not adding:
            self.selectionRequested.emit(() if box is None else (box,))
        elif box in selected:
            self.selectionRequested.emit(tuple(id for id in selected if id != box))
        elif box is not None:
            self.selectionRequested.emit((*selected, box))

    def _box_under(self, position: QPoint) -> str | None:
        point = self.mapToScene(position)
        box = self.picture.structure.box_at(point.x(), point.y())
        return None if box is None else box.id

    def _hover(self, id: str | None) -> None:
        if id != self._marks.hovered:
            self._marks.set_hovered(id)
            self.viewport().setCursor(
                Qt.CursorShape.PointingHandCursor if id is not None else Qt.CursorShape.ArrowCursor
            )
