"""The main job through the window with a real worker: open, see, set, run, choose, export, save, reopen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.ui.main_window import MainWindow

WAIT_MS = 60_000


@pytest.fixture
def model(small_cnn: ModelGraph, tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    save_model(small_cnn, path)
    return path


def test_main_job(
    real_window: Callable[[], MainWindow], qtbot: object, model: Path, labelled_data: Path, tmp_path: Path
) -> None:
    window = real_window()
    session, wait = window.session, qtbot.waitUntil  # type: ignore[attr-defined]
    faults: list[object] = []
    session.failed.connect(faults.append)
    session.list_methods()
    assert window.pages.currentWidget() is window.welcome

    window.open_file(model)
    wait(lambda: session.state.inspect is not None, timeout=WAIT_MS)
    assert window.pages.currentWidget() is window.workspace
    assert len(window.panels["graph"].canvas.picture.structure.boxes) >= 6
    assert window.panels["layers"].model.rowCount() == 3
    assert window.steps.buttons["Model"].state == "done"
    assert window.steps.buttons["Data"].state == "next"

    window.open_file(labelled_data)
    wait(lambda: session.state.baseline is not None and bool(session.methods), timeout=WAIT_MS)
    assert window.actions_.why_not("compress.run") == "Add a step, or give a layer a setting"

    layers, knob = window.panels["layers"], session.knob("weight_bits")
    first = layers.model.table.rows[0].name
    layers.apply_setting((first,), knob, 8)
    layers.apply_setting((first,), session.knob("activation_bits"), 8)
    plan = session.state.plan
    window.actions_.trigger("edit.undo")
    assert session.state.plan != plan
    assert window.actions_.title("edit.redo").startswith("Redo set activation bits")
    window.actions_.trigger("edit.redo")
    assert session.state.plan == plan

    window.actions_.trigger("compress.run")
    assert window.steps.buttons["Run"].state == "working"
    wait(lambda: bool(session.state.candidates), timeout=WAIT_MS)
    candidate = session.state.candidates[0]
    assert session.selection.candidate == candidate.id
    pareto = window.panels["pareto"]
    assert {row.id for row in pareto.table.rows} == {"", candidate.id}
    assert pareto.table.on_front("ratio")
    exported = tmp_path / "exported.onnx"
    session.export_candidate(candidate.id, exported)
    assert exported.stat().st_size == candidate.report.candidate.size_bytes

    project = tmp_path / "kept.mcw"
    window.projects.save_as(project)
    before = session.state
    window.close()
    assert not window.isVisible()
    assert faults == []

    again = real_window()
    again.open_file(project)
    assert again.session.state == before
    wait(lambda: not again.projects.busy, timeout=WAIT_MS)
    assert again.banner.notices == ()
    assert again.session.artifact_path(candidate.id).is_file()
    assert again.panels["layers"].model.rowCount() == 3
    assert len(again.panels["pareto"].table.rows) == 2

    # The model is changed behind the project's back, then put back in its place.
    original = model.read_bytes()
    again.projects.new()
    wait(lambda: again.pages.currentWidget() is again.welcome)
    model.write_bytes(exported.read_bytes())
    again.open_file(project)
    wait(lambda: any(notice.key == "model_changed" for notice in again.banner.notices), timeout=WAIT_MS)
    assert "Point to it again…" in [remedy.title for remedy in again.banner.notices[-1].remedies]
    assert again.session.state == before
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(original)
    again.projects.point_to_model(moved)
    wait(lambda: again.session.state.model.path == str(moved), timeout=WAIT_MS)
    assert again.session.state.baseline == before.baseline
    assert again.session.state.plan == before.plan


def test_bad_models_are_told_in_the_banner(
    real_window: Callable[[], MainWindow], qtbot: object, model: Path, tmp_path: Path
) -> None:
    window = real_window()
    wait = qtbot.waitUntil  # type: ignore[attr-defined]
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    text = tmp_path / "text.onnx"
    text.write_text("This is not a model.")
    for count, path in enumerate((truncated, text, tmp_path / "nowhere.onnx"), 1):
        window.open_file(path)
        wait(lambda count=count: len(window.banner.notices) == count, timeout=WAIT_MS)
        notice = window.banner.notices[-1]
        assert path.name in notice.title + notice.text
        assert "Traceback" not in notice.title + notice.text
        assert window.banner.isVisible()
    assert window.session.state.model is None
    assert window.pages.currentWidget() is window.welcome

    # A bad model does not take a good project away.
    window.open_file(model)
    wait(lambda: window.session.state.inspect is not None, timeout=WAIT_MS)
    window.open_file(text)
    wait(lambda: not window.projects.busy, timeout=WAIT_MS)
    assert window.session.state.model.path == str(model)

    # Running jobs are cancelled at once, and the job says so.
    window.session.profile_baseline()
    job = window.session.jobs.active[-1].id
    window.actions_.trigger("compress.cancel")
    wait(lambda: window.session.jobs.record(job).finished, timeout=WAIT_MS)
    assert window.session.jobs.record(job).state == "cancelled"
