"""Hands on in one piece what arrives in quick succession, where redrawing for every single result takes too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from PySide6.QtCore import QTimer

_Item = TypeVar("_Item")

_PAUSE_MS = 100


class Arrivals(Generic[_Item]):
    """Gives the first item to `take` at once, and those of each following tenth of a second together.

    Args:
        take: Takes items in the order in which they came, at least one.
    """

    def __init__(self, take: Callable[[tuple[_Item, ...]], None]) -> None:
        self._take = take
        self._items: list[_Item] = []
        self._pausing = False

    def add(self, item: _Item) -> None:
        """Take an item now or with those that follow it."""
        self._items.append(item)
        if not self._pausing:
            self.flush()
            self._pausing = True
            QTimer.singleShot(_PAUSE_MS, self._due)

    def flush(self) -> None:
        """Hand on what waits."""
        items, self._items = tuple(self._items), []
        if items:
            self._take(items)

    def _due(self) -> None:
        self._pausing = bool(self._items)
        if self._items:
            QTimer.singleShot(_PAUSE_MS, self._due)
            self.flush()
