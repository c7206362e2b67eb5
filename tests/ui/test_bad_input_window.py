"""Every mistake of the command line's list in a real window with a real worker: told in the banner, nothing lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.bad_inputs import BAD_INPUTS
from tests.fakes.desk_files import write_desk
from workbench.data.description_file import read_data_description
from workbench.domain.errors import WorkbenchError
from workbench.graph.model import ModelGraph
from workbench.project.commands import SetSettings
from workbench.ui.main_window import MainWindow

WAIT_MS = 60_000


@pytest.fixture
def window(real_window: Callable[[], MainWindow], small_cnn: ModelGraph, tmp_path: Path, qtbot: Any) -> MainWindow:
    """A window with a good model, data and an edit."""
    good = tmp_path / "good"
    good.mkdir()
    write_desk(good, small_cnn)
    shown = real_window()
    shown.open_file(good / "model.onnx")
    qtbot.waitUntil(lambda: shown.session.state.inspect is not None, timeout=WAIT_MS)
    description = read_data_description(good / "data.yaml")
    shown.session.open_data(description, Path(description.folder))
    qtbot.waitUntil(lambda: shown.session.state.baseline_latency is not None, timeout=WAIT_MS)
    assert shown.session.state.baseline is not None
    shown.session.do(SetSettings((shown.session.state.inspect.layers[0].name,), "weight_bits", 8))
    return shown


def test_every_mistake_is_told_and_changes_nothing(
    window: MainWindow, small_cnn: ModelGraph, tmp_path: Path, qtbot: Any
) -> None:
    session = window.session
    before = session.state
    for number, (name, case) in enumerate(BAD_INPUTS.items()):
        if case.spec is None:
            continue
        folder = tmp_path / f"bad {number}"
        folder.mkdir()
        write_desk(folder, small_cnn)
        case.prepare(folder)
        window.banner.clear()
        try:
            spec = case.spec(folder)
        except WorkbenchError as error:
            session.failed.emit(error)
        else:
            job = session.jobs.submit(spec, name, "interactive")
            qtbot.waitUntil(lambda job=job: session.jobs.record(job).finished, timeout=WAIT_MS)
        qtbot.waitUntil(lambda: bool(window.banner.notices), timeout=WAIT_MS)
        notice = window.banner.notices[-1]
        said = f"{notice.title} {notice.text}"
        for word in case.words:
            assert word.lower() in said.lower(), (name, word, said)
        assert "Traceback" not in said
        assert window.banner.isVisible()
        assert session.state == before, name


def test_a_killed_worker_fails_its_job_only(window: MainWindow, qtbot: Any) -> None:
    session = window.session
    before = session.state
    workers = set(psutil.Process().children())
    job = session.profile_baseline()
    assert job is not None
    qtbot.waitUntil(lambda: session.jobs.record(job).state == "running", timeout=WAIT_MS)
    for process in set(psutil.Process().children()) | workers:
        if "worker" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    qtbot.waitUntil(lambda: session.jobs.record(job).state == "failed", timeout=WAIT_MS)
    qtbot.waitUntil(lambda: bool(window.banner.notices), timeout=WAIT_MS)
    assert session.state == before

    again = session.profile_baseline()
    assert again is not None
    qtbot.waitUntil(lambda: session.jobs.record(again).finished, timeout=WAIT_MS)
    assert session.jobs.record(again).state == "done"


def test_a_recipe_with_mistakes_leaves_plan_and_steps(window: MainWindow, tmp_path: Path) -> None:
    before = window.session.state
    for number, text in enumerate(("steps: [", "version: 1\nsteps: {method: 3}\n", "version: 2\nsteps: []\n")):
        path = tmp_path / f"recipe{number}.yaml"
        path.write_text(text, encoding="utf-8")
        window.banner.clear()
        window.open_file(path)
        notice = window.banner.notices[-1]
        assert path.name in notice.title + notice.text
        assert window.session.state == before
