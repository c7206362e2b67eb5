"""Lets the panels of a window change behind a curtain and show it one after the other.

Painted all at once, or laid out for every state in between, they take longer than a window may stand still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from PySide6.QtWidgets import QDockWidget, QLayout, QWidget
from shiboken6 import isValid


class Curtain:
    """Keeps windows from painting while they change; each then paints its frame and panel after panel.

    Args:
        windows: Widgets whose docks are the panels.
    """

    def __init__(self, windows: Iterable[QWidget]) -> None:
        self._windows = tuple(windows)
        self._held: dict[QWidget, list[QLayout]] = {}

    def fall(self, *, hold_sizes: bool = False) -> None:
        """Paint nothing from now on.

        Args:
            hold_sizes: Lay nothing out, either: for a change that leaves sizes as they are in the end, though not
                on the way there.
        """
        for window in self._windows:
            for dock in window.findChildren(QDockWidget):
                dock.setUpdatesEnabled(False)
            window.setUpdatesEnabled(False)
            if hold_sizes:
                self._hold(window)

    def rise(self) -> list[Callable[[], object]]:
        """Return the pieces of work that let the windows paint again, each for a turn of its own."""
        widgets = list(self._windows)
        for window in self._windows:
            # What is seen comes first.
            widgets += sorted(window.findChildren(QDockWidget), key=lambda dock: not dock.isVisible())
        return [partial(self._show, widget) for widget in widgets]

    def _hold(self, window: QWidget) -> None:
        for widget in (window, *window.findChildren(QWidget)):
            layout = widget.layout()
            if layout is not None and layout.isEnabled():
                layout.setEnabled(False)
                self._held.setdefault(self._panel(widget, window), []).append(layout)

    @staticmethod
    def _panel(widget: QWidget, window: QWidget) -> QWidget:
        """Return the dock that a widget is in, or the window."""
        inside: QWidget | None = widget
        while inside is not None and inside is not window and not isinstance(inside, QDockWidget):
            inside = inside.parentWidget()
        return inside or window

    def _show(self, widget: QWidget) -> None:
        for layout in self._held.pop(widget, ()):
            if isValid(layout):  # what was shown may have been replaced meanwhile, and a dialog closed
                layout.setEnabled(True)
                layout.activate()
        if isValid(widget):
            widget.setUpdatesEnabled(True)
