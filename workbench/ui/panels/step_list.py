"""The steps' cards below each other, dragged into another order by their heads; a line shows where one would go."""

from __future__ import annotations

import os
from functools import partial

from PySide6.QtCore import QMimeData, QPoint, QPointF, QRect, Qt, Signal
from PySide6.QtGui import (
    QDrag,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QVBoxLayout, QWidget

from workbench.ui.panels.step_row import StepRow
from workbench.ui.theme import Theme

_SPACING = 8
_PICTURE_WIDTH = 200
_BESIDE = QPoint(-12, -8)
_FORMAT = "application/x-workbench-step"


class StepList(QWidget):
    """The cards.

    Signals:
        moveRequested: (place, new place) of a card that was dropped between two others.
        pointedAt: Height at which a dragged card is, for whoever scrolls.
    """

    moveRequested = Signal(int, int)
    pointedAt = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._gap: int | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(_SPACING, _SPACING, _SPACING, _SPACING)
        self._layout.setSpacing(_SPACING)
        self._layout.addStretch()
        self.rows: list[StepRow] = []
        self.setAcceptDrops(True)

    @property
    def gap(self) -> int | None:
        """Before which card the line is drawn; the number of cards for below the last, None for no line."""
        return self._gap

    def set_rows(self, rows: list[StepRow]) -> None:
        """Replace the cards; one that stays in its place is kept."""
        before, self.rows = self.rows, rows
        for row in before:
            if row not in rows:
                self._layout.removeWidget(row)
                row.setParent(None)
                row.deleteLater()
        self._show_gap(None)
        for place, row in enumerate(rows):
            if row not in before:
                row.dragStarted.connect(partial(self._drag, place))
                self._layout.insertWidget(place, row)

    def drag_data(self, place: int) -> QMimeData:
        """Return what stands for a card while it is dragged; no other list takes it."""
        data = QMimeData()
        data.setData(_FORMAT, f"{self._token()}{place}".encode())
        return data

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take this list's own cards."""
        self._follow(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Show where the card would go."""
        self._follow(event)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the line away."""
        self._show_gap(None)

    def dropEvent(self, event: QDropEvent) -> None:
        """Ask for the move."""
        self._follow(event)
        source, gap = self._dragged(event.mimeData()), self._gap
        self._show_gap(None)
        if source is not None and gap is not None:
            self.moveRequested.emit(source, gap - (gap > source))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line in the gap between two cards."""
        super().paintEvent(event)
        if self._gap is None:
            return
        last = self._gap == len(self.rows)
        edge = self.rows[-1].geometry().bottom() + 1 if last else self.rows[self._gap].y()
        y = edge + _SPACING / 2 * (1 if last else -1)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.color("accent"), 2))
        painter.setBrush(self._theme.color("accent"))
        left, right = QPointF(_SPACING, y), QPointF(self.width() - _SPACING, y)
        painter.drawLine(left, right)
        for end in (left, right):
            painter.drawEllipse(end, 2, 2)

    # --- within -------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        return f"{os.getpid()}:{id(self)}:"

    def _dragged(self, data: QMimeData) -> int | None:
        """Return the place of the card that is dragged, or None for anything else."""
        text = bytes(data.data(_FORMAT).data()).decode() if data.hasFormat(_FORMAT) else ""
        if not text.startswith(self._token()):
            return None
        place = int(text.removeprefix(self._token()))
        return place if place < len(self.rows) else None

    def _follow(self, event: QDropEvent) -> None:
        source = self._dragged(event.mimeData())
        if source is None:
            event.ignore()
            return
        event.setDropAction(Qt.DropAction.MoveAction)
        event.accept()
        y = event.position().y()
        gap = sum(row.geometry().center().y() < y for row in self.rows)
        self._show_gap(None if gap in (source, source + 1) else gap)
        self.pointedAt.emit(round(y))

    def _show_gap(self, gap: int | None) -> None:
        if gap != self._gap:
            self._gap = gap
            self.update()

    def _drag(self, place: int) -> None:
        row = self.rows[place]
        drag = QDrag(self)
        drag.setMimeData(self.drag_data(place))
        # Beside the pointer and no wider than its title, so that the line stays in sight.
        drag.setPixmap(row.grab(QRect(0, 0, _PICTURE_WIDTH, row.head_height)))
        drag.setHotSpot(_BESIDE)
        row.set_faded(True)
        drag.exec(Qt.DropAction.MoveAction)
        # The drop may have replaced the cards while `exec` waited for it.
        if row in self.rows:
            row.set_faded(False)
        self._show_gap(None)
