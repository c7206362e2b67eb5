"""What the window says of pruning: branches, reasons, channel counts, importance, taking results over, the diff."""

from __future__ import annotations

import csv
import io

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontMetricsF
from PySide6.QtWidgets import QMenu, QSlider, QWidget

from tests.fakes.drawings import resnet_drawing
from tests.fakes.projects import methods
from tests.fakes.pruned import HISTOGRAM, INNER, PRUNED, pruned_state
from tests.fakes.runner import FakeRunner
from workbench.domain.knobs import FIRST_PARTY_KNOBS, KEEP
from workbench.domain.plan import Plan
from workbench.domain.reports import StepReport
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.graph_view import overlays
from workbench.ui.graph_view.painting import fitting_value
from workbench.ui.graph_view.picture import beside, coupled
from workbench.ui.models import numbers
from workbench.ui.models.candidate_changes import layer_changes
from workbench.ui.models.channel_counts import ChannelCounts, Stratum, channel_counts, multiple_of
from workbench.ui.models.comparison import compare_candidates
from workbench.ui.models.importance import layer_importance
from workbench.ui.models.inspector_view import as_text
from workbench.ui.models.layer_model import LayerModel
from workbench.ui.models.layer_table import resolve_layers
from workbench.ui.models.layer_ties import limits
from workbench.ui.models.result_plan import result_plans, take_over
from workbench.ui.panels.inspector import InspectorPanel
from workbench.ui.panels.inspector_importance import ImportancePlot
from workbench.ui.panels.inspector_tabs import IMPORTANCE, SENSITIVITY
from workbench.ui.panels.pareto_menu import MenuActions, candidate_menu
from workbench.ui.session import Session
from workbench.ui.theme import Theme


@pytest.fixture
def session(qapp, tmp_path):
    bridge = JobsBridge(FakeRunner)
    made = Session(Document(pruned_state()), bridge, Theme("light"), tmp_path)
    made.methods = methods()
    yield made
    bridge.close()


@pytest.fixture
def panel(qtbot, session):
    made = InspectorPanel(session)
    made.resize(340, 900)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: not made.tabs.stack.busy)
    return made


# --- branches and reasons ---------------------------------------------------------------------------------------------


def test_branch_partners_are_marked_apart_from_channel_partners(session):
    report = session.state.inspect
    assert beside(report, (INNER,)) == {"layer2.0.conv2"}
    assert coupled(report, (INNER,)) == frozenset()
    table = resolve_layers(session.state, session.knobs, session.methods)
    model = LayerModel(session.theme)
    model.set_table(table)
    row = next(place for place, entry in enumerate(table.rows) if entry.name == INNER)
    assert table.rows[row].beside == ("layer2.0.conv2",)
    model.mark_together(frozenset(), frozenset({INNER, "layer2.0.conv2"}))
    keep, group = (model.index(row, table.columns.index(title)) for title in (KEEP.title, "Group"))
    assert model.data(keep, Qt.ItemDataRole.BackgroundRole) == session.theme.color("selection")
    assert model.data(group, Qt.ItemDataRole.BackgroundRole) is None


def test_the_inspector_names_the_branch_and_selects_it(session, panel):
    session.selection.set_layers((INNER,))
    assert panel.branch.text() == "Branch: 2 layers, can be left out"
    assert [link.accessibleName() for link in panel.branch_members.links] == ["layer2.0.conv2"]
    panel.show_branch.click()
    assert session.selection.layers == ("layer2.0.conv2", INNER)
    session.selection.set_layers(("conv1",))
    assert not panel.branch.isVisible()


def test_what_can_not_be_done_says_why_and_links_to_the_node(session):
    report = session.state.inspect
    report = report.model_copy(update={"drawing": resnet_drawing(report)})
    linear = next(layer for layer in report.layers if layer.name == "node_linear")
    shared = linear.model_copy(update={"refusals": {"rank_ratio": "it shares its weight with 'conv1'"}})
    found = limits(report, shared, FIRST_PARTY_KNOBS)
    prune, rank, keep = found
    assert prune.text == 'Its output channels can\'t be pruned: its channels are the graph output "logits"'
    assert prune.channels
    assert rank.text == "Can't be factorised: it shares its weight with 'conv1'"
    assert [node.name for node in rank.nodes] == ["conv1"]
    assert keep.text.startswith("Can't be left out: it is in no residual branch")
    assert keep.text.endswith("it makes N×10 of N×64")


def test_reasons_stand_in_the_inspector_and_among_its_values(session, panel):
    session.selection.set_layers(("node_linear",))
    assert "Can't be left out" in panel.limits.text()
    assert "pruned" not in panel.limits.text()
    assert "logits" in panel.blocked.text()
    assert "Can't be left out\t" in as_text(panel.inspection)
    session.selection.set_layers((INNER,))
    assert "left out" not in panel.limits.text()


# --- counts -----------------------------------------------------------------------------------------------------------


def test_a_ratio_is_told_in_channels_and_snaps_to_the_recipes_multiple(session):
    multiple = multiple_of(session.state, session.methods)
    counts = channel_counts(session.state.inspect, INNER, multiple)
    assert (multiple, counts.channels) == (8, 32)
    assert counts.text(0.25) == "24 of 32 channels stay, in multiples of 8"
    assert counts.snapped(0.3) == 0.25
    assert counts.snapped(0.95) == 0.75
    free = channel_counts(session.state.inspect, INNER)
    assert (free.snapped(0.3), free.text(0.3)) == (0.3, "23 of 32 channels stay")
    assert channel_counts(session.state.inspect, "node_linear") is None


def test_each_stratum_loses_its_own_share():
    counts = ChannelCounts((Stratum(16, 1, 1), Stratum(16, 1, 1), Stratum(32, 1, 1)))
    assert counts.stay(0.3) == 12 + 12 + 23


def test_the_slider_stops_at_multiples_and_the_note_counts(session, panel):
    session.selection.set_layers((INNER,))
    editor = panel.knobs.editors["prune_ratio"]
    editor.findChild(QSlider).setValue(300)
    assert session.state.plan.layers[INNER]["prune_ratio"] == 0.25
    assert "24 of 32 channels stay" in panel.inspection.knobs[0].note
    assert "24 of 32 channels stay" in editor.toolTip()


# --- importance -------------------------------------------------------------------------------------------------------


def test_importance_is_read_from_the_steps_and_foreign_details_are_left_alone(session):
    state = session.state
    (found,) = layer_importance(state.candidate(PRUNED), state.inspect, INNER)
    assert (found.method, found.cut, found.ratio, found.units) == ("prune.l1", 1.25, 0.25, 32)
    assert layer_importance(state.candidate(PRUNED), state.inspect, "conv1") == ()
    assert layer_importance(None, state.inspect, INNER) == ()
    candidate = state.candidate(PRUNED)
    for groups in ([1], {"g7": 3}, {"g7": {"importance": {**HISTOGRAM, "kept": [1]}}}):
        step = StepReport(method="other", seconds=0, details={"groups": groups})
        odd = candidate.model_copy(update={"report": candidate.report.model_copy(update={"steps": (step,)})})
        assert layer_importance(odd, state.inspect, INNER) == ()


def test_the_histogram_shows_for_a_pruned_candidate_and_leaves_as_table(qtbot, session, panel):
    session.selection.set_layers((INNER,))
    assert not panel.tabs.tabs.isTabVisible(IMPORTANCE)
    session.selection.set_candidate(PRUNED)
    assert panel.tabs.tabs.isTabVisible(IMPORTANCE)
    panel.tabs.tabs.setCurrentIndex(IMPORTANCE)
    qtbot.waitUntil(lambda: bool(panel.tabs.plots))
    (plot,) = panel.tabs.plots
    assert isinstance(plot, ImportancePlot)
    rows = list(csv.reader(io.StringIO(plot.to_csv())))
    assert rows[0] == ["from", "to", "stayed", "went"]
    assert rows[2] == ["1.0", "2.0", "6", "2"]
    assert panel.tabs.message.text() == "L1-norm channel pruning in Half: 32 units ranked."
    place = plot.box.mapViewToScene(plot.box.viewRect().center())
    assert "channels from 1 to 2" in plot.text_at(place)
    session.selection.set_layers(("conv1",))
    assert panel.tabs.message.text() == "Half ranked no channels of this layer."
    session.selection.set_layers((INNER,))
    session.selection.set_candidate("c1")
    assert panel.tabs.tabs.currentIndex() == SENSITIVITY
    assert not any(isinstance(shown, ImportancePlot) for shown in panel.tabs.plots)


# --- results as plan --------------------------------------------------------------------------------------------------


def test_results_go_into_the_plan_and_one_undo_takes_them_back(session, panel):
    before = session.state
    session.selection.set_candidate(PRUNED)
    assert panel.take_over.text() == "Use these ratios as plan"
    panel.take_over.click()
    plan = session.state.plan
    assert plan.default["prune_ratio"] == 0.5
    assert plan.default["weight_bits"] == 8
    assert plan.layers[INNER] == {"prune_ratio": 0.25}
    assert plan.layers["layer3.0.conv1"] == {"weight_bits": 4}
    assert "layer3.1.conv1" not in plan.layers
    assert session.state.steps[0].parameters == {"target": "none", "scope": "layer", "channel_multiple": 8}
    assert take_over(session.state, session.state.candidate(PRUNED)) is None
    session.document.undo()
    assert (session.state.plan, session.state.steps) == (before.plan, before.steps)


def test_what_the_ratios_were_found_with_goes_into_the_step_that_did_not_say_it(session):
    candidate = session.state.candidate(PRUNED)
    details = {"plan": {"layers": {INNER: {"prune_ratio": 0.5}}}, "settled": {"target": "none"}}
    for presumed, expected in (({}, None), ({"channel_multiple": 16}, 16)):
        step = StepReport(method="prune.l1", seconds=0, details={**details, "presumed": presumed})
        found = candidate.model_copy(update={"report": candidate.report.model_copy(update={"steps": (step,)})})
        bare = session.state.steps[0].model_copy(update={"parameters": {"target": "latency"}})
        state = session.state.model_copy(update={"steps": (bare,)})
        edited = take_over(state, found).apply(state)
        assert edited.steps[0].parameters.get("target") == "none"
        assert edited.steps[0].parameters.get("channel_multiple") == expected


def test_results_of_other_shapes_and_layers_that_are_gone_are_left_out(session):
    candidate = session.state.candidate(PRUNED)

    def with_plan(plan):
        step = StepReport(method="prune.depth", seconds=0, details={"plan": plan})
        return candidate.model_copy(update={"report": candidate.report.model_copy(update={"steps": (step,)})})

    assert result_plans(with_plan("half")) == ()
    assert result_plans(with_plan({"default": {}, "layers": {}})) == ()
    gone = with_plan({"default": {}, "layers": {INNER: {"keep": "no"}, "fc~1": {"keep": "no"}}})
    edited = take_over(session.state, gone).apply(session.state)
    assert edited.plan.layers[INNER]["keep"] == "no"
    assert "fc~1" not in edited.plan.layers


def test_the_candidates_menu_offers_it_only_where_there_are_results(qtbot, session):
    owner = QWidget()
    qtbot.addWidget(owner)
    actions = MenuActions(lambda id: None, lambda ids: None, lambda id, field: None, lambda on: None, False)

    def offered(id: str) -> dict[str, object]:
        menu: QMenu = candidate_menu(session, (id,), actions, owner)
        return {action.text(): action for action in menu.actions()}

    assert "Use these ratios as plan" not in offered("c1")
    offered(PRUNED)["Use these ratios as plan"].trigger()
    assert session.state.plan.layers["layer3.2.conv1"] == {"prune_ratio": 0.75}
    assert session.state.plan != Plan()


# --- the diff ---------------------------------------------------------------------------------------------------------


def test_the_comparison_lists_what_became_of_the_graph(session):
    found = compare_candidates(session.state, ("c1", PRUNED))
    sections = {section.title: {row.title: row.cells for row in section.rows} for section in found.sections}
    layers = sections["Layers: weight shape, weight bits / activation bits"]
    assert layers["layer1.1.conv1"][2] == "left out with layer1.1.add"
    removed = sections["Removed output channels"]
    assert removed == {INNER: ("none", "none", "8 of 32: 0, 3–5, 9, 12–13, 31")}
    assert sections["New layers"]["node_linear~1"][1:] == (numbers.NOTHING, "Gemm   8×64   32 / 32   of node_linear")
    assert sections["Operators"] == {"Add": ("9", "9", "8")}
    plain = compare_candidates(session.state, ("c1",))
    assert [section.title for section in plain.sections][-1].startswith("Layers")


def test_the_comparison_says_what_one_step_more_or_less_would_change(session):
    (made,) = [entry for entry in session.state.candidates if entry.id == "c1"]
    details = {
        "trades": {INNER: {"bits": 4, "loss": 0.1, "cheaper": {"bits": 3, "loss": 0.2, "cost": -40.0}}},
        "trade_units": {"cost": "bytes", "loss": "share of the outputs' power"},
    }
    step = StepReport(method="quantize.mixed", seconds=1.0, details=details)
    made = made.model_copy(update={"report": made.report.model_copy(update={"steps": (step,)})})
    state = session.state.model_copy(update={"candidates": (made,)})
    sections = {section.title: section.rows for section in compare_candidates(state, ("c1",)).sections}
    (title,) = [title for title in sections if title.startswith("Chosen within the budget")]
    assert "share of the outputs' power" in title
    assert [row.cells for row in sections[title]] == [(numbers.NOTHING, "4 bits   (3 bits: loss +0.2, -40 B)")]


def test_the_graph_can_be_coloured_by_what_became_of_each_layer(session):
    state = session.state
    offered = {entry.id: entry.title for entry in overlays.choices(state, FIRST_PARTY_KNOBS)}
    assert "change:c6" in offered
    assert "change:c1" not in offered
    assert "change:c1" in {entry.id for entry in overlays.choices(state, FIRST_PARTY_KNOBS, "change:c1")}
    shown = overlays.overlay(f"change:{PRUNED}", state, None, FIRST_PARTY_KNOBS)
    texts = {name: fill.text for name, fill in shown.fills.items()}
    assert texts["layer1.1.conv1"] == "left out with layer1.1.add"
    assert texts["node_linear"] == "factorised into 2 layers"
    assert texts["conv1"] == "weight 16×3×3×3 → 8×3×3×3"
    shorts = {name: fill.short for name, fill in shown.fills.items()}
    assert shorts["conv1"].startswith("16→8")
    assert shorts[INNER] == "32→16 out"
    assert (shorts["layer1.1.conv1"], shorts["node_linear"]) == ("left out", "2 layers")
    assert [label for _, label in shown.legend.swatches] == ["Smaller", "Factorised", "Left out"]
    block = overlays.overlay(f"change:{PRUNED}", state, None, (), {"conv1": "b", "layer1.1.conv1": "b"})
    assert block.fills["b"].text == "left out with layer1.1.add"
    assert overlays.overlay("change:gone", state, None, ()).fills == {}


def test_a_box_shows_no_half_of_a_number(qapp):
    fill = overlays.Fill((0, 0, 0), "weight 16×16×3×3 → 8×16×3×3", short="16→8 out")
    metrics = QFontMetricsF(QFont())
    whole, short = metrics.horizontalAdvance(fill.text), metrics.horizontalAdvance(fill.short)
    assert fitting_value(fill, metrics, whole + 51, beside=50) == fill.text
    assert fitting_value(fill, metrics, whole + 49, beside=50) == fill.short
    assert fitting_value(fill, metrics, short + 1, beside=50) == fill.short
    cut = fitting_value(fill, metrics, short / 2)
    assert cut.startswith("1")
    assert cut.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert fitting_value(overlays.Fill((0, 0, 0), "1.2 M"), metrics, whole) == "1.2 M"


def test_the_inspector_says_what_the_candidate_did_to_a_layer(session):
    candidate = session.state.candidate(PRUNED)
    facts = {fact.title: fact for fact in layer_changes(candidate, INNER)}
    assert facts["Channels"].value == "24 of 32 stay"
    assert facts["Channels"].tip == "Removed channels: 0, 3–5, 9, 12–13, 31"
    (gone,) = layer_changes(candidate, "layer1.1.conv2")
    assert (gone.value, gone.tip) == ("left out", "With its branch, up to layer1.1.add")
    factors = {fact.title: fact.value for fact in layer_changes(candidate, "node_linear")}["Factors"]
    assert factors == "node_linear~1, node_linear"
