"""The inspector in a session without processes: what it says of a selection, what its editors and links do."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QLabel

from tests.fakes.drawings import resnet_drawing
from tests.fakes.inspector import InspectorDesk
from tests.fakes.projects import inspect_report, methods, resnet20_state
from workbench.domain.errors import BadInputError
from workbench.domain.knobs import FIRST_PARTY_KNOBS, PRUNE_RATIO, WEIGHT_BITS
from workbench.domain.measurements import OperatorTime
from workbench.domain.recipe import Step
from workbench.domain.reports import GroupMember, NodeCost, TensorReport
from workbench.project.state import ProjectState
from workbench.ui.models.inspector_view import Inspection, KnobView, as_text, resolve_inspection
from workbench.ui.models.layer_curves import measurable, resolve_curves
from workbench.ui.models.layer_geometry import geometry_facts
from workbench.ui.models.layer_table import resolve_layers
from workbench.ui.panels.inspector_plots import CurvesPlot, HistogramPlot, NormsPlot
from workbench.ui.panels.inspector_sections import KnobRows
from workbench.ui.panels.inspector_tabs import CHANNELS, SENSITIVITY, WEIGHTS

INNER = "layer2.0.conv1"
SHARED = "layer1.0.conv2"


def drawn_state(**changes: object) -> ProjectState:
    state = resnet20_state()
    report = state.inspect
    report = report.model_copy(
        update={
            "drawing": resnet_drawing(report),
            "inputs": (TensorReport(name="image", dtype="float32", shape=("N", 3, 32, 32)),),
            "costs": (
                NodeCost(name="layer2.0.add", op="Add", macs=8192, params=0),
                NodeCost(name="flatten", op="Flatten", macs=0, params=0, counted=False),
            ),
        }
    )
    return state.model_copy(update={"inspect": report, **changes})


class Desk(InspectorDesk):
    """With what a test does and reads."""

    def select(self, *names: str) -> Inspection:
        self.session.selection.set_layers(names)
        return self.panel.inspection

    @property
    def facts(self) -> dict[str, str]:
        return {title: plain(value) for title, value in self.panel.facts.texts().items()}


@pytest.fixture
def desk(qtbot, tmp_path):
    made = Desk(drawn_state(), tmp_path, qtbot)
    yield made
    made.bridge.close()


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{THIN SPACE}", " ")


# --- what it says -----------------------------------------------------------------------------------------------------


def test_without_a_model_it_says_what_will_appear_and_offers_to_open_one(qtbot, tmp_path):
    desk = Desk(ProjectState(), tmp_path, qtbot)
    assert "appear here" in desk.panel._pages.empty.message
    with qtbot.waitSignal(desk.panel.openRequested):
        desk.panel._pages.empty.button.click()
    desk.bridge.close()


def test_without_a_selection_it_sums_up_the_model_and_says_how_to_go_on(desk):
    assert desk.panel.heading.full == "resnet20.onnx"
    assert desk.facts["MACs"] == "40.6 M"
    assert desk.facts["Opset"] == "20"
    assert desk.facts["Input"] == "image  N×3×32×32  float32"
    assert desk.facts["Top-1 accuracy"] == "91.73 ±0.54 %"
    assert desk.facts["Latency"].endswith("ms")
    assert desk.panel.hint.isVisible()
    assert not desk.panel.tabs.isVisible()


def test_a_layer_comes_with_shapes_costs_and_its_channel_group(desk):
    found = desk.select(INNER)
    assert plain(desk.panel.subtitle.full) == "Conv 16→32 3×3  1.18 M MACs"
    assert desk.facts["Kernel"] == "3×3, stride 1"
    assert desk.facts["Weight"] == "32×16×3×3"
    assert desk.facts["Params"] == "4.64 k (1.7 %)"
    assert desk.facts["Intensity"].endswith("MACs/B")
    assert found.facts[4].tip == "4 640 parameters".replace(" ", "\N{THIN SPACE}", 1)
    assert desk.panel.group.text() == "Group: 2 layers, 32 channels"
    assert [link.accessibleName() for link in desk.panel.members.links] == ["layer2.0.conv2"]
    assert not desk.panel.blocked.isVisible()


def test_a_layer_that_can_not_be_pruned_names_what_blocks(desk):
    desk.select("node_linear")
    assert 'the graph output "logits"' in desk.panel.blocked.text()
    editor = desk.panel.knobs.editors["prune_ratio"]
    assert not editor.isEnabled()
    assert "logits" in editor.toolTip()
    assert not desk.panel.group.isVisible()
    assert desk.panel.knobs.editors["weight_bits"].isEnabled()


def test_another_node_shows_operator_cost_family_and_neighbours(desk):
    found = desk.select("layer2.0.add")
    assert desk.panel.subtitle.full == "Add"
    assert desk.facts == {"Family": "Elementwise", "MACs": "8.19 k (< 0.1 %)", "Params": "0"}
    assert {title for title, _ in found.neighbours} == {"Takes from", "Gives to"}
    assert not desk.panel.tabs.isVisible()
    assert not desk.panel.knobs.isVisible()
    assert desk.select("flatten").facts[1].value == "unknown"


def test_a_selection_that_the_model_lacks_falls_back_to_the_model(desk):
    assert desk.select("gone").kind == "model"


def test_several_layers_show_sums_and_what_their_settings_have_in_common(desk):
    found = desk.select("conv1", INNER)
    assert desk.panel.heading.full == "2 layers"
    assert desk.facts["Params"] == "5.09 k (1.9 %)"
    values = {view.knob.name: view.value for view in found.knobs}
    assert values["activation_bits"] == 8
    assert values["weight_bits"] is None
    assert desk.panel.knobs.states["weight_bits"].text() == "several"
    assert [member.name for member in found.chosen] == ["conv1", INNER]
    assert found.current == INNER


def test_a_selected_candidate_shows_what_it_made_of_the_layer_and_of_the_model(desk):
    desk.session.selection.set_candidate("c5")
    assert desk.panel.changes.texts()["Difference"].endswith("pt")
    desk.select(INNER)
    assert desk.panel.candidate.full == "In Third off, W8A8"
    assert desk.panel.changes.texts()["Weight"] == "32×16×3×3 → 22×16×3×3"
    assert desk.panel.changes.texts()["Weight bits"] == "32 → 8"
    assert desk.panel.changes.texts()["Activation bits"] == "32, unchanged"
    desk.session.selection.set_candidate(None)
    assert not desk.panel.candidate.isVisible()


def test_the_layers_share_of_the_latency_is_named_once_it_was_measured(desk):
    state = drawn_state()
    first = state.baseline_latency.models[0].model_copy(
        update={"operators": (OperatorTime(node="k", layer=INNER, op="Conv", median_ms=0.125, share=0.12),)}
    )
    latency = state.baseline_latency.model_copy(update={"models": (first,)})
    state = state.model_copy(update={"baseline_latency": latency})
    table = resolve_layers(state, FIRST_PARTY_KNOBS)
    facts = {fact.title: plain(fact.value) for fact in resolve_inspection(state, table, (INNER,)).facts}
    assert facts["Latency"] == "0.125 ms (12%)"
    assert "Latency" not in {fact.title for fact in resolve_inspection(state, table, (SHARED,)).facts}


def test_values_are_copied_as_lines(desk):
    desk.select(INNER)
    desk.panel.copy_name()
    assert QGuiApplication.clipboard().text() == INNER
    desk.panel.copy_values()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].startswith(f"{INNER}\tConv 16→32 3×3")
    assert "Weight\t32×16×3×3" in lines
    assert "W bits\t8" in lines
    assert desk.said[-1] == "Copied values"
    desk.select("node_linear")
    assert 'Can\'t be pruned\tits channels are the graph output "logits"' in as_text(desk.panel.inspection)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("names", [(), (INNER,), ("node_linear",), ("conv1", SHARED), ("layer2.0.add",)])
def test_nothing_is_wider_than_a_narrow_dock(qtbot, desk, mode, names):
    desk.session.theme.set_mode(mode)
    qtbot.waitUntil(lambda: not desk.session.theme.changing)
    desk.panel.resize(300, 700)
    desk.select(*names)
    QApplication.processEvents()
    content = desk.panel._content
    assert content.width() <= 300
    for label in content.findChildren(QLabel):
        if label.isVisible() and not label.wordWrap() and label.text():
            needed = label.fontMetrics().horizontalAdvance(label.text())
            assert needed <= label.width() + 1 or label.toolTip(), label.text()
    desk.session.theme.set_mode("light")
    qtbot.waitUntil(lambda: not desk.session.theme.changing)


# --- what it changes --------------------------------------------------------------------------------------------------


def test_a_setting_goes_to_the_selection_and_can_be_undone(desk):
    desk.select(INNER)
    before = desk.session.state.plan
    desk.panel.knobs.editors["weight_bits"].chosen.emit(4)
    assert desk.session.settings().number(INNER, WEIGHT_BITS) == 4
    assert desk.panel.knobs.states["weight_bits"].text() == "own"
    assert desk.panel.knobs.resets["weight_bits"].isEnabled()
    assert desk.session.settings().number("conv1", WEIGHT_BITS) == 16
    desk.session.document.undo()
    assert desk.session.state.plan == before
    assert desk.panel.knobs.states["weight_bits"].text() == "default"
    assert desk.panel.knobs.editors["weight_bits"].value() == 8


def test_pruning_moves_the_coupled_layers_along_and_one_reset_takes_all_back(desk):
    desk.select(SHARED)
    assert "Moves together with conv1" in desk.panel.knobs._notes["prune_ratio"].text()
    desk.panel.knobs.editors["prune_ratio"].chosen.emit(0.25)
    touched = set(desk.session.settings().touched(PRUNE_RATIO))
    assert {"conv1", SHARED, "layer3.2.conv2"} <= touched
    assert "node_linear" not in touched
    desk.panel.knobs.resets["prune_ratio"].click()
    assert SHARED not in desk.session.settings().touched(PRUNE_RATIO)
    desk.session.document.undo()
    assert desk.session.settings().number("conv1", PRUNE_RATIO) == 0.25


def test_an_edit_of_several_layers_leaves_out_those_it_does_not_fit(desk):
    found = desk.select("node_linear", INNER)
    prune = next(view for view in found.knobs if view.knob is PRUNE_RATIO)
    assert prune.note == "Reaches 1 of 2 selected layers"
    desk.panel.apply_setting("prune_ratio", 0.5)
    assert "node_linear" not in desk.session.settings().touched(PRUNE_RATIO)
    assert desk.session.settings().number(INNER, PRUNE_RATIO) == 0.5
    desk.select("node_linear")
    desk.panel.apply_setting("prune_ratio", 0.5)
    assert desk.said[-1] == "None of the selected layers has prune"


def test_a_setting_that_no_step_reads_says_so_once_it_is_turned():
    def notes(steps: tuple[Step, ...]) -> dict[str, str]:
        state = drawn_state(steps=steps)
        table = resolve_layers(state, FIRST_PARTY_KNOBS, methods())
        return {view.knob.name: view.note for view in resolve_inspection(state, table, (INNER,)).knobs}

    pruning = notes((Step(method="prune.l1"),))
    assert "No step of the recipe reads this setting" in pruning["weight_bits"]
    assert pruning["prune_ratio"] == ""
    assert notes(())["weight_bits"] == ""


def test_rare_settings_are_folded_unless_the_layer_has_its_own(qtbot):
    def views(*own: str) -> tuple[KnobView, ...]:
        return tuple(KnobView(knob, knob.untouched, knob.name in own) for knob in FIRST_PARTY_KNOBS)

    rows = KnobRows()
    qtbot.addWidget(rows)
    rows.show()
    rows.set_views(views())
    usual = {"prune_ratio", "weight_bits", "activation_bits", "rank_ratio"}
    assert {name for name, editor in rows.editors.items() if editor.isVisible()} == usual
    assert rows.more.text() == f"{len(FIRST_PARTY_KNOBS) - len(usual)} more settings"
    rows.set_views(views("sparsity"))
    assert {name for name, editor in rows.editors.items() if editor.isVisible()} == usual | {"sparsity"}
    rows.more.click()
    assert all(editor.isVisible() for editor in rows.editors.values())
    rows.set_views(views())
    assert all(editor.isVisible() for editor in rows.editors.values())


def test_links_select_and_show_selects_the_whole_group(desk):
    desk.select(INNER)
    desk.panel.members.links[0].click()
    assert desk.session.selection.layers == ("layer2.0.conv2",)
    desk.select(INNER)
    desk.panel.show_group.click()
    assert desk.session.selection.layers == ("layer2.0.conv2", INNER)
    desk.panel.chosen.links[0].click()
    assert desk.session.selection.layers == ("layer2.0.conv2",)


def test_a_long_group_is_cut_until_it_is_asked_for(desk):
    found = desk.select(SHARED)
    count = len(found.group.members) - 1
    assert len(desk.panel.members.links) == 8 < count
    more = desk.panel.members._grid.itemAt(desk.panel.members._grid.count() - 1).widget()
    assert more.accessibleName() == f"and {count - 8} more"
    more.click()
    assert len(desk.panel.members.links) == count


def test_the_wheel_scrolls_and_changes_no_setting_on_the_way(desk):
    desk.select(INNER)
    before = desk.session.state.plan
    for combo in desk.panel.knobs.findChildren(QComboBox):
        place = QPointF(combo.rect().center())
        event = QWheelEvent(
            place,
            QPointF(combo.mapToGlobal(place.toPoint())),
            QPoint(),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(combo, event)
    assert desk.session.state.plan == before


# --- sensitivity ------------------------------------------------------------------------------------------------------


def test_curves_have_a_chart_a_knob_and_the_interval_of_every_point(qtbot, desk):
    desk.select(INNER)
    qtbot.waitUntil(lambda: not desk.panel.tabs.stack.busy)
    assert [type(plot) for plot in desk.panel.tabs.plots] == [CurvesPlot, CurvesPlot]
    bits = desk.panel.tabs.plots[1]
    rows = list(csv.DictReader(io.StringIO(bits.to_csv())))
    assert [row["value"] for row in rows] == ["8", "4", "3", "2"]
    assert all(float(row["ci95_low"]) <= float(row["change"]) <= float(row["ci95_high"]) for row in rows)
    assert rows[0]["unit"] == "pt"
    assert float(rows[-1]["change"]) < float(rows[0]["change"])
    point = bits._chart.curves[0].points[-1]
    place = bits.box.mapViewToScene(QPointF(point.x, point.change))
    assert "W bits 2" in bits.text_at(place)
    assert "95 % interval" in bits.text_at(place)


def test_two_methods_share_a_chart_and_the_plans_value_is_marked():
    state = resnet20_state()
    other = state.sensitivities[1].model_copy(update={"method": "prune.random"})
    state = state.model_copy(update={"sensitivities": (*state.sensitivities, other)})
    prune, bits = resolve_curves(state, FIRST_PARTY_KNOBS, INNER, [("prune_ratio", 0.5), ("weight_bits", 6)])
    assert [curve.method for curve in prune.curves] == ["prune.l1", "prune.random"]
    assert prune.current == 50
    assert prune.x_label == "Prune (% of output channels)"
    assert bits.current is None
    assert [text for _, text in bits.ticks] == ["8", "4", "3", "2"]
    assert bits.y_label == "Change (pt)"


def test_without_measurements_one_button_measures_every_setting_of_the_layer(qtbot, tmp_path):
    desk = Desk(drawn_state(sensitivities=()), tmp_path, qtbot)
    desk.select(INNER)
    tabs = desk.panel.tabs
    assert tabs.measure.isVisible()
    assert "Prune, W bits, A bits" in tabs.measure.toolTip()
    tabs.measure.click()
    specs = [spec for spec in desk.runner.specs.values() if spec.kind == "sweep"]
    assert [(spec.method, spec.knob, spec.layers) for spec in specs] == [
        ("prune.l1", "prune_ratio", (INNER,)),
        ("quantize.ptq", "weight_bits", (INNER,)),
        ("quantize.ptq", "activation_bits", (INNER,)),
    ]
    assert tabs.busy.isVisible()
    assert not tabs.measure.isVisible()

    job = next(job for job, spec in desk.runner.specs.items() if spec.knob == "weight_bits")
    point = resnet20_state().sensitivities[0].points[0].model_copy(update={"layer": INNER})
    desk.runner.start(job)
    desk.runner.partial(job, "point", json.loads(point.model_dump_json()))
    qtbot.waitUntil(lambda: len(tabs.plots) == 1)
    assert tabs.busy.isVisible()
    for job in desk.runner.specs:
        desk.runner.confirm_cancel(job)
    qtbot.waitUntil(lambda: not tabs.busy.isVisible())
    desk.bridge.close()


@pytest.mark.parametrize(
    ("changes", "reason"), [({"data": None}, "Choose data first"), ({}, "The plugins are still being read")]
)
def test_what_keeps_it_from_measuring_is_said(qtbot, tmp_path, changes, reason):
    desk = Desk(drawn_state(sensitivities=(), **changes), tmp_path, qtbot)
    desk.session.methods = methods() if changes else ()
    desk.select(INNER)
    assert not desk.panel.tabs.measure.isEnabled()
    assert desk.panel.tabs.measure.toolTip() == reason
    assert reason in desk.panel.tabs.message.text()
    desk.bridge.close()


def test_only_settings_that_fit_the_layer_are_measured():
    linear = inspect_report().layers[-1]
    assert measurable(linear, FIRST_PARTY_KNOBS, methods()) == (
        ("quantize.ptq", "weight_bits"),
        ("quantize.ptq", "activation_bits"),
    )
    assert measurable(linear, FIRST_PARTY_KNOBS, ()) == ()


# --- weights ----------------------------------------------------------------------------------------------------------


def detail(layer: str, channels: int = 32) -> dict[str, object]:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(channels, 144)) * 0.1
    counts, edges = np.histogram(weights, 101)
    return {
        "layer": layer,
        "counts": counts.tolist(),
        "edges": edges.tolist(),
        "minimum": float(weights.min()),
        "maximum": float(weights.max()),
        "mean": float(weights.mean()),
        "std": float(weights.std()),
        "zeros_ratio": 0.25,
        "channel_l1": np.abs(weights).sum(axis=1).tolist() if channels else [],
    }


def test_weights_are_read_when_they_are_looked_at_and_only_once(qtbot, desk):
    tabs = desk.panel.tabs
    desk.select(INNER)
    assert [spec.kind for spec in desk.runner.specs.values()] == []
    tabs.tabs.setCurrentIndex(WEIGHTS)
    assert tabs.busy.isVisible()
    qtbot.waitUntil(lambda: len(desk.runner.specs) == 1)
    job = desk.runner.last("layer_detail")
    assert desk.runner.specs[job].layer == INNER
    assert desk.runner.record(job).lane == "interactive"
    desk.runner.finish(job, detail(INNER))
    qtbot.waitUntil(lambda: bool(tabs.plots))
    assert isinstance(tabs.plots[0], HistogramPlot)
    assert "25.0 % zeros" in plain(tabs.message.text())
    assert not tabs.busy.isVisible()
    middle = tabs.plots[0].box.mapViewToScene(QPointF(0.0, 1.0))
    assert "weights from" in tabs.plots[0].text_at(middle)

    tabs.tabs.setCurrentIndex(CHANNELS)
    qtbot.waitUntil(lambda: bool(tabs.plots))
    assert isinstance(tabs.plots[0], NormsPlot)
    rows = list(csv.DictReader(io.StringIO(tabs.plots[0].to_csv())))
    norms = [float(row["l1"]) for row in rows]
    assert norms == sorted(norms)
    assert sorted(int(row["channel"]) for row in rows) == list(range(32))
    first = tabs.plots[0].box.mapViewToScene(QPointF(0.5, 1.0))
    assert "rank 1 of 32" in tabs.plots[0].text_at(first)

    desk.select("conv1")
    desk.select(INNER)
    tabs.tabs.setCurrentIndex(WEIGHTS)
    qtbot.waitUntil(lambda: not tabs.stack.busy)
    assert isinstance(tabs.plots[0], HistogramPlot)
    assert len(desk.runner.specs) == 1


def test_passing_over_layers_reads_only_the_one_that_stays(qtbot, desk):
    desk.panel.tabs.tabs.setCurrentIndex(WEIGHTS)
    for layer in desk.session.state.inspect.layers[:10]:
        desk.select(layer.name)
    desk.select(INNER)
    qtbot.waitUntil(lambda: bool(desk.runner.specs))
    assert [spec.layer for spec in desk.runner.specs.values()] == [INNER]


def test_weights_that_can_not_be_read_say_why_instead_of_spinning(qtbot, desk):
    tabs = desk.panel.tabs
    desk.select(INNER)
    tabs.tabs.setCurrentIndex(WEIGHTS)
    qtbot.waitUntil(lambda: bool(desk.runner.specs))
    desk.runner.fail(desk.runner.last("layer_detail"), BadInputError("the model file is gone", action="Find it."))
    qtbot.waitUntil(lambda: not tabs.busy.isVisible())
    assert "the model file is gone" in tabs.message.text()


def test_a_weight_without_channels_says_so(qtbot, desk):
    tabs = desk.panel.tabs
    desk.select(INNER)
    tabs.tabs.setCurrentIndex(CHANNELS)
    qtbot.waitUntil(lambda: bool(desk.runner.specs))
    desk.runner.finish(desk.runner.last("layer_detail"), detail(INNER) | {"channel_l1": []})
    qtbot.waitUntil(lambda: not tabs.busy.isVisible())
    assert "no axis of output channels" in tabs.message.text()
    assert tabs.plots == []


def test_plots_leave_as_picture_and_table(desk, tmp_path):
    desk.select(INNER)
    QApplication.processEvents()
    plot = desk.panel.tabs.plots[0]
    for ending in ("png", "svg", "csv"):
        desk.panel.tabs.export(plot, tmp_path / f"plot.{ending}")
        assert desk.said[-1] == f"Exported plot.{ending}"
    assert QImage(str(tmp_path / "plot.png")).width() == 2 * plot.width()
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    assert (tmp_path / "plot.csv").read_text() == plot.to_csv()
    menu = desk.panel.tabs.plot_menu(plot)
    entries = {action.text(): action for action in menu.actions() if action.text()}
    entries["Copy as CSV"].trigger()
    assert QGuiApplication.clipboard().text() == plot.to_csv()
    entries["Copy picture"].trigger()
    assert not QGuiApplication.clipboard().image().isNull()


def test_the_look_follows_the_theme_and_tabs_survive_a_change_of_layer(qtbot, desk):
    desk.select(INNER)
    desk.panel.tabs.tabs.setCurrentIndex(SENSITIVITY)
    qtbot.waitUntil(lambda: not desk.panel.tabs.stack.busy)
    before = desk.panel.tabs.plots[0].grab().toImage()
    desk.session.theme.set_mode("dark")
    qtbot.waitUntil(lambda: not desk.session.theme.changing and not desk.panel.tabs.stack.busy)
    assert desk.panel.tabs.plots[0].grab().toImage() != before
    desk.session.theme.set_mode("light")
    qtbot.waitUntil(lambda: not desk.session.theme.changing)
    desk.panel.tabs.tabs.setCurrentIndex(CHANNELS)
    desk.select("conv1")
    assert desk.panel.tabs.tabs.currentIndex() == CHANNELS


# --- geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "before", "after", "summary", "window"),
    [
        ((32, 16, 3, 3), ("N", 16, 32, 32), ("N", 32, 16, 16), "16→32 3×3 /2", "3×3, stride 2"),
        ((32, 1, 3, 3), ("N", 32, 16, 16), ("N", 32, 16, 16), "32→32 3×3", "3×3, stride 1, depthwise"),
        ((64, 8, 1, 1), ("N", 32, 16, 16), ("N", 64, 16, 16), "32→64 1×1", "1×1, stride 1, 4 groups"),
        ((8, 4, 3, 5), (1, 4, 20, 40), (1, 8, 20, 20), "4→8 3×5 /1×2", "3×5, stride 1×2"),
        ((8, 4, 3, 3), (1, 4, 3, 3), (1, 8, 1, 1), "4→8 3×3", "3×3"),
        ((8, 4, 3, 3), (1, 4, "h", "w"), (1, 8, "h", "w"), "4→8 3×3", "3×3"),
        ((8, 4, 3, 3), None, None, "3×3", "3×3"),
    ],
)
def test_geometry_is_read_from_shapes_only_where_they_leave_one_answer(weight, before, after, summary, window):
    layer = (
        inspect_report()
        .layers[0]
        .model_copy(update={"weight_shape": weight, "input_shape": before, "output_shape": after})
    )
    found = geometry_facts(layer)
    assert (found.summary, found.window) == (summary, window)


def test_a_group_lists_a_layer_once_with_both_its_sides():
    state = resnet20_state()
    groups = tuple(
        group.model_copy(update={"layers": (*group.layers, GroupMember(layer=INNER, axis="in"))})
        if group.id == state.inspect.layers[7].group
        else group
        for group in state.inspect.groups
    )
    state = state.model_copy(update={"inspect": state.inspect.model_copy(update={"groups": groups})})
    found = resolve_inspection(state, resolve_layers(state, FIRST_PARTY_KNOBS), (INNER,))
    assert [(member.name, member.note) for member in found.group.members] == [
        (INNER, "outputs and inputs"),
        ("layer2.0.conv2", "inputs"),
    ]
