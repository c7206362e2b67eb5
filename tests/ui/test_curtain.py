"""Panels change behind a curtain and come out of it as they were: painted, laid out, of the same size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QApplication, QDialog, QLayout, QWidget

from tests.ui.conftest import Desk
from workbench.ui.curtain import Curtain

# Of 10 ms and more each: a panel that a timer of 100 ms fills is waited for.
_QUIET_TURNS = 25


def _geometries(window: QWidget) -> list[tuple[str, QRect]]:
    return [(type(one).__name__, one.geometry()) for one in window.findChildren(QWidget) if one.isVisible()]


def _settled(qtbot: Any, window: QWidget) -> list[tuple[str, QRect]]:
    """Wait until a new window has filled its panels: they come a turn apart, some after a timer."""
    seen: list[list[tuple[str, QRect]]] = []

    def quiet() -> bool:
        seen.append(_geometries(window))
        return len(seen) > _QUIET_TURNS and all(one == seen[-1] for one in seen[-_QUIET_TURNS:])

    qtbot.waitUntil(quiet, timeout=20_000)
    return seen[-1]


def _held(window: QWidget) -> list[QLayout]:
    layouts = [widget.layout() for widget in window.findChildren(QWidget)]
    return [layout for layout in layouts if layout is not None and not layout.isEnabled()]


def test_a_window_is_whole_again_after_the_curtain(qtbot: Any, desk: Callable[..., Desk]) -> None:
    window = desk().window
    before = _settled(qtbot, window)
    curtain = Curtain([window])
    curtain.fall(hold_sizes=True)
    assert not window.updatesEnabled()
    assert _held(window)
    for piece in curtain.rise():
        piece()
    after = _settled(qtbot, window)
    assert all(widget.updatesEnabled() for widget in window.findChildren(QWidget))
    assert _held(window) == []
    assert after == before


def test_the_look_changes_and_sizes_do_not(qtbot: Any, desk: Callable[..., Desk]) -> None:
    one = desk()
    theme, wait = one.session.theme, qtbot.waitUntil
    theme.set_mode("dark")
    wait(lambda: not theme.changing)
    before = _settled(qtbot, one.window)
    picture = one.window.grab().toImage()
    for mode in ("light", "dark"):
        theme.set_mode(mode)
        wait(lambda: not theme.changing)
    assert _settled(qtbot, one.window) == before
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
