"""Spreads work over turns of the event loop, so that no single one keeps the window from answering."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from PySide6.QtCore import QObject, QTimer, Signal

# A timer of 0 ms, or one that counts on while it is being served, is called again before others that are due.
TURN_MS = 1


class Turns(QObject):
    """Calls small pieces of work one after the other, each in a turn of its own, once nothing else waits.

    A piece that is put in while others wait comes after them. Pieces that are still waiting when the owner is deleted
    are never called.

    Signals:
        finished: The last piece was called.
    """

    finished = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._pieces: deque[Callable[[], object]] = deque()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TURN_MS)
        self._timer.timeout.connect(self._next)

    @property
    def busy(self) -> bool:
        """Whether pieces are waiting."""
        return bool(self._pieces)

    def add(self, pieces: Iterable[Callable[[], object]]) -> None:
        """Put pieces at the end of the line."""
        self._pieces.extend(pieces)
        if self._pieces and not self._timer.isActive():
            self._timer.start()

    def _next(self) -> None:
        self._pieces.popleft()()
        if self._pieces:
            self._timer.start()
        else:
            self.finished.emit()
