"""Snapshots behind the panels: resolved from a document without Qt."""

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.projects import inspect_report, methods, resnet20_state
from workbench.domain.knobs import FIRST_PARTY_KNOBS, PRUNE_RATIO, WEIGHT_BITS
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.project.document import Document
from workbench.project.state import ProjectState
from workbench.ui.models.candidate_table import CandidateTable, resolve_candidates, to_csv, to_json
from workbench.ui.models.layer_table import (
    coupled_layers,
    layer_labels,
    resolve_layers,
    setting_command,
)
from workbench.ui.models.layer_table import to_csv as layers_to_csv
from workbench.ui.models.parameter_form import fields
from workbench.ui.models.pareto_front import front, step_line
from workbench.ui.models.recipe_steps import PRESETS, by_stage, moved, resolve_recipe, run_blocked


def test_the_layer_table_shows_every_layer_with_its_settings():
    table = resolve_layers(resnet20_state(), FIRST_PARTY_KNOBS, methods())
    rows = {row.label: row for row in table.rows}
    assert len(rows) == 20
    assert table.columns[5:8] == ("Prune", "W bits", "A bits")
    assert [cell.value for cell in rows["layer3.0.conv1"].knobs] == [0.5, 4, 8]
    assert [cell.own for cell in rows["layer3.0.conv1"].knobs] == [True, True, False]
    assert rows["conv1"].drops[0].value == 8
    assert table.top_drop == max(drop.drop for row in table.rows for drop in row.drops)
    assert not table.problems
    assert not table.unread


def test_a_layer_that_cannot_be_pruned_says_why():
    table = resolve_layers(resnet20_state(), FIRST_PARTY_KNOBS)
    cell = table.rows[-1].knobs[0]
    assert cell.value is None
    assert 'graph output "logits"' in (cell.reason or "")


def test_a_plan_that_does_not_fit_is_shown_and_its_problems_are_listed():
    plan = Plan(default={"weight_bits": 9, "codebook_bits": 4}, layers={"*gone*": {"weight_bits": 4}})
    state = resnet20_state().model_copy(update={"plan": plan})
    table = resolve_layers(state, FIRST_PARTY_KNOBS)
    assert len(table.problems) == 3
    assert table.rows[0].knobs[1].value == 32


def test_knobs_that_no_enabled_step_reads_are_marked():
    state = resnet20_state().model_copy(update={"steps": (Step(method="prune.l1"),)})
    assert resolve_layers(state, FIRST_PARTY_KNOBS, methods()).unread == {"weight_bits", "activation_bits"}


def test_coupled_layers_move_together_and_only_for_channels():
    report = inspect_report()
    assert coupled_layers(report, "conv1", WEIGHT_BITS) == ("conv1",)
    assert len(coupled_layers(report, "layer1.0.conv2", PRUNE_RATIO)) == 10
    command = setting_command(report, ["layer1.0.conv2", "node_linear"], PRUNE_RATIO, 0.5)
    assert command is not None
    assert len(command.layers) == 10
    assert command.layers[0] == "layer1.0.conv2"
    assert setting_command(report, ["node_linear"], PRUNE_RATIO, 0.5) is None
    assert setting_command(report, ["node_linear"], WEIGHT_BITS, 4) is not None


@given(st.lists(st.sampled_from([layer.name for layer in inspect_report().layers]), min_size=1, max_size=5))
def test_one_edit_of_any_layers_leaves_no_group_torn_and_is_undone_at_once(names: list[str]):
    document = Document(resnet20_state())
    before = document.state
    command = setting_command(inspect_report(), names, PRUNE_RATIO, 0.25)
    if command is None:
        return
    document.do(command)
    table = resolve_layers(document.state, FIRST_PARTY_KNOBS)
    by_group: dict[str, set[object]] = {}
    for row in table.rows:
        if row.group:
            by_group.setdefault(row.group, set()).add(row.knobs[0].value)
    assert all(len(values) == 1 for values in by_group.values())
    document.undo()
    assert document.state == before


def test_labels_are_unique():
    report = inspect_report()
    twice = report.model_copy(
        update={"layers": (*report.layers, report.layers[0].model_copy(update={"name": "other"}))}
    )
    labels = layer_labels(twice)
    assert len(set(labels.values())) == len(twice.layers)
    assert labels["other"] == "conv1 (other)"


def test_layers_export_with_exact_numbers():
    table = resolve_layers(resnet20_state(), FIRST_PARTY_KNOBS)
    rows = list(csv.DictReader(io.StringIO(layers_to_csv(table, ["layer1.0.conv1", "conv1"]))))
    assert [row["layer"] for row in rows] == ["layer1.0.conv1", "conv1"]
    assert rows[1]["macs"] == "442368"
    assert rows[1]["weight_bits"] == "16"
    assert float(rows[1]["drop at 2"]) == pytest.approx(0.13458, abs=1e-4)


def test_without_a_model_there_is_an_empty_table():
    assert resolve_layers(ProjectState(), FIRST_PARTY_KNOBS).rows == ()
    assert resolve_candidates(ProjectState()).rows == ()


POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=25)


@given(POINTS)
def test_the_front_is_exactly_what_nothing_beats(points: list[tuple[float, float]]):
    def beaten(mine: tuple[float, float]) -> bool:
        return any(o[0] <= mine[0] and o[1] >= mine[1] and o != mine for o in points)

    assert set(front(points)) == {i for i, point in enumerate(points) if not beaten(point)}
    xs, ys = step_line(points)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)


def test_points_that_are_not_numbers_stay_off_the_front():
    assert front([(float("nan"), 1.0), (1.0, float("nan")), (1.0, 0.5)]) == (2,)


def test_candidates_and_the_original_are_compared_on_every_axis():
    table = resolve_candidates(resnet20_state())
    assert [row.name for row in table.rows][:2] == ["Original", "W8A8"]
    names = {row.id: row.name for row in table.rows}
    assert {names[id] for id in table.on_front("ratio")} == {
        "Original",
        "W8A8",
        "Third off, W8A8",
        "Three quarters off",
    }
    assert "W4A8" not in {names[id] for id in table.on_front("macs")}
    assert table.rows[4].noise == "load rose to 1.9"
    assert table.baseline is not None
    assert table.baseline.value("size") == pytest.approx(1.153715)
    assert table.point(table.rows[1], "ratio") == pytest.approx((0.446, 91.72))


def test_what_is_beaten_within_noise_only_stays_on_the_front():
    table = resolve_candidates(resnet20_state())
    best = next(row for row in table.rows if row.name == "W8A8")
    assert best.ratio is not None
    low, high = best.ratio.ci95

    def beside(shift: float) -> CandidateTable:
        ratio = best.ratio.model_copy(update={"median": best.ratio.median + shift, "ci95": (low + shift, high + shift)})
        return replace(table, rows=(*table.rows, replace(best, id="twin", ratio=ratio)))

    width = high - low
    assert {best.id, "twin"} <= beside(0.4 * width).on_front("ratio")
    assert "twin" not in beside(1.5 * width).on_front("ratio")


def test_candidates_of_another_model_or_setting_are_stale_and_off_the_front():
    state = resnet20_state()
    assert state.model is not None
    other = state.model_copy(update={"model": state.model.model_copy(update={"sha256": "b" * 64})})
    table = resolve_candidates(other)
    assert all(row.stale for row in table.rows[1:])
    assert table.on_front("ratio") == {""}
    threads = state.model_copy(update={"latency": state.latency.model_copy(update={"threads": 2})})
    assert "threads" in resolve_candidates(threads).rows[1].stale


def test_candidates_export_as_csv_and_json():
    table = resolve_candidates(resnet20_state())
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(rows) == 7
    assert rows[1]["on_front"] == "True"
    exported = json.loads(to_json(table))
    assert exported["metric"] == "top1"
    assert exported["candidates"][1]["latency_ratio"] == 0.446


def test_deleted_candidates_are_hidden():
    state = resnet20_state()
    first = state.candidates[0].model_copy(update={"deleted": True})
    table = resolve_candidates(state.model_copy(update={"candidates": (first, *state.candidates[1:])}))
    assert table.row("c1") is None


def test_a_form_is_read_from_a_json_schema():
    form = {field.key: field for field in fields(methods()[2].json_schema)}
    assert (form["epochs"].kind, form["epochs"].low, form["epochs"].high) == ("int", 1, 1000)
    assert form["learning_rate"].title == "Learning rate"
    assert form["learning_rate"].open_low
    assert form["learning_rate"].range_text() == "more than 0, at most 10"
    assert form["nesterov"].kind == "bool"
    assert form["batch_norm"].choices == ("train", "frozen")
    assert form["warmup_epochs"].optional
    assert form["warmup_epochs"].kind == "float"


def test_references_and_nested_values_get_a_field_too():
    schema = {
        "$defs": {"Mode": {"enum": ["a", "b"], "type": "string", "description": "Which way."}},
        "required": ["mode"],
        "properties": {
            "mode": {"$ref": "#/$defs/Mode"},
            "rounds": {"type": "array", "items": {"type": "integer"}, "default": [1, 2]},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 3},
        },
    }
    mode, rounds, either = fields(schema)
    assert (mode.kind, mode.choices, mode.required, mode.doc) == ("enum", ("a", "b"), True, "Which way.")
    assert (rounds.kind, rounds.default) == ("json", [1, 2])
    assert either.kind == "json"


def test_a_recipe_says_what_is_wrong_with_each_step():
    state = resnet20_state().model_copy(
        update={"data": None, "plan": Plan(), "steps": (Step(method="prune.l1"), Step(method="other.thing"))}
    )
    view = resolve_recipe(state, methods())
    assert "change nothing" in view.steps[0].warnings[0]
    assert view.steps[1].schema is None
    assert "other.thing" in (view.blocked or "")


def test_a_run_says_what_it_lacks():
    state = resnet20_state()
    assert run_blocked(state, methods()) is None
    assert run_blocked(ProjectState(), methods()) == "Open a model first"
    assert "data" in (run_blocked(state.model_copy(update={"data": None}), methods()) or "")
    off = tuple(step.model_copy(update={"enabled": False}) for step in state.steps)
    assert "switched off" in (run_blocked(state.model_copy(update={"steps": off}), methods()) or "")
    assert "being read" in (run_blocked(state, (), loading=True) or "")


def test_an_empty_recipe_runs_when_the_plan_says_what_to_do():
    state = resnet20_state().model_copy(update={"steps": ()})
    assert run_blocked(state, methods()) is None
    assert run_blocked(state.model_copy(update={"plan": Plan()}), methods()) is not None


def test_steps_are_moved_and_methods_grouped():
    steps = tuple(Step(method=name) for name in "abc")
    assert [step.method for step in moved(steps, 0, 2)] == ["b", "c", "a"]
    assert [step.method for step in moved(steps, 2, 0)] == ["c", "a", "b"]
    assert [stage for stage, _ in by_stage(methods())] == ["prune", "train", "quantize"]


def test_presets_name_what_is_missing():
    assert all(not preset.missing(methods()) for preset in PRESETS)
    assert PRESETS[0].missing(()) == ("quantize.ptq",)
