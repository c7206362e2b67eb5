"""The window without a worker: palette, layouts, looks, banner, steps, closing, and what a second project meets."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton, QToolButton

from tests.fakes.projects import resnet20_state
from workbench.app import log_folder, watch_faults
from workbench.domain.errors import JobError, StorageError
from workbench.project.commands import SetDefault
from workbench.project.document import Document
from workbench.ui.fuzzy import score
from workbench.ui.palette import Entry, ranked
from workbench.ui.preferences import Preferences
from workbench.ui.projects import Projects
from workbench.ui.steps import resolve_steps

Make = Callable[..., Any]


def test_every_action_says_what_it_does_or_why_not(desk: Make) -> None:
    actions = desk(empty=True).window.actions_
    actions.refresh()
    for act in actions:
        action = actions.action(act.id)
        assert action.toolTip()
        assert action.isEnabled() is (actions.why_not(act.id) is None)
        if not action.isEnabled():
            assert actions.why_not(act.id) in action.toolTip()
    assert actions.why_not("compress.run") == "Open a model first"


def test_no_two_actions_share_a_shortcut(desk: Make) -> None:
    keys = [key for act in desk().window.actions_ for key in act.keys]
    assert len(keys) == len(set(keys))


def test_menus_show_every_part(desk: Make) -> None:
    window = desk().window
    titles = [action.text().replace("&", "") for action in window.menuBar().actions()]
    assert titles == ["Project", "Edit", "View", "Model", "Analyse", "Compress", "Plugins", "Help"]
    for action in window.menuBar().actions():
        menu = action.menu()
        menu.aboutToShow.emit()
        for entry in menu.actions():
            if entry.menu() is not None:
                entry.menu().aboutToShow.emit()
                assert entry.menu().actions()


def test_palette_finds_actions_layers_and_candidates(desk: Make, qtbot: Any) -> None:
    entry = desk()
    window = entry.window
    palette = window.open_palette()
    qtbot.keyClicks(palette.field, "meslat")
    assert palette.shown()[0] == "Measure latency of the original"
    palette.field.clear()
    layer = entry.session.state.inspect.layers[3].name
    palette.field.setText(layer)
    assert palette.shown()[0] == layer
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert entry.session.selection.layers == (layer,)
    palette = window.open_palette()
    qtbot.keyClicks(palette.field, "dark")
    first = palette.list.currentRow()
    qtbot.keyClick(palette.field, Qt.Key.Key_Down)
    assert palette.list.currentRow() == first + 1
    palette.close()


def test_palette_puts_what_can_be_done_first_and_says_why_not() -> None:
    entries = [Entry("Run", int, reason="Open a model first"), Entry("Rename", int)]
    assert [entry.title for entry in ranked(entries, "r")] == ["Rename", "Run"]
    assert ranked(entries, "xyz") == []


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("run", "Run", "Trust and run again"),
        ("op", "Open…", "Show model in its folder"),
        ("ms", "Measure sensitivity", "Themes"),
    ],
)
def test_fuzzy_search_prefers_starts_of_words(query: str, better: str, worse: str) -> None:
    high, low = score(query, better), score(query, worse)
    assert high is not None
    assert low is None or high > low


def test_light_and_dark_switch_at_once_and_are_remembered(
    desk: Make, preferences: Preferences, qapp: QApplication
) -> None:
    window = desk().window
    light = window.session.theme.roles
    window.actions_.trigger("view.dark")
    assert window.session.theme.dark
    assert window.session.theme.roles != light
    assert preferences.mode == "dark"
    window.actions_.trigger("view.switch")
    assert not window.session.theme.dark


def test_layouts_are_remembered(desk: Make, preferences: Preferences) -> None:
    window = desk().window
    docks = window.workspace.docks
    assert window.layout_name == "Analyse"
    assert docks["graph"].isVisible()
    docks["inspector"].hide()
    window.show_layout("Compare")
    assert docks["compare"].isVisible()
    window.show_layout("Analyse")
    assert not docks["inspector"].isVisible()
    window.close_and_cancel()

    again = desk(folder="two").window
    assert again.layout_name == "Analyse"
    assert not again.workspace.docks["inspector"].isVisible()
    again.actions_.trigger("view.reset")
    assert again.workspace.docks["inspector"].isVisible()


def test_nothing_is_cut_at_the_smallest_common_screen(desk: Make) -> None:
    window = desk().window
    for name in ("Analyse", "Compare"):
        window.show_layout(name)
        assert window.minimumSizeHint().width() <= 1280
        assert window.minimumSizeHint().height() <= 800


def test_undo_and_redo_name_what_they_do(desk: Make) -> None:
    window = desk().window
    before = window.session.state.plan
    window.actions_.trigger("compress.reset")
    window.actions_.refresh()
    assert window.actions_.action("edit.undo").text() == "Undo reset plan"
    window.actions_.trigger("edit.undo")
    assert window.session.state.plan == before
    window.actions_.refresh()
    assert window.actions_.action("edit.redo").text() == "Redo reset plan"


def test_escape_clears_layers_first_then_the_candidate(desk: Make, qtbot: Any) -> None:
    entry = desk()
    entry.session.selection.set_layers((entry.session.state.inspect.layers[0].name,))
    entry.session.selection.set_candidate(entry.session.state.candidates[0].id)
    qtbot.keyClick(entry.window, Qt.Key.Key_Escape)
    assert entry.session.selection.layers == ()
    assert entry.session.selection.candidate is not None
    qtbot.keyClick(entry.window, Qt.Key.Key_Escape)
    assert entry.session.selection.candidate is None


def test_banner_names_the_fault_with_the_jobs_log(desk: Make, qtbot: Any) -> None:
    entry = desk()
    banner = entry.window.banner
    entry.session.evaluate_baseline()
    job = entry.runner.last("evaluate")
    fault = JobError("the data ran out", where="test.npz", action="Choose other data.")
    entry.runner.fail(job, fault, "Traceback\nline 7")
    qtbot.waitUntil(lambda: bool(banner.notices))
    notice = banner.notices[-1]
    assert notice.title == "The data ran out"
    assert "test.npz" in notice.text
    assert "Choose other data." in notice.text
    assert "line 7" in notice.details
    banner.more.click()
    assert banner.details.isVisible()
    banner.copy.click()
    assert "line 7" in QApplication.clipboard().text()
    banner.close_button.click()
    assert not banner.isVisible()


def test_faults_of_the_program_reach_the_banner(desk: Make, qtbot: Any) -> None:
    window = desk().window
    window.faultFound.emit(ZeroDivisionError("division by zero"), "Traceback: here")
    qtbot.waitUntil(lambda: bool(window.banner.notices))
    assert "ZeroDivisionError" in window.banner.notices[-1].title


def test_unexpected_exceptions_go_to_banner_and_log(desk: Make, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sys, threading):
        monkeypatch.setattr(module, "excepthook", module.excepthook)
    window = desk().window
    watch_faults(window)
    fault = KeyError("lost")
    sys.excepthook(KeyError, fault, None)
    qtbot.waitUntil(lambda: bool(window.banner.notices))
    assert "KeyError" in window.banner.notices[-1].title
    assert "KeyError" in (log_folder() / "window.log").read_text()
    for handler in logging.getLogger("workbench").handlers[:]:
        logging.getLogger("workbench").removeHandler(handler)
        handler.close()


def test_a_full_disk_is_told_and_loses_nothing(desk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = desk()

    def refuse(state: object) -> None:
        raise StorageError("there is no space left", where="disk")

    monkeypatch.setattr(entry.session.document._store, "write", refuse)
    entry.session.do(SetDefault("weight_bits", 4))
    assert entry.window.banner.notices[-1].title == "There is no space left"
    assert entry.window.statusBar().stored.text() == "Not stored"
    assert entry.session.state.plan.default["weight_bits"] == 4


def test_a_locked_project_is_told_and_leaves_the_window_as_it_is(desk: Make, tmp_path: Path) -> None:
    window = desk().window
    with Document.create(tmp_path / "other.mcw"):
        before = window.session.document
        window.open_file(tmp_path / "other.mcw")
        assert "open in this window already" in window.banner.notices[-1].title
        assert window.session.document is before


def test_a_missing_model_offers_to_be_pointed_to(desk: Make, tmp_path: Path, qtbot: Any) -> None:
    window = desk(empty=True).window
    Document.create(tmp_path / "lost.mcw", resnet20_state()).close()
    asked: list[object] = []
    window.projects.pointRequested.disconnect()
    window.projects.pointRequested.connect(asked.append)
    window.open_file(tmp_path / "lost.mcw")
    keys = [notice.key for notice in window.banner.notices]
    assert "model_missing" in keys
    while window.banner.notices[-1].key != "model_missing":
        window.banner.dismiss()
    QApplication.processEvents()
    shown = [button for button in window.banner.findChildren(QPushButton) if button.isVisible()]
    next(button for button in shown if button.text() == "Point to it again…").click()
    assert asked[0].kind == "model_missing"
    assert window.pages.currentWidget() is window.workspace


def test_closing_asks_once_when_jobs_are_at_work(desk: Make, qtbot: Any) -> None:
    entry = desk()
    entry.session.evaluate_baseline()
    assert not entry.window.close()
    box = entry.window.findChild(QMessageBox)
    assert "1 job of this project is not finished" in box.text()
    next(button for button in box.buttons() if "cancel" in button.text()).click()
    assert not entry.window.isVisible()
    assert entry.runner.closed


def test_results_of_a_left_project_do_not_reach_the_next(desk: Make, tmp_path: Path, qtbot: Any) -> None:
    entry = desk()
    entry.session.evaluate_baseline()
    job = entry.runner.last("evaluate")
    entry.window.projects.new()
    assert entry.runner.cancelled == [job]
    entry.runner.finish(job, {"metric": "top1", "value": 0.5, "samples": 10, "ci95": [0.4, 0.6]})
    QApplication.processEvents()
    assert entry.session.state.baseline is None
    assert entry.window.banner.notices == ()
    assert entry.window.pages.currentWidget() is entry.window.welcome


def test_dropped_recipes_become_plan_and_steps(desk: Make, tmp_path: Path) -> None:
    entry = desk()
    before = entry.session.state
    path = tmp_path / "recipe.yaml"
    path.write_text("version: 1\nseed: 7\nplan: {default: {weight_bits: 4}}\nsteps: [{method: quantize.ptq}]\n")
    entry.window.open_file(path)
    assert entry.session.state.plan.default == {"weight_bits": 4}
    assert [step.method for step in entry.session.state.steps] == ["quantize.ptq"]
    assert entry.session.state.seed == 7
    document = entry.session.document
    assert document.undo_title == "Open recipe.yaml"
    document.undo()
    assert document.state == before
    assert document.undo_title is None
    document.redo()
    assert document.state.seed == 7
    path.write_text("version: 1\nsteps: [{method: 3}]\n")
    entry.window.open_file(path)
    assert entry.window.banner.notices


def inspected(report: Any, sha256: str) -> dict[str, Any]:
    """What a worker answers about a file of this content, otherwise like the one of the project."""
    content: dict[str, Any] = report.model_dump(mode="json")
    content["model"]["sha256"] = sha256
    return content


def test_a_second_model_gets_its_own_project(desk: Make, tmp_path: Path, qtbot: Any) -> None:
    entry = desk()
    before = entry.session.document.path
    entry.window.open_file(tmp_path / "other.onnx")
    entry.runner.finish(entry.runner.last("inspect"), inspected(entry.session.state.inspect, "b" * 64))
    qtbot.waitUntil(lambda: entry.session.document.path != before)
    assert entry.session.state.model.path == str(tmp_path / "other.onnx")
    assert entry.session.state.candidates == ()


def test_projects_without_a_name_are_found_again(desk: Make, preferences: Preferences) -> None:
    entry = desk()
    Document.untitled().close()
    kept = Document.untitled()
    kept.do(SetDefault("weight_bits", 8))
    kept.close()
    entry.window.projects.new()
    names = [link.text() for link in entry.window.welcome.links]
    assert any(name.startswith("Unnamed project") for name in names)
    assert isinstance(entry.window.projects, Projects)


def test_steps_say_what_is_done_stale_and_next() -> None:
    state = resnet20_state()
    views = {view.name: view.state for view in resolve_steps(state, ())}
    assert views["Model"] == views["Data"] == views["Baseline"] == "done"
    fresh = state.model_copy(update={"model": None, "inspect": None, "data": None, "baseline": None})
    assert {view.name: view.state for view in resolve_steps(fresh, ())}["Model"] == "next"


def test_a_recipe_brings_its_data_to_a_project_without_any_in_the_same_step(desk: Make, tmp_path: Path) -> None:
    entry = desk(empty=True)
    (tmp_path / "data.yaml").write_text("task: classification\ntest: {reader: npz, path: t.npz, inputs: x}\n")
    path = tmp_path / "recipe.yaml"
    path.write_text("version: 1\ndata: data.yaml\ndevice: board\nsteps: [{method: quantize.ptq}]\n")
    entry.window.open_file(path)
    state = entry.session.state
    assert state.data is not None
    assert (state.data_folder, state.latency.device) == (str(tmp_path), "board")
    entry.session.document.undo()
    assert entry.session.state == type(state)()
    assert entry.session.document.undo_title is None


def test_recent_files_that_are_gone_are_grey_say_why_and_can_be_taken_off(desk: Make, tmp_path: Path) -> None:
    entry = desk(empty=True)
    there, gone, lost = (tmp_path / name for name in ("there.onnx", "gone.onnx", "lost.mcw"))
    there.touch()
    for path in (there, gone, lost):
        entry.window.projects.recent.add(path)
    welcome = entry.window.welcome
    welcome.refresh()
    links = {link.text(): link for link in welcome.links}
    assert links["there.onnx"].isEnabled()
    assert not links["gone.onnx"].isEnabled()
    assert "moved, renamed or deleted" in links["gone.onnx"].toolTip()
    forget = welcome.findChildren(QToolButton, "forget")
    assert [button.accessibleName() for button in forget] == [
        "Take lost.mcw off this list",
        "Take gone.onnx off this list",
    ]
    forget[0].click()
    assert "lost.mcw" not in {link.text() for link in welcome.links}

    project = next(action.menu() for action in entry.window.menuBar().actions() if action.text() == "&Project")
    menu = next(action.menu() for action in project.actions() if action.text() == "Open recent")
    menu.aboutToShow.emit()
    listed = {action.text(): action for action in menu.actions()}
    assert listed["there.onnx"].isEnabled()
    assert not listed["gone.onnx (not there)"].isEnabled()
    assert "moved, renamed or deleted" in listed["gone.onnx (not there)"].toolTip()
    listed["Take 1 missing file off this list"].trigger()
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions()] == ["there.onnx"]
