"""Edits, facts and history of the document, in memory and in its file."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.errors import ProjectError, StorageError
from workbench.domain.plan import Plan
from workbench.domain.recipe import Evaluation, Step
from workbench.project import commands as project_commands
from workbench.project.commands import (
    Command,
    EditCandidate,
    ReplacePlan,
    ReplaceRecipe,
    SetData,
    SetDefault,
    SetDimensions,
    SetModel,
    SetRun,
    SetSettings,
    SetSteps,
    Together,
    mark_candidates,
)
from workbench.project.document import Document
from workbench.project.places import untitled_folder, untitled_projects
from workbench.project.state import Change, LatencySetting, ProjectState

_layers = st.sampled_from(["conv1", "conv2", "fc", "a[0]*"])
_knobs = st.sampled_from(["weight_bits", "prune_ratio", "sparsity_pattern"])
_values = st.one_of(st.none(), st.integers(1, 32), st.floats(0, 1), st.sampled_from(["2:4", "block"]))
_names = st.sampled_from(["a", "b"])


def commands_by_kind(samples):
    """Return a strategy for every kind of edit there is."""
    candidate = st.sampled_from(["c0", "c1"])
    plans = st.builds(lambda bits: Plan(default={"weight_bits": bits}), st.integers(1, 8))
    steps = _names.map(lambda name: (Step(method=name, parameters={"x": [1, 2.5]}),))
    single = {
        SetSettings: st.builds(SetSettings, st.lists(_layers, max_size=3).map(tuple), _knobs, _values),
        SetDefault: st.builds(SetDefault, _knobs, _values),
        ReplacePlan: st.builds(ReplacePlan, plans),
        ReplaceRecipe: st.builds(ReplaceRecipe, plans, steps, st.just("Preset")),
        SetSteps: st.builds(SetSteps, steps),
        SetRun: st.builds(
            SetRun,
            seed=st.none() | st.integers(0, 9),
            evaluate=st.none() | st.builds(Evaluation, samples=st.integers(1, 9)),
            latency=st.none() | st.builds(LatencySetting, batch=st.integers(1, 9)),
        ),
        SetModel: _names.map(lambda name: SetModel(samples.model(name))),
        SetDimensions: st.builds(SetDimensions, st.dictionaries(_names, st.integers(1, 9), max_size=2)),
        SetData: _names.map(lambda name: SetData(samples.data(name), folder=f"/data/{name}")),
        EditCandidate: st.one_of(
            st.builds(EditCandidate, candidate, name=_names, star=st.none() | st.booleans()),
            st.builds(EditCandidate, candidate, note=_names, tags=st.lists(_names, max_size=2).map(tuple)),
            st.builds(EditCandidate, candidate, deleted=st.booleans()),
        ),
    }
    some = st.lists(st.one_of(*single.values()), max_size=3).map(tuple)
    return {**single, Together: st.builds(Together, some, st.just("At once"))}


def commands(samples):
    return st.one_of(*commands_by_kind(samples).values())


def test_every_kind_of_edit_is_drawn(samples):
    there = {
        kind
        for _, kind in inspect.getmembers(project_commands, inspect.isclass)
        if kind.__module__ == project_commands.__name__ and kind is not Command
    }
    assert set(commands_by_kind(samples)) == there


def context(state: ProjectState) -> float:
    """Return a number that names model and data, to mark facts with."""
    key = (state.model.sha256 if state.model else "", state.data_folder)
    return float(sum(ord(char) * 31**place for place, char in enumerate("|".join(key))) % 1_000_003)


def record_facts(document: Document, samples, number: int) -> None:
    mark = context(document.state)
    candidate = samples.candidate(f"c{number}")
    document.record(
        Change.CANDIDATES | Change.BASELINE,
        baseline=samples.metric(mark),
        inspect=samples.inspect(document.state.model.sha256[0]) if document.state.model else None,
        sensitivities=(*document.state.sensitivities, samples.sensitivities("conv1", knob=f"k{number}")),
        candidates=(*document.state.candidates, candidate),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_undoing_all_gives_the_beginning_and_redoing_all_the_end(samples, data):
    document = Document(ProjectState(candidates=(samples.candidate("c0"), samples.candidate("c1"))))
    initial = document.state
    for command in data.draw(st.lists(commands(samples), max_size=12)):
        document.do(command)
    final = document.state
    while document.undo_title:
        document.undo()
    assert document.state == initial
    while document.redo_title:
        document.redo()
    assert document.state == final


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_facts_survive_any_walk_through_history_and_stay_with_their_model_and_data(samples, data):
    document = Document()
    found = 0
    for step in data.draw(st.lists(commands(samples) | st.sampled_from(["undo", "redo", "fact"]), max_size=20)):
        if step == "fact":
            record_facts(document, samples, found)
            found += 1
        elif isinstance(step, str):
            getattr(document, step)()
        else:
            document.do(step)
        state = document.state
        assert [candidate.id for candidate in state.candidates] == [f"c{number}" for number in range(found)]
        assert state.baseline is None or state.baseline.value == context(state)
        assert state.inspect is None or state.inspect.model.sha256 == state.model.sha256
    final = document.state
    undone = 0
    while document.undo_title:
        document.undo()
        undone += 1
    edited = ("model", "data", "plan", "steps", "seed", "evaluate", "latency")
    assert [getattr(document.state, name) for name in edited] == [getattr(ProjectState(), name) for name in edited]
    for _ in range(undone):
        document.redo()
    assert document.state == final


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_file_says_what_the_document_says_after_every_step(samples, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.mcw"
        document = Document.create(path)
        for number, step in enumerate(
            data.draw(st.lists(commands(samples) | st.sampled_from(["undo", "redo", "fact", "reopen"]), max_size=12))
        ):
            if step == "fact":
                record_facts(document, samples, number)
            elif step == "reopen":
                state = document.state
                document.close()
                document = Document.open(path)
                assert document.state == state
            elif isinstance(step, str):
                getattr(document, step)()
            else:
                document.do(step)
        state = document.state
        document.close()
        with Document.open(path) as again:
            assert again.state == state


def test_facts_of_the_other_model_come_back_with_undo_and_redo(samples):
    document = Document()
    document.do(SetModel(samples.model("a")))
    document.record(Change.MODEL, inspect=samples.inspect("a"), baseline=samples.metric(0.9))
    document.do(SetSettings(("conv1",), "weight_bits", 4))
    document.do(SetModel(samples.model("b")))
    assert (document.state.inspect, document.state.baseline, document.state.plan) == (None, None, Plan())
    document.record(Change.MODEL, inspect=samples.inspect("b"), baseline=samples.metric(0.8))
    document.undo()
    assert document.state.inspect == samples.inspect("a")
    assert document.state.baseline == samples.metric(0.9)
    assert document.state.plan.layers == {"conv1": {"weight_bits": 4}}
    document.redo()
    assert document.state.inspect == samples.inspect("b")
    assert document.state.baseline == samples.metric(0.8)


def test_a_model_that_only_moved_keeps_everything(samples):
    document = Document()
    document.do(SetModel(samples.model("a")))
    document.record(Change.MODEL, inspect=samples.inspect("a"))
    document.do(SetModel(samples.model("a").model_copy(update={"path": "/elsewhere/a.onnx"})))
    document.record(Change.BASELINE, baseline=samples.metric())
    document.undo()
    assert document.state.model == samples.model("a")
    assert document.state.inspect == samples.inspect("a")
    assert document.state.baseline == samples.metric()


def test_the_first_model_keeps_the_plan_of_a_recipe_that_was_opened_before(samples):
    document = Document()
    plan = Plan(default={"weight_bits": 4})
    document.do(ReplaceRecipe(plan, (Step(method="quantize.ptq"),), title="Open recipe.yaml"))
    document.do(SetModel(samples.model("a")))
    assert document.state.plan == plan
    document.do(SetModel(samples.model("b")))
    assert document.state.plan == Plan()


@pytest.mark.parametrize(
    ("marks", "title"),
    [
        ({"deleted": True}, "Delete 2 candidates"),
        ({"deleted": False}, "Undelete 2 candidates"),
        ({"star": True}, "Star 2 candidates"),
        ({"star": False}, "Unstar 2 candidates"),
    ],
)
def test_marking_several_candidates_is_one_step_that_says_what_it_does(samples, marks, title):
    field, value = next(iter(marks.items()))
    before = tuple(
        samples.candidate(name).model_copy(update={field: not value and name != "c2"}) for name in ("c0", "c1", "c2")
    )
    document = Document(ProjectState(candidates=before))
    document.do(mark_candidates(before[:2], **marks))
    assert [getattr(entry, field) for entry in document.state.candidates] == [value, value, False]
    assert document.undo_title == title
    document.undo()
    assert document.state.candidates == before
    assert document.undo_title is None
    document.redo()
    assert [getattr(entry, field) for entry in document.state.candidates] == [value, value, False]


def test_marking_one_candidate_names_it(samples):
    assert mark_candidates((samples.candidate("W8A8"),), deleted=True).title == "Delete W8A8"


def test_what_was_deleted_is_there_after_reopening_with_its_file(tmp_path, samples):
    exported = tmp_path / "out.onnx"
    exported.write_bytes(b"weights")
    document = Document.create(tmp_path / "p.mcw")
    sha = document.artifacts.add(exported)
    document.record(Change.CANDIDATES, candidates=(samples.candidate("c0", sha),))
    document.do(mark_candidates(document.state.candidates, deleted=True))
    document.collect_artifacts()
    document.close()
    with Document.open(tmp_path / "p.mcw") as again:
        assert again.state.candidates[0].deleted
        again.do(mark_candidates(again.state.candidates, deleted=False))
        assert not again.state.candidates[0].deleted
        assert again.artifacts.path(sha).read_bytes() == b"weights"


def test_undoing_a_rename_keeps_what_was_measured_since(samples):
    document = Document()
    document.record(Change.CANDIDATES, candidates=(samples.candidate("c0"),))
    document.do(EditCandidate("c0", name="good one"))
    remeasured = document.state.candidates[0].model_copy(update={"artifact": "1" * 64})
    document.record(Change.CANDIDATES, candidates=(remeasured, samples.candidate("c1")))
    document.undo()
    first, second = document.state.candidates
    assert (first.name, first.artifact, second.id) == ("c0", "1" * 64, "c1")


def test_listeners_hear_what_changed_until_they_leave(samples):
    document = Document()
    heard: list[Change] = []
    leave = document.subscribe(heard.append)
    document.do(SetModel(samples.model()))
    document.do(SetModel(samples.model()))  # changes nothing
    document.record(Change.BASELINE, baseline=samples.metric())
    document.undo()
    leave()
    document.redo()
    assert heard == [SetModel.change | Change.HISTORY, Change.BASELINE, SetModel.change | Change.HISTORY]


def test_titles_name_the_edit_that_undo_and_redo_would_touch():
    document = Document()
    assert (document.undo_title, document.redo_title) == (None, None)
    document.do(SetSettings(("conv1",), "weight_bits", 4))
    assert document.undo_title == "Set weight bits of conv1"
    document.undo()
    assert (document.undo_title, document.redo_title) == (None, "Set weight bits of conv1")
    document.undo()
    document.do(SetRun(seed=1))
    assert document.redo_title is None


def test_only_facts_can_be_recorded():
    with pytest.raises(ValueError, match="plan"):
        Document().record(Change.PLAN, plan=Plan())


def test_a_new_project_is_stored_before_it_has_a_name(user_folders):
    document = Document.untitled()
    document.do(SetRun(seed=7))
    assert document.is_untitled
    assert document.title == "Untitled"
    path = document.path
    document.close()
    assert untitled_projects() == (path,)
    with Document.open(path) as again:
        assert again.state.seed == 7
        assert again.is_untitled


def test_an_untitled_project_in_which_nothing_was_done_leaves_nothing(user_folders):
    Document.untitled().close()
    assert list(untitled_folder().iterdir()) == []


def test_naming_an_untitled_project_moves_it_with_files_and_history(user_folders, samples):
    exported = user_folders / "out.onnx"
    exported.write_bytes(b"weights")
    document = Document.untitled()
    sha = document.artifacts.add(exported)
    document.record(Change.CANDIDATES, candidates=(samples.candidate("c0", sha),))
    document.do(SetRun(seed=7))
    heard: list[Change] = []
    document.subscribe(heard.append)
    document.save_as(user_folders / "named.mcw")
    assert heard == [Change.PATH]
    assert (document.title, document.is_untitled) == ("named", False)
    assert list(untitled_folder().iterdir()) == []
    assert document.artifacts.path(sha).read_bytes() == b"weights"
    document.undo()
    document.close()
    with Document.open(user_folders / "named.mcw") as again:
        assert again.state.seed == 0
        assert again.artifacts.path(sha).read_bytes() == b"weights"


def test_save_as_leaves_the_old_project_as_it_was(tmp_path, samples):
    exported = tmp_path / "out.onnx"
    exported.write_bytes(b"weights")
    document = Document.create(tmp_path / "old.mcw")
    sha = document.artifacts.add(exported)
    document.do(SetRun(seed=1))
    document.save_as(tmp_path / "new.mcw")
    document.do(SetRun(seed=2))
    with Document.open(tmp_path / "old.mcw") as old:
        assert old.state.seed == 1
        assert old.artifacts.path(sha).read_bytes() == b"weights"
    document.close()


def test_save_as_replaces_another_project_with_its_unfolded_log(tmp_path):
    with Document.create(tmp_path / "other.mcw") as other:
        other.do(SetRun(seed=5))
    (tmp_path / "other.mcw-wal").write_bytes(b"left by a crash")
    with Document.create(tmp_path / "mine.mcw") as document:
        document.do(SetRun(seed=6))
        document.save_as(tmp_path / "other.mcw")
    with Document.open(tmp_path / "other.mcw") as again:
        assert again.state.seed == 6


def test_create_does_not_replace_a_file(tmp_path):
    path = tmp_path / "p.mcw"
    path.write_text("notes of mine")
    with pytest.raises(ProjectError, match="already"):
        Document.create(path)
    assert path.read_text() == "notes of mine"


def test_only_unreferenced_files_are_collected_and_only_on_request(tmp_path, samples):
    with Document.create(tmp_path / "p.mcw") as document:
        shas = []
        for number in range(3):
            file = tmp_path / f"{number}.onnx"
            file.write_bytes(bytes([number]))
            shas.append(document.artifacts.add(file))
        kept = (samples.candidate("c0", shas[0]), samples.candidate("c1", shas[1]))
        document.record(Change.CANDIDATES, candidates=kept)
        document.do(EditCandidate("c1", deleted=True))
        assert [path.stem for path in document.collect_artifacts()] == [shas[2]]
        assert shas[0] in document.artifacts
        assert shas[1] in document.artifacts  # recoverable as long as it is in the project


def test_save_as_into_a_place_that_cannot_be_written_changes_nothing(tmp_path):
    with Document.create(tmp_path / "p.mcw") as document:
        document.do(SetRun(seed=3))
        with pytest.raises(StorageError, match="can't be saved there"):
            document.save_as(tmp_path / "missing" / "p.mcw")
        assert document.path == tmp_path / "p.mcw"
        document.do(SetRun(seed=4))
    with Document.open(tmp_path / "p.mcw") as again:
        assert again.state.seed == 4


def test_a_closed_project_takes_no_more_edits(tmp_path):
    document = Document.create(tmp_path / "p.mcw")
    document.close()
    with pytest.raises(ProjectError, match="closed"):
        document.do(SetRun(seed=1))
