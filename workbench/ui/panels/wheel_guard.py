"""Keeps the wheel for scrolling: turning it over a column of editors must not change the ones it passes."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollBar, QWidget


class _WheelGuard(QObject):
    """Lets an editor take the wheel only while it has the focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """See QObject."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def guard_wheel(widget: QWidget) -> None:
    """Guard all editors that are within `widget` now."""
    guard = _WheelGuard(widget)
    for kind in (QAbstractSpinBox, QComboBox, QAbstractSlider):
        for editor in widget.findChildren(kind):
            if not isinstance(editor, QScrollBar):
                editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                editor.installEventFilter(guard)
