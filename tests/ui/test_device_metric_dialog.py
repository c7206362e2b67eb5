"""The metric on a device, in the window: the same file there and here, on the same samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from workbench.domain.errors import DeviceError
from workbench.domain.measurements import MetricMeasurement
from workbench.project.commands import SetRun
from workbench.project.state import LatencySetting
from workbench.ui.panels.device_metric_dialog import DeviceMetricDialog


def measured(value: float) -> dict[str, object]:
    spread = (value - 0.01, value + 0.01)
    return MetricMeasurement(metric="top1", value=value, samples=200, ci95=spread).model_dump(mode="json")


@pytest.fixture
def opened(desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made = desk()
    monkeypatch.setattr(made.session, "artifact_path", lambda id: tmp_path / f"{id}.onnx")
    made.window.actions_.trigger("analyse.device_metric")
    (dialog,) = made.window.findChildren(DeviceMetricDialog)
    return made, dialog


def test_the_selected_file_runs_there_and_here(opened, tmp_path: Path, qtbot: QtBot) -> None:
    desk, dialog = opened
    assert "Measure on" in dialog.said.text()
    assert not dialog.measure.isEnabled()
    desk.session.do(SetRun(latency=LatencySetting(device="pi")))
    assert dialog.said.text().startswith("Runs the file on pi")
    assert dialog.model.text() == "The original"
    desk.session.selection.set_candidate("c1")
    assert dialog.model.text() == "W8A8"
    dialog.samples.setValue(200)
    dialog.measure.click()
    there, here = [(job, spec) for job, spec in desk.runner.specs.items() if spec.kind == "evaluate"][-2:]
    assert [spec.device for _, spec in (there, here)] == ["pi", "local"]
    assert {(spec.model, spec.samples) for _, spec in (there, here)} == {(str(tmp_path / "c1.onnx"), 200)}
    assert not dialog.measure.isEnabled()
    assert dialog.there.text() == "being measured"
    desk.runner.finish(there[0], measured(0.91))
    desk.runner.finish(here[0], measured(0.92))
    qtbot.waitUntil(dialog.measure.isEnabled)
    assert "91.0" in dialog.there.text()
    assert "92.0" in dialog.here.text()
    assert "200 samples" in dialog.here.text()
    desk.session.selection.set_candidate(None)
    assert "91.0" not in dialog.there.text(), "that was of the candidate"


def test_a_device_that_fails_is_told(opened, qtbot: QtBot) -> None:
    desk, dialog = opened
    desk.session.do(SetRun(latency=LatencySetting(device="pi")))
    dialog.measure.click()
    there = [job for job, spec in desk.runner.specs.items() if spec.kind == "evaluate" and spec.device == "pi"][-1]
    desk.runner.fail(there, DeviceError("pi does not answer"))
    qtbot.waitUntil(lambda: dialog.there.text().startswith("pi does not answer"))
