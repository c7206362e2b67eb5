"""Models, data and candidates that are missing or have changed are named, with what to do."""

from __future__ import annotations

import pytest

from workbench.domain.errors import ModelFileError
from workbench.project.artifacts import Artifacts, file_sha256
from workbench.project.references import changed_model, find_problems
from workbench.project.state import ModelReference, ProjectState


@pytest.fixture
def state(tmp_path, samples):
    (tmp_path / "m.onnx").write_bytes(b"graph")
    (tmp_path / "a.npz").write_bytes(b"data")
    (tmp_path / "out.onnx").write_bytes(b"out")
    sha = Artifacts.of(tmp_path / "p.mcw").add(tmp_path / "out.onnx")
    model = ModelReference(path=str(tmp_path / "m.onnx"), sha256=file_sha256(tmp_path / "m.onnx"))
    return ProjectState(
        model=model, data=samples.data("a"), data_folder=str(tmp_path), candidates=(samples.candidate("c0", sha),)
    )


def kinds(tmp_path, state):
    found = find_problems(state, Artifacts.of(tmp_path / "p.mcw"), sha256=file_sha256)
    assert all(problem.message and problem.action for problem in found)
    return [problem.kind for problem in found]


def test_all_is_well_where_nothing_changed(tmp_path, state):
    assert kinds(tmp_path, state) == []
    assert find_problems(ProjectState()) == ()


def test_a_changed_model_is_told_from_a_missing_one(tmp_path, state):
    (tmp_path / "m.onnx").write_bytes(b"other graph")
    assert kinds(tmp_path, state) == ["model_changed"]
    assert find_problems(state) == ()  # without a hash only existence counts
    assert changed_model(state, file_sha256(tmp_path / "m.onnx")).path == tmp_path / "m.onnx"
    assert changed_model(state, state.model.sha256) is None
    (tmp_path / "m.onnx").unlink()
    assert kinds(tmp_path, state) == ["model_missing"]


def test_a_model_that_can_no_longer_be_read_has_changed(tmp_path, state):
    def refuse(path):
        raise ModelFileError("ends too early", where=str(path))

    (problem,) = find_problems(state, sha256=refuse)
    assert problem.kind == "model_changed"
    assert "ends too early" in problem.message


def test_missing_data_is_named_by_split(tmp_path, state):
    (tmp_path / "a.npz").unlink()
    messages = [problem.message for problem in find_problems(state)]
    assert messages == ["The training data a.npz is not where it was", "The test data a.npz is not where it was"]


def test_a_candidate_without_its_file_is_named_unless_deleted(tmp_path, state):
    Artifacts.of(tmp_path / "p.mcw").remove()
    assert kinds(tmp_path, state) == ["candidate_missing"]
    gone = state.candidates[0].model_copy(update={"deleted": True})
    assert kinds(tmp_path, state.model_copy(update={"candidates": (gone,)})) == []
