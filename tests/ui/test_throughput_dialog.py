"""Throughput in the window: what is chosen is measured in turn, listed, kept with the project, copied and saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from workbench.domain.errors import DeviceError
from workbench.domain.measurements import DeviceDescription, Noise, Ratio
from workbench.domain.throughput import ModelThroughput, Rate, ThroughputReport
from workbench.graph.model import ModelGraph
from workbench.project.commands import SetModel
from workbench.project.state import ModelReference
from workbench.ui.main_window import MainWindow
from workbench.ui.panels.throughput_dialog import ThroughputDialog

JOB_MS = 60_000
DEVICE = DeviceDescription(name="local", cpu="c", threads=1, runtime="onnxruntime 1", provider="p")


def entry(path: str, rate: float, ratio: float) -> ModelThroughput:
    return ModelThroughput(
        path=path,
        samples_per_second=Rate(median=rate, ci95=(rate - 5, rate + 5)),
        ratio_to_first=Ratio(median=ratio, ci95=(ratio - 0.02, ratio + 0.02)),
        windows=9,
    )


def report(*models: ModelThroughput, quiet: bool = True) -> ThroughputReport:
    return ThroughputReport(
        device=DEVICE,
        threads=1,
        batch=4,
        streams=2,
        models=models,
        noise=Noise(quiet=quiet, drift_ratio=0.0, reason="" if quiet else "load rose"),
    )


@pytest.fixture
def opened(desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made = desk()
    # The files of the made-up candidates.
    monkeypatch.setattr(made.session, "artifact_path", lambda id: tmp_path / f"{id}.onnx")
    made.window.actions_.trigger("analyse.throughput")
    (dialog,) = made.window.findChildren(ThroughputDialog)
    return made, dialog


def test_what_is_chosen_is_measured_in_turn_and_listed(opened, qtbot: QtBot) -> None:
    desk, dialog = opened
    state = desk.session.state
    assert dialog.summary.text() == "Nothing measured yet."
    assert not dialog.tree.isVisible()
    desk.session.selection.set_candidate("c1")
    assert dialog.models.currentText() == "The original and W8A8"
    dialog.batch.setValue(4)
    dialog.check.click()
    job = desk.runner.last("throughput")
    spec = desk.runner.specs[job]
    assert (len(spec.models), spec.models[0], spec.batch, spec.streams, spec.threads) == (2, state.model.path, 4, 2, 1)
    assert not dialog.check.isEnabled()
    desk.runner.start(job)
    first, second = entry(state.model.path, 1000.0, 1.0), entry(state.candidate("c1").report.candidate.path, 2200, 2.2)
    desk.runner.finish(job, report(first, second, quiet=False).model_dump(mode="json"))
    qtbot.waitUntil(lambda: desk.session.state.throughput is not None and dialog.check.isEnabled())
    assert dialog.summary.text() == "2 streams of 1 thread, batch 4, onnxruntime 1."
    assert dialog.noise.text() == "The machine was not quiet: load rose."
    rows = [dialog.tree.topLevelItem(place) for place in range(2)]
    assert [row.text(0) for row in rows] == ["Original", "W8A8"]
    assert rows[1].text(2) == "2.200\N{NO-BREAK SPACE}±0.020"
    (_, told) = csv.DictReader(io.StringIO(dialog.csv()))
    assert (told["model"], float(told["ratio"]), told["streams"], told["batch"]) == ("W8A8", 2.2, "2", "4")
    desk.session.selection.set_candidate(None)
    dialog.tree.itemDoubleClicked.emit(rows[1], 0)
    assert desk.session.selection.candidate == "c1"
    moved = SetModel(ModelReference(path="/other.onnx", sha256="b" * 64)).apply(desk.session.state)
    assert moved.throughput is None


def test_all_candidates_can_be_chosen_but_the_deleted(opened) -> None:
    desk, dialog = opened
    offered = {dialog.models.itemText(place): dialog.models.itemData(place) for place in range(dialog.models.count())}
    there = [entry for entry in desk.session.state.candidates if not entry.deleted]
    assert len(offered[f"The original and {len(there)} candidates"]) == len(there)
    assert offered["The original alone"] == ()


def test_an_unreachable_device_is_told_and_the_button_comes_back(opened, qtbot: QtBot) -> None:
    desk, dialog = opened
    dialog.models.setCurrentIndex(dialog.models.findText("The original alone", Qt.MatchFlag.MatchExactly))
    dialog.check.click()
    job = desk.runner.last("throughput")
    desk.runner.start(job)
    with qtbot.waitSignal(desk.session.failed):
        desk.runner.fail(job, DeviceError("pi.local does not answer", where="device pi"))
    qtbot.waitUntil(dialog.check.isEnabled)
    assert dialog.summary.text() == "Nothing measured yet."


@pytest.mark.slow
def test_a_worker_counts(
    real_window: Callable[[], MainWindow], small_cnn: ModelGraph, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_cnn.to_bytes())
    window = real_window()
    window.open_file(path)
    session = window.session
    qtbot.waitUntil(lambda: session.state.inspect is not None, timeout=JOB_MS)
    window.actions_.trigger("analyse.throughput")
    (dialog,) = window.findChildren(ThroughputDialog)
    dialog.check.click()
    qtbot.waitUntil(lambda: session.state.throughput is not None, timeout=JOB_MS)
    qtbot.waitUntil(lambda: dialog.tree.topLevelItemCount() == 1, timeout=JOB_MS)
    assert session.state.throughput.streams == 2
