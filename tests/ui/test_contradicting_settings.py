"""Settings that a run would refuse, or take from a coupled layer, are shown as such before anything is run."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton

from tests.fakes.projects import inspect_report, methods, resnet20_state
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import FIRST_PARTY_KNOBS, PRUNE_RATIO
from workbench.domain.plan import Plan
from workbench.project.commands import ReplacePlan
from workbench.ui.banner import notice_of
from workbench.ui.models.layer_table import LayerRow, LayerTable, resolve_layers, setting_command
from workbench.ui.models.named_layers import named_layers
from workbench.ui.panels.elided import ElidedLabel

STREAM = ("conv1", "layer1.0.conv2", "layer2.0.conv2")


def table_of(plan: Plan) -> LayerTable:
    return resolve_layers(resnet20_state().model_copy(update={"plan": plan}), FIRST_PARTY_KNOBS, methods())


def ratio(table: LayerTable, name: str) -> Any:
    row: LayerRow = next(row for row in table.rows if row.name == name)
    return row.knobs[table.knobs.index(PRUNE_RATIO)]


def test_one_pinned_layer_pins_its_group_in_the_table_as_in_a_run():
    table = table_of(Plan(default={"prune_ratio": 0.5}, layers={"layer1.0.conv2": {"prune_ratio": 0.0}}))
    assert not table.problems
    for name in STREAM:
        assert ratio(table, name).value == 0.0
        assert ratio(table, name).own
    assert ratio(table, "conv1").follows
    assert ratio(table, "conv1").note.startswith("Takes what is set for layer1.0.conv2. Moves together with")
    assert ratio(table, "conv1").note.endswith("and 6 more")
    assert not ratio(table, "layer1.0.conv2").follows
    assert ratio(table, "layer1.0.conv1").value == 0.5


def test_a_line_that_names_a_layer_beats_a_glob_over_its_group():
    table = table_of(Plan(layers={"*conv2": {"prune_ratio": 0.25}, "conv1": {"prune_ratio": 0.75}}))
    assert not table.problems
    assert {ratio(table, name).value for name in STREAM} == {0.75}


def test_contradicting_lines_inside_one_group_name_both_layers_and_the_way_out():
    table = table_of(Plan(layers={"layer1.0.conv2": {"prune_ratio": 0.0}, "layer2.0.conv2": {"prune_ratio": 0.3}}))
    (problem,) = table.problems
    assert "layer1.0.conv2 (0 %) and layer2.0.conv2 (30 %)" in problem.replace("\N{NO-BREAK SPACE}", " ")
    assert "share their channels" in problem
    assert "reset all but one" in problem
    # What each says stays to be seen and changed.
    assert (ratio(table, "layer1.0.conv2").value, ratio(table, "layer2.0.conv2").value) == (0.0, 0.3)


def test_a_line_for_a_layer_that_can_not_lose_channels_says_why():
    (problem,) = table_of(Plan(layers={"node_linear": {"prune_ratio": 0.5}})).problems
    assert problem.startswith("linear: Prune 50")
    assert "graph output" in problem
    assert "Reset" in problem
    assert not table_of(Plan(layers={"*": {"prune_ratio": 0.5}})).problems


def test_a_setting_that_a_file_gave_to_a_layer_that_can_not_have_it_can_be_taken_away():
    plan = Plan(layers={"node_linear": {"prune_ratio": 0.5}})
    command = setting_command(inspect_report(), ["node_linear"], PRUNE_RATIO, None)
    assert command is not None
    assert command.apply(resnet20_state().model_copy(update={"plan": plan})).plan.layers == {}


def test_every_channel_can_not_be_asked_for():
    (problem,) = table_of(Plan(layers={"layer1.0.conv1": {"prune_ratio": 1.0}})).problems
    assert "layer1.0.conv1" in problem
    assert "0 to 0.95" in problem
    assert "reset" in problem


def test_layers_are_found_in_what_happened_before_where_it_happened():
    report = inspect_report()
    said = RecipeError("layers 'conv1' and 'layer1.0.conv2' differ", where="channel group 'node_linear'")
    assert named_layers(said, report) == ("conv1", "layer1.0.conv2")
    assert named_layers(RecipeError("can't be pruned", where="layer 'conv1'"), report) == ("conv1",)
    assert named_layers(RecipeError("no layer 'x'"), report) == ()
    assert named_layers(RecipeError("no 'conv1'"), None) == ()


def test_a_notice_leaves_names_as_they_are():
    assert notice_of(RecipeError("prune.taylor needs labels")).title == "prune.taylor needs labels"
    assert notice_of(RecipeError("'conv1' is gone")).title == "'conv1' is gone"
    assert notice_of(RecipeError("the file is cut short.")).title == "The file is cut short"


def test_the_layer_panel_lists_three_problems_and_counts_the_rest(desk):
    window = desk().window
    lines = {f"gone{number}": {"prune_ratio": 0.5} for number in range(5)}
    window.session.do(ReplacePlan(Plan(layers=lines), title="Plan"))
    shown = window.panels["layers"].problems
    assert shown.isVisibleTo(window)
    assert shown.text().splitlines()[-1] == "and 2 more"
    assert "gone4" in shown.toolTip()


@pytest.mark.parametrize("cut", [Qt.TextElideMode.ElideRight, Qt.TextElideMode.ElideMiddle])
def test_a_sentence_is_cut_at_its_end(qtbot, cut):
    label = ElidedLabel("10 layers, 1 selected, 544 params, 100 k MACs", cut=cut)
    qtbot.addWidget(label)
    label.resize(120, 20)
    label.show()
    assert label.text().startswith("10 lay")
    assert label.text().endswith("\N{HORIZONTAL ELLIPSIS}") is (cut is Qt.TextElideMode.ElideRight)
    assert label.toolTip() == label.full


def refuse(entry: Any, error: RecipeError) -> dict[str, QPushButton]:
    """Run, let the worker answer with an error, and return the buttons of the notice by title."""
    entry.window.actions_.trigger("compress.run")
    entry.runner.fail(entry.runner.last("compress"), error)
    QApplication.processEvents()
    return {button.text(): button for button in entry.window.banner.findChildren(QPushButton)}


def test_a_refused_run_leads_to_the_layers_it_names(desk):
    entry = desk()
    said = "layers 'conv1' and 'layer1.0.conv2' share their channels"
    buttons = refuse(entry, RecipeError(said, where="channel group 'conv1'", action="Give them the same value."))
    assert entry.window.banner.title.text() == f"L{said[1:]}"
    assert "Give them the same value." in entry.window.banner.text.text()
    buttons["Select 2 layers"].click()
    assert entry.session.selection.layers == ("conv1", "layer1.0.conv2")


def test_a_refusal_for_want_of_labels_leads_to_the_data(desk):
    entry = desk()
    said = "prune.taylor needs labels, and the training samples have none"
    buttons = refuse(entry, RecipeError(said, where="step 1", action="Name train.targets in the DATA.yaml."))
    assert entry.window.banner.title.text() == said
    assert "Choose data…" in buttons
    assert "Show job" in buttons
