"""The data wizard offers plugins' metrics and readers with their settings, and fills in what a file's arrays are."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QSpinBox

from tests.fakes.projects import resnet20_state
from tests.ui.test_data_wizard import CIFAR, Desk
from workbench.data.readers.text import TextOptions
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import DataError
from workbench.domain.reports import TensorReport

COUNTED = {
    "properties": {
        "depth": {"type": "integer", "minimum": 1, "default": 3, "title": "Depth", "description": "Layers of a sample"},
        "mirrored": {"type": "boolean", "default": False, "title": "Mirrored"},
    }
}
LISTING = {
    "metrics": [
        {"name": "top1", "title": "Top-1 accuracy", "plugin": "", "against": "targets"},
        {"name": "balanced", "title": "Balanced accuracy", "plugin": "figures", "against": "targets"},
        {"name": "drift", "title": "Drift", "plugin": "figures", "against": "reference"},
    ],
    "readers": [
        {"name": "npz", "title": "NumPy archive", "plugin": "", "suffixes": [".npz"], "json_schema": {}},
        {"name": "npy", "title": "NumPy file", "plugin": "", "suffixes": [".npy"], "json_schema": {}},
        {
            "name": "text",
            "title": "Text",
            "plugin": "",
            "suffixes": [".txt"],
            "json_schema": TextOptions.model_json_schema(),
        },
        {
            "name": "counted",
            "title": "Counted samples",
            "plugin": "figures",
            "suffixes": [".count"],
            "json_schema": COUNTED,
        },
    ],
}


def listed(desk: Desk) -> None:
    """Let the worker say what there is."""
    job = desk.session.list_methods()
    desk.runner.finish(job, LISTING)
    desk.qtbot.waitUntil(lambda: desk.bridge.record(job).finished and bool(desk.session.data_offers.readers))


@pytest.fixture
def desk(qtbot, tmp_path):
    state = resnet20_state()
    tensor = TensorReport(name="x", dtype="float32", shape=("N", 3, 32, 32))
    inspect = state.inspect.model_copy(update={"inputs": (tensor,)})
    state = state.model_copy(update={"data": None, "baseline": None, "inspect": inspect})
    made = Desk(state, tmp_path, qtbot)
    for timer in made.wizard.lookup._timers.values():
        timer.setInterval(0)
    yield made
    made.bridge.close()


def items(combo) -> dict[str, tuple[str, str | None]]:
    tip = Qt.ItemDataRole.ToolTipRole
    return {combo.itemData(row): (combo.itemText(row), combo.itemData(row, tip)) for row in range(combo.count())}


def choose(combo, name: str) -> None:
    """Choose as a user does: by keyboard or mouse, both of which say `activated`."""
    combo.setCurrentIndex(combo.findData(name))
    combo.activated.emit(combo.currentIndex())


def type_path(desk: Desk, split, text: str) -> None:
    split.path.setFocus()
    split.path.selectAll()
    desk.qtbot.keyClicks(split.path, text)


def arrays(desk: Desk, **found: tuple[str, tuple[int, ...]]) -> str:
    """Answer what the newest question for arrays was."""
    desk.qtbot.waitUntil(lambda: "list_arrays" in [spec.kind for spec in desk.runner.specs.values()])
    desk.qtbot.waitUntil(lambda: not desk.bridge.record(desk.runner.last("list_arrays")).finished)
    job = desk.runner.last("list_arrays")
    content = [{"name": name, "dtype": dtype, "shape": shape} for name, (dtype, shape) in found.items()]
    desk.runner.finish(job, {"arrays": content, "itself": None})
    desk.qtbot.waitUntil(lambda: not desk.wizard.lookup.busy)
    return desk.runner.specs[job].path


# --- plugins ----------------------------------------------------------------------------------------------------------


def test_plugins_metrics_stand_beside_the_programs_own(desk):
    form = desk.wizard.form
    assert list(items(form.metrics)) == ["top1", "top5"]
    listed(desk)
    assert items(form.metrics)["balanced"] == ("Balanced accuracy", "From the plugin figures")
    assert list(items(form.metrics)) == ["top1", "top5", "balanced", "drift"]
    choose(form.metrics, "balanced")
    assert form.metrics.toolTip() == "From the plugin figures"
    # Without labels only what compares with the original makes sense.
    choose(form.task, "outputs")
    assert list(items(form.metrics)) == ["sqnr", "cosine", "mse", "drift"]


def test_what_was_chosen_stays_when_the_plugins_are_read(desk):
    form = desk.wizard.form
    form.show_description(CIFAR.model_copy(update={"metric": "balanced"}), desk.session.scratch)
    desk.asked()
    asked = desk.wizard._asked
    listed(desk)
    assert form.metrics.currentData() == "balanced"
    assert form.metrics.currentText() == "Balanced accuracy"
    assert desk.wizard._asked == asked, "reading plugins changes nothing that a preview shows"


def test_a_plugins_reader_has_a_form_for_its_settings(desk):
    split = desk.wizard.form.test
    listed(desk)
    assert items(split.reader)["counted"] == ("Counted samples", "From the plugin figures")
    assert items(split.reader)["npz"][0] == "NumPy archive (.npz)"
    type_path(desk, split, "five.count")
    assert split.reader_name == "counted"
    assert split.reader.toolTip() == "From the plugin figures"
    depth = split.settings.findChild(QSpinBox)
    assert "Layers of a sample" in depth.toolTip()
    depth.setValue(7)
    split.settings.findChild(QCheckBox).click()
    assert split.content() == {"reader": "counted", "path": "five.count", "depth": 7, "mirrored": True}
    # Settings belong to their reader: another one never sees them, and they wait for their own.
    choose(split.reader, "npz")
    assert split.settings is None
    assert split.content() == {"reader": "npz", "path": "five.count"}
    choose(split.reader, "counted")
    assert split.settings.findChild(QSpinBox).value() == 7


def test_the_programs_readers_have_their_settings_too(desk):
    listed(desk)
    description = DataDescription(task="language", test=Split(reader="text", path="a.txt", length=64))
    desk.wizard.form.show_description(description, desk.session.scratch)
    split = desk.wizard.form.test
    assert split.settings.values == {"length": 64}
    assert split.content() == {"reader": "text", "path": "a.txt", "length": 64}


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_a_file_fills_in_its_arrays_and_the_axes_before_anything_is_previewed(desk):
    wizard, split = desk.wizard, desk.wizard.form.test
    type_path(desk, split, "/data/cats.npz")
    assert wizard.lookup.busy
    path = arrays(desk, photos=("uint8", (60, 32, 32, 3)), kinds=("int64", (60,)))
    assert path == "/data/cats.npz"
    assert (split.inputs.text(), split.targets.text()) == ("photos", "kinds")
    assert "Guessed: photos as inputs, kinds as labels\n" in split.note.text()
    assert "photos: 60×32×32×3, uint8" in split.note.text()
    assert split.note.isVisible()
    assert wizard.form.layout_.currentText() == "NHWC->NCHW"
    assert wizard.form.layout_note.text() == "Guessed from the model's input 3×32×32"
    job = desk.asked() if "preview_data" not in [s.kind for s in desk.runner.specs.values()] else None
    spec = desk.runner.specs[job or desk.runner.last("preview_data")]
    assert spec.data.test == Split(reader="npz", path="/data/cats.npz", inputs="photos", targets="kinds")
    assert [s.kind for s in desk.runner.specs.values()].count("preview_data") == 1


def test_another_file_replaces_what_was_guessed_but_not_what_was_typed(desk):
    split = desk.wizard.form.test
    type_path(desk, split, "a.npz")
    arrays(desk, x=("uint8", (60, 32, 32, 3)), y=("int64", (60,)))
    split.targets.selectAll()
    desk.qtbot.keyClicks(split.targets, "mine")
    desk.wizard.form.layout_.setCurrentText("NCHW->NHWC")
    type_path(desk, split, "b.npz")
    arrays(desk, images=("uint8", (60, 32, 32, 3)), labels=("int64", (60,)))
    assert (split.inputs.text(), split.targets.text()) == ("images", "mine")
    assert desk.wizard.form.layout_.currentText() == "NCHW->NHWC"


def test_the_axes_of_an_earlier_file_are_not_those_of_another_format(desk):
    listed(desk)
    split = desk.wizard.form.test
    type_path(desk, split, "a.npz")
    arrays(desk, x=("uint8", (60, 32, 32, 3)), y=("int64", (60,)))
    assert desk.wizard.form.layout_note.isVisible()
    type_path(desk, split, "five.count")
    assert desk.wizard.form.layout_.currentText() == "none"
    assert not desk.wizard.form.layout_note.isVisible()
    assert "x" not in split.content().values()


def test_arrays_are_offered_in_the_fields(desk):
    split = desk.wizard.form.test
    type_path(desk, split, "a.npz")
    arrays(desk, one=("uint8", (60, 32, 32, 3)), two=("uint8", (60, 32, 32, 3)), y=("int64", (60,)))
    assert split.inputs.text() == ""
    assert "one: 60×32×32×3" in split.note.text()
    model = split.inputs.completer().model()
    assert [model.index(row, 0).data() for row in range(model.rowCount())] == ["one", "two", "y"]


def test_what_a_file_says_is_not_guessed_over(desk):
    description = DataDescription(task="outputs", metric="sqnr", test=Split(reader="npz", path="t.npz", inputs="z"))
    desk.wizard.form.show_description(description, desk.session.scratch)
    desk.asked()
    assert "list_arrays" not in [spec.kind for spec in desk.runner.specs.values()]
    assert desk.wizard.form.test.content() == {"reader": "npz", "path": "t.npz", "inputs": "z"}


def test_a_file_that_can_not_be_read_is_left_to_the_preview(desk):
    split = desk.wizard.form.test
    type_path(desk, split, "no.npz")
    desk.qtbot.waitUntil(lambda: "list_arrays" in [spec.kind for spec in desk.runner.specs.values()])
    desk.runner.fail(desk.runner.last("list_arrays"), DataError("there is no such file"))
    desk.qtbot.waitUntil(lambda: "preview_data" in [spec.kind for spec in desk.runner.specs.values()])
    assert not split.note.isVisible()
    assert desk.failures == []


def test_the_answer_to_an_earlier_path_does_not_count(desk):
    split = desk.wizard.form.test
    type_path(desk, split, "a.npz")
    desk.qtbot.waitUntil(lambda: "list_arrays" in [spec.kind for spec in desk.runner.specs.values()])
    first = desk.runner.last("list_arrays")
    desk.qtbot.keyClicks(split.path, "2")
    desk.runner.finish(first, {"arrays": [{"name": "x", "dtype": "uint8", "shape": [60, 8, 8]}]})
    desk.qtbot.waitUntil(lambda: desk.bridge.record(first).finished)
    assert split.inputs.text() == ""
