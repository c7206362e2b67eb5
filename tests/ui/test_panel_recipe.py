"""The recipe panel in a session without processes: cards, forms made from schemas, presets, files, undo, keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QDoubleSpinBox, QLabel, QLineEdit, QSpinBox

from tests.fakes.dragging import Drag
from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.recipe import Step
from workbench.domain.reports import Drawing, DrawnNode
from workbench.methods.recipe_file import read_recipe
from workbench.project.commands import ReplaceRecipe, SetSteps
from workbench.project.document import Document
from workbench.project.state import ProjectState
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.recipe_steps import PRESETS
from workbench.ui.panels.parameter_form import ParameterForm
from workbench.ui.panels.recipe import RecipePanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme
from workbench.ui.workflow import steps_for


class Desk:
    """A panel with the session and the fake runner behind it."""

    def __init__(self, state: ProjectState, scratch, qtbot, *, loaded: bool = True) -> None:
        self.bridge = JobsBridge(self._start)
        self.session = Session(Document(state), self.bridge, Theme("light"), scratch)
        self.session.methods = methods() if loaded else ()
        self.said: list[str] = []
        self.failures: list[object] = []
        self.session.said.connect(self.said.append)
        self.session.failed.connect(self.failures.append)
        self.panel = RecipePanel(self.session)
        self.panel.resize(340, 700)
        qtbot.addWidget(self.panel)
        with qtbot.waitExposed(self.panel):
            self.panel.show()
        self.panel.activateWindow()

    def _start(self, listener):
        self.runner = FakeRunner(listener)
        return self.runner

    @property
    def steps(self) -> list[str]:
        return [step.method for step in self.session.state.steps]

    def form(self, place: int) -> ParameterForm:
        self.panel.steps.rows[place].open.setChecked(True)
        return self.panel.steps.rows[place].form

    def editor(self, place: int, title: str, kind: type):
        form = self.form(place)
        label = next(label for label in form.findChildren(QLabel) if label.text() == title)
        layout = form.layout()
        row = next(
            row for row in range(layout.rowCount()) if layout.itemAt(row, layout.ItemRole.LabelRole).widget() is label
        )
        inner = layout.itemAt(row, layout.ItemRole.FieldRole).layout().itemAt(0).widget()
        return inner if isinstance(inner, kind) else inner.findChild(kind)


@pytest.fixture
def desk(qtbot, tmp_path):
    made = Desk(resnet20_state(), tmp_path, qtbot)
    yield made
    made.bridge.close()


# --- steps ------------------------------------------------------------------------------------------------------------


def test_without_steps_it_says_what_a_recipe_is(qtbot, tmp_path):
    desk = Desk(ProjectState(), tmp_path, qtbot)
    assert "prune, fine-tune, quantize" in desk.panel._pages.empty.message
    assert not desk.panel.run.isEnabled()
    assert desk.panel.run.toolTip() == "Open a model first"
    desk.bridge.close()


def test_steps_are_added_from_a_menu_by_stage_and_open_their_form(desk):
    menu = desk.panel.add.menu()
    titles = [action.text() for action in menu.actions()]
    assert titles.index("Prune") < titles.index("Train") < titles.index("Quantize")
    action = next(action for action in menu.actions() if action.text() == "Random channel pruning")
    action.trigger()
    assert desk.steps[-1] == "prune.random"
    assert desk.panel.steps.rows[-1].open.isChecked()
    assert action in menu.actions()
    desk.session.document.undo()
    assert desk.steps == ["prune.l1", "train.finetune", "quantize.ptq"]


def test_a_model_in_integers_is_kept_or_turned_back_to_float_first(qtbot, tmp_path):
    state = resnet20_state()
    drawing = state.inspect.drawing or Drawing(nodes=(), edges=(), width=1.0, height=1.0)
    node = DrawnNode(id="q", op="QuantizeLinear", family="other", x=0.0, y=0.0, width=9.0, height=9.0)
    inspect = state.inspect.model_copy(update={"drawing": drawing.model_copy(update={"nodes": (*drawing.nodes, node)})})
    desk = Desk(state.model_copy(update={"inspect": inspect}), tmp_path, qtbot)
    ptq = next(method for method in desk.session.methods if method.id == "quantize.ptq")
    back = ptq.model_copy(update={"id": "quantize.to_float", "title": "Back to float", "stage": "decompose"})
    desk.session.methods = (*desk.session.methods, back)
    desk.panel.refresh()
    rows = desk.panel.steps.rows
    assert [row.remedy is not None for row in rows] == [True, False, True]
    assert any("quantized already" in warning for warning in rows[2].view.warnings)
    rows[2].remedy.click()
    assert desk.steps == ["quantize.to_float", "prune.l1", "train.finetune", "quantize.ptq"]
    assert all(row.remedy is None for row in desk.panel.steps.rows)
    desk.session.document.undo()
    assert desk.steps == ["prune.l1", "train.finetune", "quantize.ptq"]
    desk.bridge.close()


def test_where_8_bit_sums_saturate_a_step_offers_a_way_out_and_new_ones_take_it(qtbot, tmp_path):
    state = resnet20_state()
    bits = {"weight_bits": 8, "activation_bits": 8}
    state = state.model_copy(update={"plan": state.plan.model_copy(update={"default": bits})})
    desk = Desk(state, tmp_path, qtbot)
    assert all(row.remedy is None for row in desk.panel.steps.rows)
    ways = {"reduce_range": True}, {"activation_type": "int8"}
    desk.session.methods = tuple(
        method.model_copy(update={"within_16_bits": ways if method.id == "quantize.ptq" else ()})
        for method in desk.session.methods
    )
    desk.session.methodsChanged.emit()
    rows = desk.panel.steps.rows
    assert [row.remedy is not None for row in rows] == [False, False, True]
    assert "saturate on this processor" in rows[2].view.warnings[-1]
    rows[2].remedy.click()
    assert desk.steps == ["prune.l1", "train.finetune", "quantize.ptq"]
    assert desk.session.state.steps[2].parameters["reduce_range"] is True
    assert all(row.remedy is None for row in desk.panel.steps.rows)
    desk.session.document.undo()
    step = desk.session.state.steps[2]
    signed = step.model_copy(update={"parameters": {"activation_type": "int8"}})
    desk.session.do(SetSteps((*desk.session.state.steps[:2], signed), title="Signed"))
    assert all(row.remedy is None for row in desk.panel.steps.rows)
    desk.panel.add_step("quantize.ptq")
    assert desk.session.state.steps[-1].parameters == {"reduce_range": True}
    desk.panel.apply_preset(PRESETS[0])
    assert desk.session.state.steps[0].parameters == {"reduce_range": True}
    desk.session.do(SetSteps((), title="None"))
    assert steps_for(desk.session.state.plan, (), desk.session.methods)[-1].parameters == {"reduce_range": True}
    desk.session.do(ReplaceRecipe(state.plan.model_copy(update={"default": {"weight_bits": 4}}), (step,), title="Four"))
    assert desk.panel.steps.rows[0].remedy is None
    desk.bridge.close()


def test_steps_move_go_and_come_back(desk):
    rows = desk.panel.steps.rows
    rows[0].moveRequested.emit(1)
    assert desk.steps == ["train.finetune", "prune.l1", "quantize.ptq"]
    desk.panel.steps.rows[0].moveRequested.emit(-1)
    assert desk.steps[0] == "train.finetune"
    desk.panel.steps.rows[2].removeRequested.emit()
    desk.panel.steps.rows[0].duplicateRequested.emit()
    assert desk.steps == ["train.finetune", "train.finetune", "prune.l1"]
    for _ in range(3):
        desk.session.document.undo()
    assert desk.steps == ["prune.l1", "train.finetune", "quantize.ptq"]


def test_the_opened_form_stays_with_its_step(desk):
    desk.panel.steps.rows[1].open.setChecked(True)
    desk.panel.steps.rows[0].removeRequested.emit()
    assert [row.open.isChecked() for row in desk.panel.steps.rows] == [True, False]
    desk.session.document.undo()
    desk.panel.steps.rows[1].open.setChecked(True)
    desk.panel.steps.rows[0].open.setChecked(False)
    desk.panel.steps.rows[0].duplicateRequested.emit()
    assert [row.open.isChecked() for row in desk.panel.steps.rows] == [False, False, True, False]
    desk.panel.steps.rows[2].moveRequested.emit(1)
    assert [row.open.isChecked() for row in desk.panel.steps.rows] == [False, False, False, True]


def test_the_keyboard_stays_with_the_step_that_is_switched_and_moved(qtbot, desk):
    desk.panel.steps.rows[0].switch.setFocus()
    qtbot.keyClick(desk.panel.steps.rows[0].switch, Qt.Key.Key_Space)
    assert not desk.session.state.steps[0].enabled
    assert desk.panel.steps.rows[0].switch.hasFocus()
    for place in (1, 2):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
        assert desk.steps[place] == "prune.l1"
        assert desk.panel.steps.rows[place].switch.hasFocus()


def between(desk, gap: int) -> QPoint:
    """Return the point, within the list, between two cards, or below the last."""
    rows = desk.panel.steps.rows
    row = rows[min(gap, len(rows) - 1)].geometry()
    return QPoint(row.center().x(), row.bottom() + 4 if gap == len(rows) else row.y() - 4)


@pytest.mark.parametrize("source", range(3))
@pytest.mark.parametrize("gap", range(4))
def test_a_card_is_dropped_where_the_line_shows_and_taken_back_at_once(desk, source, gap):
    cards, before = desk.panel.steps, desk.steps
    drag = Drag(cards.drag_data(source), cards)
    assert drag.move(between(desk, gap))
    stays = gap in (source, source + 1)
    assert cards.gap == (None if stays else gap)
    assert drag.drop(between(desk, gap))
    assert cards.gap is None
    expected = [name for place, name in enumerate(before) if place != source]
    expected.insert(gap - (gap > source), before[source])
    assert desk.steps == expected
    assert desk.session.document.undo_title == (None if stays else f"Move {before[source]}")
    desk.session.document.undo()
    assert desk.steps == before
    assert desk.session.document.undo_title is None


def test_the_line_follows_the_pointer_and_goes_with_it(desk):
    cards = desk.panel.steps
    plain = cards.grab().toImage()
    drag = Drag(cards.drag_data(0), cards)
    drag.move(between(desk, 3))
    below = cards.grab().toImage()
    drag.move(between(desk, 2))
    assert cards.gap == 2
    assert len({image.pixelColor(60, between(desk, 3).y()).name() for image in (plain, below)}) == 2
    assert cards.grab().toImage().pixelColor(60, between(desk, 3).y()) == plain.pixelColor(60, between(desk, 3).y())
    drag.leave()
    assert cards.gap is None
    assert cards.grab().toImage() == plain


def test_open_form_and_keyboard_go_with_a_dragged_card(desk):
    rows = desk.panel.steps.rows
    rows[0].open.setChecked(True)
    rows[2].switch.setFocus()
    desk.panel.steps.moveRequested.emit(0, 2)
    assert [row.open.isChecked() for row in desk.panel.steps.rows] == [False, False, True]
    assert desk.panel.steps.rows[1].switch.hasFocus()


def test_nothing_but_the_lists_own_cards_is_taken(qtbot, desk, tmp_path):
    other = Desk(resnet20_state(), tmp_path / "other", qtbot)
    link = QMimeData()
    link.setUrls([QUrl.fromLocalFile("/models/a.onnx")])
    for data in (other.panel.steps.drag_data(0), link, QMimeData()):
        assert not Drag(data, desk.panel.steps).drop(between(desk, 3))
    assert desk.steps == ["prune.l1", "train.finetune", "quantize.ptq"]
    other.bridge.close()


def test_the_head_of_a_card_starts_a_drag_and_its_form_does_not(qtbot, desk):
    row = desk.panel.steps.rows[0]
    row.open.setChecked(True)
    QApplication.processEvents()
    began: list[bool] = []
    row.dragStarted.disconnect()
    row.dragStarted.connect(lambda: began.append(True))
    far = QPoint(0, QApplication.startDragDistance())
    on_form, on_grip = row.form.geometry().bottomLeft() + QPoint(2, -2), row.grip.geometry().center()
    for start, count in ((on_form, 0), (on_grip, 1)):
        qtbot.mousePress(row, Qt.MouseButton.LeftButton, pos=start)
        qtbot.mouseMove(row, start + QPoint(1, 0))
        qtbot.mouseMove(row, start + far)
        qtbot.mouseRelease(row, Qt.MouseButton.LeftButton, pos=start + far)
        assert len(began) == count


def test_a_switched_off_recipe_can_not_run_and_says_why(desk):
    assert desk.panel.run.isEnabled()
    for row in range(3):
        desk.panel.steps.rows[row].switch.click()
    assert not desk.panel.run.isEnabled()
    assert desk.panel.run.toolTip() == "Every step is switched off: enable one"


def test_warnings_stand_in_the_card(desk):
    step = Step(method="prune.l1", parameters={"chanel_multiple": 8})
    desk.session.do(SetSteps((step, Step(method="gone.method"))))
    texts = [label.text() for label in desk.panel.steps.findChildren(QLabel) if label.property("role") == "warning"]
    assert "chanel_multiple is not a parameter of this method" in texts
    assert any("No installed plugin brings this method" in text for text in texts)
    assert not desk.panel.steps.rows[1].open.isEnabled()
    assert "gone.method" in desk.panel.run.toolTip()


def test_the_methods_may_arrive_later(qtbot, tmp_path):
    desk = Desk(resnet20_state(), tmp_path, qtbot, loaded=False)
    assert not desk.panel.add.isEnabled()
    assert desk.panel.run.toolTip() == "The installed methods are still being read"
    desk.session.methods = methods()
    desk.session.methodsChanged.emit()
    assert desk.panel.add.isEnabled()
    assert desk.panel.run.isEnabled()
    desk.bridge.close()


# --- parameters -------------------------------------------------------------------------------------------------------


def test_a_parameter_is_stored_when_it_differs_from_its_default_and_the_editor_stays(desk):
    epochs = desk.editor(1, "Epochs", QSpinBox)
    assert epochs.value() == 3
    epochs.setValue(5)
    assert desk.session.state.steps[1].parameters == {"epochs": 5}
    assert desk.panel.steps.rows[1].summary.full == "epochs 5"
    assert epochs is desk.editor(1, "Epochs", QSpinBox)
    epochs.setValue(1)
    assert desk.session.state.steps[1].parameters == {}
    desk.session.document.undo()
    assert desk.session.state.steps[1].parameters == {"epochs": 5}
    assert desk.editor(1, "Epochs", QSpinBox).value() == 5


def test_every_kind_of_parameter_has_its_editor(desk):
    rate = desk.editor(1, "Learning rate", QDoubleSpinBox)
    assert rate.text() == "0.02"
    assert rate.minimum() > 0
    rate.setValue(0.001)
    mode = desk.editor(1, "Batch norm", QComboBox)
    mode.setCurrentIndex(mode.findData("frozen"))
    assert desk.session.state.steps[1].parameters == {"epochs": 3, "learning_rate": 0.001, "batch_norm": "frozen"}


@pytest.mark.parametrize(("text", "stored"), [("2.5", 2.5), ("", None)])
def test_an_optional_number_is_a_line_that_may_be_empty(qtbot, desk, text, stored):
    line = desk.editor(1, "Warmup epochs", QLineEdit)
    assert line.placeholderText() == "automatic"
    line.setText(text)
    line.editingFinished.emit()
    assert desk.session.state.steps[1].parameters.get("warmup_epochs") == stored


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_what_can_not_be_read_is_said_and_not_stored(desk, text):
    line = desk.editor(1, "Warmup epochs", QLineEdit)
    line.setText(text)
    line.editingFinished.emit()
    faults = [label for label in desk.form(1).findChildren(QLabel) if label.property("role") == "error"]
    shown = [label.text() for label in faults if not label.isHidden()]
    assert shown == ["Not stored: a number, at least 0, or empty"]
    assert "warmup_epochs" not in desk.session.state.steps[1].parameters
    line.setText("1")
    line.editingFinished.emit()
    assert all(label.isHidden() for label in faults)
    assert desk.session.state.steps[1].parameters["warmup_epochs"] == 1


def test_reset_takes_a_parameter_back(desk):
    form = desk.form(1)
    assert form._resets["epochs"].isEnabled()
    form._resets["epochs"].click()
    assert desk.session.state.steps[1].parameters == {}
    assert not form._resets["epochs"].isEnabled()
    assert desk.editor(1, "Epochs", QSpinBox).value() == 1


def test_a_needed_parameter_without_default_starts_empty(qtbot):
    schema = {"properties": {"rank": {"type": "integer", "minimum": 1}}, "required": ["rank"]}
    form = ParameterForm(schema, {})
    qtbot.addWidget(form)
    line = form.findChild(QLineEdit)
    assert line.placeholderText() == "needed"
    edits: list[dict[str, object]] = []
    form.edited.connect(edits.append)
    line.setText("4")
    line.editingFinished.emit()
    assert edits == [{"rank": 4}]


def test_the_wheel_passes_over_editors(desk):
    epochs = desk.editor(1, "Epochs", QSpinBox)
    place = QPointF(epochs.rect().center())
    flags = (Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    event = QWheelEvent(place, QPointF(epochs.mapToGlobal(place.toPoint())), QPoint(), QPoint(0, 120), *flags)
    QApplication.sendEvent(epochs, event)
    assert epochs.value() == 3


# --- presets, settings, files -----------------------------------------------------------------------------------------


def test_a_preset_is_one_step_of_the_undo_history(desk):
    before = desk.session.state
    action = next(action for action in desk.panel.presets.menu().actions() if action.text() == PRESETS[0].title)
    action.trigger()
    assert desk.steps == ["quantize.ptq"]
    assert desk.session.state.plan.default["weight_bits"] == 8
    assert desk.session.state.plan.layers == before.plan.layers
    desk.session.document.undo()
    assert (desk.session.state.plan, desk.session.state.steps) == (before.plan, before.steps)


def test_a_preset_whose_method_is_missing_says_which(qtbot, tmp_path):
    desk = Desk(resnet20_state(), tmp_path, qtbot, loaded=False)
    desk.session.methods = tuple(method for method in methods() if method.id != "train.finetune")
    desk.session.methodsChanged.emit()
    action = next(action for action in desk.panel.presets.menu().actions() if action.text() == PRESETS[1].title)
    assert not action.isEnabled()
    assert action.toolTip() == "No installed plugin brings train.finetune"
    desk.bridge.close()


def test_restoring_a_candidate_is_one_step_of_the_undo_history(desk):
    before = desk.session.state
    desk.session.restore_candidate_plan("c1")
    assert desk.steps == ["quantize.ptq"]
    assert desk.session.document.undo_title == "Restore plan of W8A8"
    desk.session.document.undo()
    assert (desk.session.state.plan, desk.session.state.steps) == (before.plan, before.steps)


def test_settings_of_the_run_are_part_of_the_document(desk):
    panel = desk.panel
    panel.seed.setValue(7)
    panel.threads.setValue(2)
    panel.batch.setValue(8)
    panel.samples.setText("500")
    panel.samples.editingFinished.emit()
    state = desk.session.state
    assert (state.seed, state.latency.threads, state.latency.batch, state.evaluate.samples) == (7, 2, 8, 500)
    for _ in range(4):
        desk.session.document.undo()
    assert (panel.seed.value(), panel.threads.value(), panel.batch.value(), panel.samples.text()) == (0, 1, 1, "")


def test_a_number_of_samples_that_is_none_is_put_back(desk):
    desk.panel.samples.setText("many")
    desk.panel.samples.editingFinished.emit()
    assert desk.panel.samples.text() == ""
    assert desk.said[-1] == "'many' is not a number of samples"
    assert desk.session.document.undo_title is None


def test_a_recipe_goes_out_and_comes_back(desk, tmp_path):
    desk.panel._export(tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml").steps == desk.session.state.steps
    expected = desk.session.state
    desk.session.do(SetSteps(()))
    desk.panel._import(tmp_path / "recipe.yaml")
    assert (desk.session.state.steps, desk.session.state.plan) == (expected.steps, expected.plan)
    assert desk.failures == []


def test_a_file_that_is_no_recipe_is_one_clear_fault(desk, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("steps: 3\n")
    before = desk.session.state
    desk.panel._import(path)
    assert len(desk.failures) == 1
    assert desk.session.state == before


def test_run_sends_the_recipe_as_it_is_shown(desk):
    desk.panel.run.click()
    spec = desk.runner.specs[desk.runner.last("compress")]
    assert spec.recipe.steps == desk.session.state.steps
    assert spec.recipe.plan == desk.session.state.plan


def test_the_menu_of_a_card_does_what_it_says(desk):
    entries = {action.text().partition("\t")[0]: action for action in desk.panel.steps.rows[0].more.menu().actions()}
    assert not entries["Move up"].isEnabled()
    entries["Duplicate"].trigger()
    assert desk.steps == ["prune.l1", "prune.l1", "train.finetune", "quantize.ptq"]
    entries = {action.text().partition("\t")[0]: action for action in desk.panel.steps.rows[3].more.menu().actions()}
    assert not entries["Move down"].isEnabled()
    entries["Move up"].trigger()
    assert desk.steps == ["prune.l1", "prune.l1", "quantize.ptq", "train.finetune"]
    entries = {action.text(): action for action in desk.panel.steps.rows[0].more.menu().actions()}
    entries["Remove"].trigger()
    assert desk.steps == ["prune.l1", "quantize.ptq", "train.finetune"]


def test_a_closed_card_says_which_parameters_differ(desk):
    row = desk.panel.steps.rows[1]
    assert row.summary.isVisible()
    assert row.summary.full == "epochs 3"
    row.open.setChecked(True)
    assert not row.summary.isVisible()
    assert not desk.panel.steps.rows[0].summary.isVisible()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_nothing_is_cut_in_a_narrow_dock(qtbot, desk, mode):
    desk.session.theme.set_mode(mode)
    qtbot.waitUntil(lambda: not desk.session.theme.changing)
    desk.form(1)
    desk.panel.resize(300, 600)
    QApplication.processEvents()
    assert desk.panel._area.horizontalScrollBar().maximum() == 0
    for label in desk.panel.findChildren(QLabel):
        if label.isVisible() and not label.wordWrap():
            assert label.fontMetrics().horizontalAdvance(label.text()) <= label.width() + 1 or label.toolTip()
    desk.session.theme.set_mode("light")
    qtbot.waitUntil(lambda: not desk.session.theme.changing)
