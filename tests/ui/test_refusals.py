"""Keys for what can't be done now: each says why, those that lack something offer it, and nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from tests.fakes.projects import inspect_report, methods, resnet20_state
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.project.commands import ReplaceRecipe, SetSteps
from workbench.project.document import Document
from workbench.ui.models.recipe_steps import run_blocked

Make = Callable[..., Any]


def press(entry: Any, key: str) -> None:
    """Press a shortcut as the keyboard does, in the window and nowhere in particular."""
    window = entry.window
    window.activateWindow()
    assert QTest.qWaitForWindowActive(window)
    window.setFocus()
    entry.window.actions_.refresh()
    pressed = QKeySequence(key)[0]
    QTest.keyClick(window, pressed.key(), pressed.keyboardModifiers())


def message(entry: Any) -> str:
    return str(entry.window.statusBar().currentMessage())


def test_every_shortcut_that_is_off_says_why(desk: Make) -> None:
    entry = desk(empty=True)
    actions = entry.window.actions_
    actions.refresh()
    off = [(act, key) for act in actions if not act.elsewhere and actions.why_not(act.id) for key in act.keys]
    assert {"compress.run", "analyse.sensitivity", "edit.undo", "edit.redo", "graph.find"} <= {act.id for act, _ in off}
    state = entry.session.state
    for act, key in off:
        entry.window.statusBar().clearMessage()
        press(entry, key)
        reason = actions.why_not(act.id)
        assert message(entry).endswith(reason[1:]), key
        assert message(entry).startswith(actions.title(act.id).rstrip("…")), key
    assert entry.session.state == state
    assert entry.runner.specs == {}


def test_running_without_a_model_offers_to_open_one_until_there_is_one(desk: Make, qtbot: Any) -> None:
    entry = desk(empty=True)
    banner = entry.window.banner
    press(entry, "F5")
    assert banner.title.text() == "Run: open a model first"
    QApplication.processEvents()
    shown = [button.text() for button in banner.findChildren(QPushButton) if button.isVisible()]
    assert "Open model…" in shown
    press(entry, "F5")
    assert len(banner.notices) == 1
    entry.session.open_model(entry.window.log_folder / "net.onnx")
    entry.runner.finish(entry.runner.last("inspect"), inspect_report().model_dump(mode="json"))
    qtbot.waitUntil(lambda: entry.session.state.model is not None)
    qtbot.waitUntil(lambda: not banner.notices)
    # The model is there; what is missing now is another thing, which another press names.
    press(entry, "F5")
    assert banner.title.text() == "Run: add a step, or give a layer a setting"
    assert len(banner.notices) == 1
    entry.session.do(ReplaceRecipe(Plan(default={"prune_ratio": 0.5}), (Step(method="prune.l1"),), title="Prune"))
    qtbot.waitUntil(lambda: not banner.notices)
    press(entry, "F5")
    assert entry.runner.last("compress")


def test_the_offer_leads_there(desk: Make) -> None:
    entry = desk()
    steps = tuple(step.model_copy(update={"enabled": False}) for step in entry.session.state.steps)
    entry.session.do(SetSteps(steps))
    entry.window.bring("jobs")
    press(entry, "F5")
    assert message(entry) == "Run: every step is switched off: enable one"
    banner = entry.window.banner
    next(button for button in banner.findChildren(QPushButton) if button.text() == "Go to recipe").click()
    assert not entry.window.panels["recipe"].visibleRegion().isEmpty()
    assert banner.notices == ()


def test_what_can_not_be_offered_is_only_said(desk: Make) -> None:
    entry = desk()
    press(entry, "Ctrl+Z")
    assert message(entry) == "Undo: nothing was edited yet"
    assert entry.window.banner.notices == ()


def test_an_act_that_became_impossible_a_moment_ago_is_refused(desk: Make) -> None:
    entry = desk()
    action = entry.window.actions_.action("compress.run")
    entry.window.actions_.refresh()
    assert action.isEnabled()
    entry.session.do(ReplaceRecipe(Plan(), (), title="Clear"))
    action.trigger()
    assert entry.runner.specs == {}
    assert message(entry).startswith("Run: add a step")


def test_steps_of_the_bar_say_what_they_lack(desk: Make, qtbot: Any) -> None:
    entry = desk(empty=True)
    qtbot.mouseClick(entry.window.steps.buttons["Run"], Qt.MouseButton.LeftButton, pos=QPoint(10, 10))
    assert message(entry) == "Run: open a model first"


@pytest.mark.parametrize("panel", ["graph", "layers", "inspector", "pareto", "recipe", "jobs", "compare"])
def test_the_panels_own_keys_go_there(desk: Make, panel: str) -> None:
    entry = desk()
    entry.window.workspace.docks[panel].hide()
    act = next(act for act in entry.window.actions_ if act.id == f"panel.{panel}")
    press(entry, act.keys[0])
    assert entry.window.workspace.docks[panel].isVisible()
    widget = entry.window.panels[panel]
    focus = QApplication.focusWidget()
    assert focus is not None
    assert focus is widget or widget.isAncestorOf(focus) or widget.focusProxy() is focus


def test_button_and_key_of_a_run_give_the_same_reason(desk: Make) -> None:
    entry = desk()
    for state in (
        resnet20_state(),
        resnet20_state().model_copy(update={"steps": (), "plan": Plan()}),
        resnet20_state().model_copy(update={"data": None}),
        resnet20_state().model_copy(update={"steps": (), "plan": Plan(default={"codebook_bits": 4})}),
    ):
        entry.session.set_document(Document(state))
        reason = run_blocked(state, entry.session.methods)
        assert entry.window.actions_.why_not("compress.run") == reason
        assert entry.window.panels["recipe"].run.isEnabled() is (reason is None)


def test_steps_that_are_added_by_themselves_need_data_too() -> None:
    state = resnet20_state().model_copy(update={"steps": (), "data": None})
    reason = run_blocked(state, methods())
    assert reason is not None
    assert reason.way == "data.choose"
