"""Panels change behind a curtain and come out of it as they were: painted, laid out, of the same size."""

from __future__ import annotations

from collections.abc import Callable

import shiboken6
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QApplication, QDialog, QLayout, QWidget

from tests.ui.conftest import Desk
from workbench.ui.curtain import Curtain


def _geometries(window: QWidget) -> list[tuple[str, QRect]]:
    return [(type(one).__name__, one.geometry()) for one in window.findChildren(QWidget) if one.isVisible()]


def _held(window: QWidget) -> list[QLayout]:
    layouts = [widget.layout() for widget in window.findChildren(QWidget)]
    return [layout for layout in layouts if layout is not None and not layout.isEnabled()]


def test_a_window_is_whole_again_after_the_curtain(qapp: QApplication, desk: Callable[..., Desk]) -> None:
    window = desk().window
    qapp.processEvents()
    before = _geometries(window)
    curtain = Curtain([window])
    curtain.fall(hold_sizes=True)
    assert not window.updatesEnabled()
    assert _held(window)
    for piece in curtain.rise():
        piece()
    qapp.processEvents()
    assert all(widget.updatesEnabled() for widget in window.findChildren(QWidget))
    assert _held(window) == []
    assert _geometries(window) == before


def test_the_look_changes_and_sizes_do_not(qtbot: object, desk: Callable[..., Desk]) -> None:
    one = desk()
    theme, wait = one.session.theme, qtbot.waitUntil  # type: ignore[attr-defined]
    theme.set_mode("dark")
    wait(lambda: not theme.changing)
    before = _geometries(one.window)
    picture = one.window.grab().toImage()
    for mode in ("light", "dark"):
        theme.set_mode(mode)
        wait(lambda: not theme.changing)
    assert _geometries(one.window) == before
    assert one.window.grab().toImage().size() == picture.size()
    assert _held(one.window) == []
    theme.set_mode("light")
    wait(lambda: not theme.changing)


def test_a_dialog_may_go_while_the_curtain_is_down(qapp: QApplication) -> None:
    dialog = QDialog()
    dialog.show()
    curtain = Curtain([dialog])
    curtain.fall(hold_sizes=True)
    pieces = curtain.rise()
    shiboken6.delete(dialog)
    for piece in pieces:
        piece()
