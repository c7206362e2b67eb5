"""Asks once before a project is left or the window closed while jobs work for it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget

from workbench.ui.models import numbers


def when_free(window: QWidget, count: int, what: str, then: Callable[[], object]) -> QMessageBox | None:
    """Go on at once, or, while jobs are at work, when the user agrees to stop them.

    Args:
        window: Below the question.
        count: How many jobs are at work.
        what: What is about to happen, e.g. "Open other.onnx".
        then: Does it.
    """
    if not count:
        then()
        return None
    box = QMessageBox(window)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowTitle(what)
    box.setText(f"{numbers.plural(count, 'job')} of this project {'is' if count == 1 else 'are'} not finished.")
    box.setInformativeText(f"{what} and cancel {'it' if count == 1 else 'them'}? What is finished is kept.")
    stop = box.addButton(f"{what} and cancel", QMessageBox.ButtonRole.DestructiveRole)
    box.addButton("Go on working", QMessageBox.ButtonRole.RejectRole)
    stop.clicked.connect(then)
    box.open()
    return box
