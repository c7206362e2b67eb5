"""A drag as the system sends it: to the window, which passes it on to whatever lies under the pointer."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QWidget

_ACTIONS = Qt.DropAction.CopyAction | Qt.DropAction.MoveAction
_BUTTON, _KEYS = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


class Drag:
    """Something dragged over a window.

    Args:
        data: What is dragged.
        over: A widget of the window; positions are its own.
    """

    def __init__(self, data: QMimeData, over: QWidget) -> None:
        self._data = data
        self._over = over
        self._handle = over.window().windowHandle()
        self._entered = False
        self.accepted = False

    def move(self, place: QPoint) -> bool:
        """Move on to a point, entering first; return whether the data would be taken there."""
        spot = self._over.mapTo(self._over.window(), place)
        if not self._entered:
            self._entered = True
            entering = QDragEnterEvent(spot, _ACTIONS, self._data, _BUTTON, _KEYS)
            QApplication.sendEvent(self._handle, entering)
            self.accepted = entering.isAccepted()
        moving = QDragMoveEvent(spot, _ACTIONS, self._data, _BUTTON, _KEYS)
        # As the system does: what was taken once is offered as taken.
        moving.setAccepted(self.accepted)
        QApplication.sendEvent(self._handle, moving)
        self.accepted = moving.isAccepted()
        return self.accepted

    def drop(self, place: QPoint) -> bool:
        """Let go at a point, or, where it is not taken, leave; return whether it was taken."""
        if not self.move(place):
            self.leave()
            return False
        spot = self._over.mapTo(self._over.window(), place)
        dropping = QDropEvent(QPointF(spot), _ACTIONS, self._data, _BUTTON, _KEYS)
        QApplication.sendEvent(self._handle, dropping)
        return dropping.isAccepted()

    def leave(self) -> None:
        """Leave the window."""
        QApplication.sendEvent(self._handle, QDragLeaveEvent())
