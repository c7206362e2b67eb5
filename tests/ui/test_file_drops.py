"""Files dropped on the window, delivered as the system does it: onto any widget, in any state of the project."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QUrl
from PySide6.QtWidgets import QApplication, QWidget

from tests.fakes.dragging import Drag
from tests.fakes.projects import inspect_report, resnet20_state
from workbench.domain.plan import Plan
from workbench.project.document import Document
from workbench.project.state import ModelReference, ProjectState
from workbench.ui.import_dialog import ImportDialog
from workbench.ui.models.dropped import sort_dropped, words_for

Make = Callable[..., Any]

_DATA = "task: classification\ntest: {reader: npz, path: t.npz, inputs: x}\n"
_RECIPE = "version: 1\nseed: 7\nplan: {default: {weight_bits: 4}}\nsteps: [{method: quantize.ptq}]\n"


@pytest.fixture
def dropped(tmp_path: Path) -> dict[str, Path]:
    """One file of every kind."""
    made = {}
    for name, text in (
        ("net.onnx", ""),
        ("net.pt2", ""),
        ("data.yaml", _DATA),
        ("recipe.yml", _RECIPE),
        ("broken.yaml", "{"),
        ("notes.txt", ""),
    ):
        made[name] = tmp_path / name
        made[name].write_text(text)
    made["other.mcw"] = tmp_path / "other.mcw"
    Document.create(made["other.mcw"], ProjectState(seed=42)).close()
    return made


def urls(paths: Iterable[Path]) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drop(over: QWidget, *paths: Path) -> bool:
    """Drop files in the middle of a widget; return whether they were taken."""
    return Drag(urls(paths), over).drop(over.rect().center())


def answer(entry: Any, path: Path, sha256: str = "b" * 64) -> None:
    """Let the worker describe a model."""
    job = entry.runner.last("inspect")
    assert entry.runner.specs[job].model == str(path)
    content = inspect_report().model_dump(mode="json")
    content["model"]["sha256"] = sha256
    entry.runner.finish(job, content)
    QApplication.processEvents()


# --- what opens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [True, False])
def test_a_model_opens_in_an_empty_project_and_else_in_a_new_one(
    desk: Make, dropped: dict[str, Path], empty: bool
) -> None:
    entry = desk(empty=empty)
    before = entry.session.document
    assert drop(entry.window, dropped["net.onnx"])
    answer(entry, dropped["net.onnx"])
    assert (entry.session.document is before) is empty
    assert entry.session.state.model.path == str(dropped["net.onnx"])
    assert entry.window.pages.currentWidget() is entry.window.workspace


@pytest.mark.parametrize("empty", [True, False])
def test_a_project_opens_from_any_state(desk: Make, dropped: dict[str, Path], empty: bool) -> None:
    entry = desk(empty=empty)
    assert drop(entry.window, dropped["other.mcw"])
    assert entry.session.document.path == dropped["other.mcw"]
    assert entry.session.state.seed == 42


@pytest.mark.parametrize("empty", [True, False])
def test_an_archive_asks_before_it_is_imported(desk: Make, dropped: dict[str, Path], empty: bool) -> None:
    entry = desk(empty=empty)
    assert drop(entry.window, dropped["net.pt2"])
    dialog = entry.window.findChild(ImportDialog)
    assert dialog.source.text() == str(dropped["net.pt2"])
    dialog.reject()


@pytest.mark.parametrize("empty", [True, False])
def test_data_and_recipe_go_into_the_project_shown(desk: Make, dropped: dict[str, Path], empty: bool) -> None:
    entry = desk(empty=empty)
    assert drop(entry.window, dropped["data.yaml"])
    assert entry.session.state.data_folder == str(dropped["data.yaml"].parent)
    assert drop(entry.window, dropped["recipe.yml"])
    assert entry.session.state.plan.default == {"weight_bits": 4}
    assert entry.session.document.undo_title == "Open recipe.yml"


def test_a_recipe_that_came_before_the_model_is_kept(desk: Make, dropped: dict[str, Path]) -> None:
    entry = desk(empty=True)
    drop(entry.window, dropped["recipe.yml"])
    drop(entry.window, dropped["net.onnx"])
    answer(entry, dropped["net.onnx"])
    assert entry.session.state.plan.default == {"weight_bits": 4}


@pytest.mark.parametrize("empty", [True, False])
def test_files_dropped_together_end_in_one_project(
    desk: Make, dropped: dict[str, Path], qtbot: Any, empty: bool
) -> None:
    entry = desk(empty=empty)
    before = entry.session.document
    state = entry.session.state
    drop(entry.window, dropped["recipe.yml"], dropped["data.yaml"], dropped["net.onnx"])
    assert entry.session.state == state
    answer(entry, dropped["net.onnx"])
    qtbot.waitUntil(lambda: entry.session.state.plan.default == {"weight_bits": 4})
    assert before.state == state or empty
    assert entry.session.state.model.path == str(dropped["net.onnx"])
    assert entry.session.state.data_folder == str(dropped["data.yaml"].parent)
    assert entry.runner.last("evaluate")


def test_a_lost_model_that_is_dropped_again_is_taken_as_the_same(desk: Make, dropped: dict[str, Path]) -> None:
    entry = desk()
    before = entry.session.document
    drop(entry.window, dropped["net.onnx"])
    answer(entry, dropped["net.onnx"], entry.session.state.model.sha256)
    assert entry.session.document is before
    assert entry.session.state.model.path == str(dropped["net.onnx"])
    assert entry.session.state.candidates
    drop(entry.window, dropped["net.onnx"])
    answer(entry, dropped["net.onnx"], entry.session.state.model.sha256)
    assert entry.session.document is before
    assert "open already" in entry.window.statusBar().currentMessage()


def test_jobs_at_work_are_asked_about_first(desk: Make, dropped: dict[str, Path]) -> None:
    entry = desk()
    entry.session.evaluate_baseline()
    before = entry.session.document
    drop(entry.window, dropped["other.mcw"])
    assert entry.session.document is before


def test_what_is_wrong_with_a_file_is_told(desk: Make, dropped: dict[str, Path]) -> None:
    entry = desk()
    state = entry.session.state
    assert drop(entry.window, dropped["broken.yaml"])
    assert "not valid YAML" in entry.window.banner.notices[-1].title
    assert entry.session.state == state


def test_a_file_of_another_kind_is_not_taken(desk: Make, dropped: dict[str, Path]) -> None:
    entry = desk()
    assert not drop(entry.window, dropped["notes.txt"])
    assert entry.runner.specs == {}
    assert entry.window.banner.notices == ()


# --- where and how ----------------------------------------------------------------------------------------------------


def test_every_widget_below_lets_the_window_take_files(desk: Make, dropped: dict[str, Path]) -> None:
    entry = desk()
    takers = [child for child in entry.window.findChildren(QWidget) if child.acceptDrops() and child.isVisible()]
    assert len(takers) > 3
    for child in takers:
        document = entry.session.document
        assert drop(child, dropped["recipe.yml"]), child
        assert document.undo_title == "Open recipe.yml", child
        document.undo()


def test_the_hint_says_what_will_happen_and_goes(desk: Make, dropped: dict[str, Path]) -> None:
    window = desk().window
    hint = window.findChild(QWidget, "dropHint")
    drag = Drag(urls([dropped["net.onnx"]]), window)
    assert drag.move(QPoint(200, 300))
    assert hint.isVisible()
    assert hint.geometry() == window.rect()
    assert (hint.title.text(), hint.text.text()) == ("Open net.onnx", "In a new project; this one stays stored")
    drag.leave()
    assert not hint.isVisible()
    drag = Drag(urls([dropped["notes.txt"]]), window)
    assert not drag.move(QPoint(200, 300))
    assert hint.title.text() == "notes.txt can't be opened"
    drag.drop(QPoint(200, 300))
    assert not hint.isVisible()
    drop(window, dropped["recipe.yml"])
    assert not hint.isVisible()


def test_the_words_follow_what_is_there(dropped: dict[str, Path]) -> None:
    empty, full = ProjectState(), resnet20_state()
    words = {
        (name, state is full): words_for((dropped[name],), state)
        for name in ("net.onnx", "other.mcw", "net.pt2", "data.yaml", "recipe.yml", "broken.yaml")
        for state in (empty, full)
    }
    assert words["net.onnx", False] == ("Open net.onnx", "As this project's model")
    assert words["other.mcw", True] == ("Open project other", "This one stays stored")
    assert words["net.pt2", False] == ("Import net.pt2", "Asks before it runs any code")
    assert words["data.yaml", False] == ("Use data data.yaml", "To measure on")
    assert "undo brings it back" in words["data.yaml", True][1]
    assert words["recipe.yml", False] == ("Take over recipe recipe.yml", "Plan and steps")
    assert "undo brings them back" in words["recipe.yml", True][1]
    assert words["broken.yaml", True] == ("Open broken.yaml", "A recipe or data description")
    several = words_for(tuple(dropped[name] for name in ("recipe.yml", "net.onnx", "data.yaml", "notes.txt")), empty)
    assert several == ("Open net.onnx", "As this project's model, then data.yaml, recipe.yml; not notes.txt")


def test_only_one_project_or_model_is_opened_at_a_time(dropped: dict[str, Path]) -> None:
    found = sort_dropped(dropped[name] for name in ("net.onnx", "recipe.yml", "other.mcw"))
    assert (found.first, found.then, found.left) == (
        dropped["other.mcw"],
        (dropped["recipe.yml"],),
        (dropped["net.onnx"],),
    )


def test_upper_case_names_are_the_same_kinds(desk: Make, dropped: dict[str, Path], tmp_path: Path) -> None:
    entry = desk()
    renamed = dropped["other.mcw"].rename(tmp_path / "OTHER.MCW")
    drop(entry.window, renamed)
    assert entry.session.state.seed == 42
    assert entry.session.state.model is None
    assert entry.session.state.plan == Plan()
    assert ModelReference(path="a", sha256="b") != entry.session.state.model
