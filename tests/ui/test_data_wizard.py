"""The data wizard: fields to DATA.yaml and back, what it makes of previews, and what keeps it from closing."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from PySide6.QtCore import QBuffer, QByteArray, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QDialog, QPushButton

from tests.fakes.projects import resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.data.description_file import read_data_description, write_data_description
from workbench.domain.data_description import Crop, DataDescription, Preprocess, Split
from workbench.domain.data_reports import DataPreview, SamplePreview
from workbench.domain.errors import DataError
from workbench.domain.measurements import MetricMeasurement
from workbench.project.document import Document
from workbench.project.state import ProjectState
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.data_offers import READERS
from workbench.ui.panels.data_form import DataForm
from workbench.ui.panels.data_wizard import DataWizard
from workbench.ui.session import Session
from workbench.ui.theme import Theme

CIFAR = DataDescription(
    task="classification",
    metric="top1",
    train=Split(reader="npz", path="train.npz", inputs="x", targets="y"),
    test=Split(reader="npz", path="test.npz", inputs="x", targets="y"),
    preprocess=Preprocess(scale=255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), layout="NHWC->NCHW"),
    augment=("flip", Crop(crop=4)),
)


class Desk:
    """A wizard with the session and the fake runner behind it."""

    def __init__(self, state: ProjectState, scratch: Path, qtbot) -> None:
        self.bridge = JobsBridge(self._start)
        self.session = Session(Document(state), self.bridge, Theme("light"), scratch)
        self.failures: list[object] = []
        self.session.failed.connect(self.failures.append)
        self.wizard = DataWizard(self.session)
        self.wizard.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        self.wizard._timer.setInterval(0)
        qtbot.addWidget(self.wizard)
        with qtbot.waitExposed(self.wizard):
            self.wizard.show()
        self.qtbot = qtbot

    def _start(self, listener):
        self.runner = FakeRunner(listener)
        return self.runner

    def asked(self) -> str:
        """Wait for the wizard to ask for a preview; return the job."""
        known = len(self.runner.specs)
        self.qtbot.waitUntil(lambda: len(self.runner.specs) > known)
        return self.runner.last("preview_data")

    def answer(self, job: str, **fields: object) -> None:
        preview = DataPreview(test_samples=10_000, train_samples=20_000, input_shape=(3, 32, 32), classes=10, **fields)
        self.runner.finish(job, preview.model_dump(mode="json"))

    def metric(self, value: float) -> MetricMeasurement:
        return MetricMeasurement(metric="top1", value=value, samples=500, ci95=(value - 0.02, value + 0.02))


@pytest.fixture
def empty(qtbot, tmp_path):
    made = Desk(resnet20_state().model_copy(update={"data": None, "baseline": None}), tmp_path, qtbot)
    yield made
    made.bridge.close()


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{THIN SPACE}", " ")


# --- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description",
    [
        CIFAR,
        DataDescription(metric="miou", task="segmentation", test=Split(reader="image_folder", path="val")),
        DataDescription(test=Split(reader="idx", path="images.gz", inputs="name", targets="labels.gz")),
        DataDescription(task="outputs", metric="sqnr", test=Split(reader="random", samples=64)),
        DataDescription(test=Split(reader="npz", path="t.npz", inputs={"a": "x", "b": "z"}, targets="y")),
        DataDescription(metric="my_metric", test=Split(reader="my_reader", path="x", inputs="i", depth=3)),
        DataDescription(
            test=Split(reader="csv", path="m.csv", inputs="file", targets="label"),
            preprocess=Preprocess(resize=(224, 224), dtype="float32"),
            options={"labels": ["cat", "dog"]},
        ),
    ],
)
def test_what_a_file_says_survives_the_form(qtbot, tmp_path, description):
    write_data_description(description.model_copy(update={"folder": str(tmp_path)}), tmp_path / "data.yaml")
    read = read_data_description(tmp_path / "data.yaml")
    form = DataForm()
    qtbot.addWidget(form)
    form.show_description(read, tmp_path)
    assert form.description() == read


def test_a_format_shows_only_the_fields_it_has(qtbot):
    form = DataForm()
    qtbot.addWidget(form)
    form.show()
    split = form.test
    shown = {}
    for name in READERS:
        split.reader.setCurrentIndex(split.reader.findData(name))
        shown[name] = tuple(field.isVisible() for field in (split.path, split.inputs, split.targets))
    assert shown["npz"] == (True, True, True)
    assert shown["idx"] == (True, False, True)
    assert shown["image_folder"] == shown["text"] == (True, False, False)
    assert shown["random"] == (False, False, False)


def test_fields_of_another_format_are_left_out(qtbot, tmp_path):
    form = DataForm()
    qtbot.addWidget(form)
    form.show_description(CIFAR, tmp_path)
    form.test.reader.setCurrentIndex(form.test.reader.findData("image_folder"))
    assert form.test.content() == {"reader": "image_folder", "path": "test.npz"}


@pytest.mark.parametrize(
    ("field", "text", "word"), [("scale", "big", "Scale"), ("mean", "a, b", "Mean"), ("std", "0.2; 0.3", "Deviation")]
)
def test_what_is_no_number_is_named(qtbot, tmp_path, field, text, word):
    form = DataForm()
    qtbot.addWidget(form)
    form.show_description(CIFAR, tmp_path)
    getattr(form, field).setText(text)
    with pytest.raises(DataError, match=word):
        form.description()


def test_metrics_are_those_of_the_task_in_words(qtbot):
    form = DataForm()
    qtbot.addWidget(form)
    assert [form.metrics.itemText(i) for i in range(form.metrics.count())] == ["Top-1 accuracy", "Top-5 accuracy"]
    form.task.setCurrentIndex(form.task.findData("language"))
    assert form.metrics.currentData() == "perplexity"


def test_the_wheel_passes_over_fields(qtbot):
    form = DataForm()
    qtbot.addWidget(form)
    form.show()
    place = QPointF(form.task.rect().center())
    flags = (Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    event = QWheelEvent(place, QPointF(form.task.mapToGlobal(place.toPoint())), QPoint(), QPoint(0, -120), *flags)
    QApplication.sendEvent(form.task, event)
    assert form.task.currentData() == "classification"


# --- the wizard -------------------------------------------------------------------------------------------------------


def test_an_empty_wizard_says_what_to_do_and_can_not_be_accepted(empty):
    wizard = empty.wizard
    assert "Name the test data" in wizard.summary.text()
    assert not wizard.use.isEnabled()
    assert wizard.use.toolTip() == "Name the test data first"
    wizard.form.task.setCurrentIndex(1)
    empty.qtbot.waitUntil(lambda: not wizard._timer.isActive())
    assert empty.runner.specs == {}
    assert wizard.verdict.text() == ""


def test_a_preview_shows_samples_sizes_and_what_the_original_makes_of_them(empty):
    wizard = empty.wizard
    wizard.form.show_description(CIFAR, Path("/data"))
    job = empty.asked()
    assert wizard.busy.isVisible()
    assert empty.runner.specs[job].data.folder == "/data"
    samples = (
        SamplePreview(index=0, image_png_base64=_png(), label="cat", prediction="cat", correct=True),
        SamplePreview(index=1, image_png_base64=_png(), label="ankle boot", prediction="automobile", correct=False),
        SamplePreview(index=2),
    )
    empty.answer(job, samples=samples, metric=empty.metric(0.92), notes=("sampled",))
    empty.qtbot.waitUntil(wizard.use.isEnabled)
    assert not wizard.busy.isVisible()
    assert plain(wizard.summary.text()) == (
        "10 000 test samples, 20 000 training samples, 10 classes, input 3×32×32\nsampled"
    )
    assert plain(wizard.verdict.text()).startswith("The original reaches 92.0 ±2.0 % on 500 of these samples.")
    captions = [wizard.grid.item(row).text() for row in range(3)]
    assert captions == ["✓ cat", "ankle boot\n✗ automobile", "no label"]
    lines = wizard.grid.fontMetrics().lineSpacing() * 2
    assert wizard.grid.visualItemRect(wizard.grid.item(1)).height() >= wizard.grid.iconSize().height() + lines


def test_an_answer_to_what_was_typed_before_does_not_count(empty):
    wizard = empty.wizard
    wizard.form.show_description(CIFAR, Path("/data"))
    first = empty.asked()
    wizard._timer.setInterval(50_000)
    wizard.form.scale.setText("1")
    empty.answer(first, metric=empty.metric(0.92))
    empty.qtbot.waitUntil(lambda: empty.bridge.record(first).finished)
    QApplication.processEvents()
    assert not wizard.use.isEnabled()
    wizard.preview()
    second = empty.runner.last("preview_data")
    assert empty.runner.specs[second].data.preprocess.scale == 1
    empty.answer(second, metric=empty.metric(0.1))
    empty.qtbot.waitUntil(wizard.use.isEnabled)
    assert "near chance" in wizard.verdict.text()
    assert wizard.verdict.property("role") == "warning"


@pytest.mark.parametrize(("classes", "value", "warned"), [(2, 0.52, True), (2, 0.8, False), (1000, 0.6, False)])
def test_chance_depends_on_the_number_of_classes(empty, classes, value, warned):
    wizard = empty.wizard
    preview = DataPreview(classes=classes, input_shape=(3,), metric=empty.metric(value))
    wizard._show_preview(preview)
    assert ("near chance" in wizard.verdict.text()) == warned


def test_without_a_model_or_without_a_metric_it_says_that_nothing_was_checked(qtbot, tmp_path, empty):
    empty.wizard._show_preview(DataPreview(input_shape=(3,)))
    assert "unchecked" in empty.wizard.verdict.text()
    desk = Desk(ProjectState(), tmp_path, qtbot)
    desk.wizard._show_preview(DataPreview(input_shape=(3,)))
    assert desk.wizard.verdict.text().startswith("Open a model")
    desk.bridge.close()


def test_a_fault_of_the_data_is_shown_in_place_and_not_in_the_banner(empty):
    wizard = empty.wizard
    wizard.form.show_description(CIFAR, Path("/data"))
    job = empty.asked()
    empty.runner.fail(job, DataError("test.npz has no array 'x'", expected="one of images, labels"))
    empty.qtbot.waitUntil(lambda: "no array" in wizard.verdict.text())
    assert wizard.verdict.property("role") == "error"
    assert not wizard.use.isEnabled()
    assert empty.failures == []


def test_accepting_stores_the_data_and_measures_the_original(empty):
    wizard = empty.wizard
    wizard.form.show_description(CIFAR, Path("/data"))
    empty.answer(empty.asked(), metric=empty.metric(0.92))
    empty.qtbot.waitUntil(wizard.use.isEnabled)
    wizard.use.click()
    assert wizard.result() == QDialog.DialogCode.Accepted
    assert empty.session.state.data.test == CIFAR.test
    assert empty.session.state.data_folder == "/data"
    assert empty.runner.specs[empty.runner.last("evaluate")].data.folder == "/data"


def test_closing_while_it_looks_is_harmless(empty):
    wizard = empty.wizard
    wizard.form.show_description(CIFAR, Path("/data"))
    job = empty.asked()
    wizard.reject()
    empty.answer(job, metric=empty.metric(0.92))
    empty.qtbot.waitUntil(lambda: empty.bridge.record(job).finished)
    QApplication.processEvents()
    assert not wizard.use.isEnabled()
    assert empty.session.state.data is None


def test_it_starts_from_the_projects_data(qtbot, tmp_path):
    desk = Desk(resnet20_state(), tmp_path, qtbot)
    assert desk.wizard.form.test.path.text() == "test.npz"
    desk.bridge.close()


def test_enter_in_a_field_opens_no_file_dialog(empty):
    assert [button.text() for button in empty.wizard.findChildren(QPushButton) if button.isDefault()] == [
        "Use this data"
    ]
    assert not empty.wizard.load.autoDefault()
    empty.wizard.activateWindow()
    empty.wizard.form.test.path.setFocus()
    empty.qtbot.keyClick(empty.wizard.form.test.path, Qt.Key.Key_Return)
    assert empty.wizard.isVisible()
    assert not [child for child in empty.wizard.findChildren(QDialog) if child.isVisible()]


def test_files_are_loaded_and_saved(empty, tmp_path):
    wizard = empty.wizard
    write_data_description(CIFAR.model_copy(update={"folder": str(tmp_path)}), tmp_path / "data.yaml")
    wizard.load_file(tmp_path / "data.yaml")
    assert wizard.form.folder == tmp_path
    wizard._save_to(tmp_path / "copy.yaml")
    assert read_data_description(tmp_path / "copy.yaml").test == CIFAR.test
    (tmp_path / "broken.yaml").write_text("task: [")
    wizard.load_file(tmp_path / "broken.yaml")
    assert wizard.verdict.property("role") == "error"
    assert "broken.yaml" in wizard.verdict.text()


def _png() -> str:
    image = QImage(8, 8, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.red)
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return base64.b64encode(bytes(data)).decode()
