"""The surface of the graph: pointer and keys become selection, walks along edges, panning, and blocks that open."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFocusEvent, QHelpEvent, QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QGraphicsScene, QRubberBand, QToolTip, QWidget

from workbench.ui.graph_view.drag import Drag
from workbench.ui.graph_view.items import GraphItem, MarksItem
from workbench.ui.graph_view.painting import PicturePainter
from workbench.ui.graph_view.picture import Picture
from workbench.ui.graph_view.walk import Direction, step
from workbench.ui.graph_view.zooming import ZoomingView
from workbench.ui.theme import Theme

_MARGIN = 400.0
_FIT_MOST = 2.0
_COMFORTABLE = 0.8
_FIT_READABLE = 0.5
# Least width beside the legend in which the beginning of a graph is worth showing.
_COLUMN_PX = 240


class GraphCanvas(ZoomingView):
    """Shows a picture.

    Signals:
        selectionRequested: Ids of the boxes to select.
        foldRequested: (id of the current box, whether the block around it is meant) by Space.
        openRequested: Id of a box that was double-clicked.
        menuRequested: (id or None, global position) of a context menu.
        tooltipRequested: (id, global position) of the box that the pointer rests on.
        resized: There is more or less room than before.
    """

    selectionRequested = Signal(tuple)
    foldRequested = Signal(str, bool)
    openRequested = Signal(str)
    menuRequested = Signal(object, QPoint)
    tooltipRequested = Signal(str, QPoint)
    resized = Signal()

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
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Graph")
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, self.viewport())
        self._drag = Drag.NONE
        self._pressed_at = QPoint()
        self._last = QPoint()
        # Width at the left that the legend takes.
        self.covered_px = 0
        self._space = False
        self._panned = False
        self._fit_pending = False
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

    def set_picture(self, picture: Picture, landmark: tuple[str, str] | None = None) -> None:
        """Show another picture.

        Args:
            picture: To show; one of a new structure is brought into view as a whole.
            landmark: (box now, box of the new picture) that stands where the other one stood, so that the eye keeps
                its place while blocks open and close.
        """
        new = picture.structure is not self._painter.picture.structure
        before = self.picture.structure.box(landmark[0]) if landmark is not None else None
        after = picture.structure.box(landmark[1]) if landmark is not None else None
        if new:
            self.stop_flight()
            self._graph.resized()
            self._marks.resized()
        at = self.mapFromScene(*before.center) if before is not None else QPoint()
        self._painter.set_picture(picture)
        if new:
            self.setSceneRect(
                QRectF(0, 0, picture.structure.width, picture.structure.height).adjusted(
                    -_MARGIN, -_MARGIN, _MARGIN, _MARGIN
                )
            )
            if before is None or after is None:
                self.show_start()
            else:
                self.scroll_by(self.mapFromScene(*after.center) - at)
                self.reveal(after.id)
        self._scene.update()

    def middle(self) -> str | None:
        """Return the box nearest to the middle of what can be seen, or None."""
        area = self.visible_area()
        x, y = area.center().x(), area.center().y()
        structure = self.picture.structure
        found = structure.box_grid.within((area.left(), area.top(), area.right(), area.bottom()))
        boxes = [structure.boxes[index] for index in found]
        return min(boxes, key=lambda box: abs(box.center[0] - x) + abs(box.center[1] - y)).id if boxes else None

    @property
    def selected(self) -> tuple[str, ...]:
        """Ids of the selected boxes."""
        return self._marks.selected

    @property
    def current(self) -> str | None:
        """Id of the box that was selected last, or None."""
        return self._marks.selected[-1] if self._marks.selected else None

    def set_selected(
        self, ids: tuple[str, ...], coupled_ids: frozenset[str], beside_ids: frozenset[str] = frozenset()
    ) -> None:
        """Mark these boxes, and those that go with them."""
        self._marks.selected = ids
        self._marks.coupled, self._marks.beside = coupled_ids, beside_ids
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

    def fit(self) -> None:
        """Show the whole graph."""
        self.show_area(self._whole(), _FIT_MOST, fly=True, beside_px=self.covered_px)

    def zoom_to(self, ids: Iterable[str]) -> None:
        """Bring these nodes into view at a readable size."""
        rects = [box.rect for box in (self.picture.structure.box(id) for id in ids) if box is not None]
        if rects:
            left, top = min(rect[0] for rect in rects), min(rect[1] for rect in rects)
            right, bottom = max(rect[2] for rect in rects), max(rect[3] for rect in rects)
            area = QRectF(left, top, right - left, bottom - top).adjusted(-80, -80, 80, 80)
            self.show_area(area, 1.2, fly=True, beside_px=self.covered_px)

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
        self.show_area(self._whole(), _FIT_MOST, beside_px=self.covered_px)
        if self.zoom < _FIT_READABLE:
            self.resetTransform()
            self.scale(_COMFORTABLE, _COMFORTABLE)
            first = min(structure.boxes, key=lambda box: box.rect[1])
            height = self.viewport().height() / _COMFORTABLE
            room = self.viewport().width() - self.covered_px >= _COLUMN_PX
            aside = self.covered_px / 2 / _COMFORTABLE if room else 0.0
            self.centerOn(first.center[0] - aside, first.rect[1] - 24 + height / 2)
            self.viewChanged.emit()

    def _whole(self) -> QRectF:
        return QRectF(0, 0, self.picture.structure.width, self.picture.structure.height)

    # --- events -------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Bring a picture into view that came while there was no room."""
        super().resizeEvent(event)
        # What lies above the picture moves first: the beginning of a graph is shown beside it.
        self.resized.emit()
        if self._fit_pending:
            self.show_start()
        self.viewChanged.emit()

    def viewportEvent(self, event: QEvent) -> bool:
        """Take tooltips; the rest is zooming."""
        if isinstance(event, QHelpEvent):
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
            self._panned = True
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
            self.stop_flight()
            self.scroll_by(self._last - position)
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
        """Open a block or zoom to a node; on empty ground show the whole graph."""
        box = self._box_under(event.position().toPoint())
        if box is None:
            self.fit()
        else:
            self.openRequested.emit(box)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for a menu; a node that was not selected is selected first."""
        if event.reason() == QContextMenuEvent.Reason.Keyboard:
            self.menuRequested.emit(self.current, self.mapToGlobal(self.rect().center()))
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
        """Arrows walk the graph, plus and minus zoom, 0 shows all, Space folds, and pans while it is held."""
        arrows: dict[int, Direction] = {
            Qt.Key.Key_Up: "up",
            Qt.Key.Key_Down: "down",
            Qt.Key.Key_Left: "left",
            Qt.Key.Key_Right: "right",
        }
        key = event.key()
        if key in arrows:
            target = step(self.picture.structure, self.current, arrows[key])
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
                self._space, self._panned = True, False
                self.viewport().setCursor(Qt.CursorShape.OpenHandCursor)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.zoom_to(self._marks.selected)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End panning by Space; a Space that moved nothing folds the current box."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            folds = self._space and not self._panned and bool(self._marks.selected)
            self._space = False
            self.viewport().setCursor(Qt.CursorShape.ArrowCursor)
            if folds:
                outer = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
                self.foldRequested.emit(self._marks.selected[-1], outer)
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
