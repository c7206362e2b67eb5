"""Energy in the window: what is measured and what is estimated are told apart, coefficients are the user's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QDoubleSpinBox
from pytestqt.qtbot import QtBot

from workbench.domain.energy import EnergyCoefficients, EnergyReport, MeasuredEnergy, ModelEnergy, estimate
from workbench.domain.measurements import DeviceDescription, Noise, Ratio
from workbench.graph.model import ModelGraph
from workbench.project.commands import SetModel
from workbench.project.energy_setting import energy_coefficients
from workbench.project.state import ModelReference
from workbench.ui.main_window import MainWindow
from workbench.ui.panels.energy_dialog import EnergyDialog

JOB_MS = 60_000
DEVICE = DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p")
COEFFICIENTS = EnergyCoefficients()


def model(path: str, macs: int, bytes: int, millijoules: float | None = None) -> ModelEnergy:
    measured = None
    if millijoules is not None:
        measured = MeasuredEnergy(
            millijoules=millijoules,
            ci95=(millijoules - 0.1, millijoules + 0.1),
            watts=9.0,
            ratio_to_first=Ratio(median=millijoules / 4.0, ci95=(millijoules / 4.0 - 0.02, millijoules / 4.0 + 0.02)),
            inferences=100,
        )
    return ModelEnergy(path=path, measured=measured, estimate=estimate(macs, 0, bytes, COEFFICIENTS))


def report(*models: ModelEnergy, counters: bool) -> EnergyReport:
    return EnergyReport(
        device=DEVICE,
        threads=1,
        batch=1,
        models=models,
        source="package-0" if counters else "",
        why_not_measured="" if counters else "this system has no energy counters (RAPL)",
        idle_watts=2.0 if counters else None,
        coefficients=COEFFICIENTS,
        estimate_basis="Horowitz",
        noise=Noise(quiet=True, drift_ratio=0.0) if counters else None,
    )


@pytest.fixture
def opened(desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made = desk()
    monkeypatch.setattr(made.session, "artifact_path", lambda id: tmp_path / f"{id}.onnx")
    made.session.selection.set_candidate("c1")
    made.window.actions_.trigger("analyse.energy")
    (dialog,) = made.window.findChildren(EnergyDialog)
    return made, dialog


def answer(desk, dialog: EnergyDialog, qtbot: QtBot, found: EnergyReport) -> None:
    dialog.check.click()
    job = desk.runner.last("energy")
    assert dialog.summary.text().startswith("Waits until")
    desk.runner.start(job)
    qtbot.waitUntil(lambda: dialog.summary.text().startswith("At work"))
    desk.runner.finish(job, found.model_dump(mode="json"))
    qtbot.waitUntil(lambda: desk.session.state.energy == found and dialog.check.isEnabled())


def test_estimates_say_that_they_are(opened, qtbot: QtBot) -> None:
    desk, dialog = opened
    state = desk.session.state
    own = state.candidate("c1").report.candidate.path
    answer(desk, dialog, qtbot, report(model("m", 40_000_000, 10**6), model(own, 10_000_000, 10**6), counters=False))
    spec = desk.runner.specs[desk.runner.last("energy")]
    assert (len(spec.models), spec.coefficients) == (2, COEFFICIENTS)
    assert (
        "Not measured: this system has no energy counters (RAPL). All figures are estimates." in dialog.summary.text()
    )
    assert "162.5 pJ for each byte" in dialog.basis.text()
    assert dialog.tree.isColumnHidden(1)
    rows = [dialog.tree.topLevelItem(place) for place in range(2)]
    assert [row.text(0) for row in rows] == ["Original", "W8A8"]
    assert rows[0].text(3) == "≈0.347"
    assert rows[1].text(5) == "0.60"
    moved = SetModel(ModelReference(path="/other.onnx", sha256="b" * 64)).apply(desk.session.state)
    assert moved.energy is None


def test_measured_energy_has_its_interval(opened, qtbot: QtBot) -> None:
    desk, dialog = opened
    own = desk.session.state.candidate("c1").report.candidate.path
    found = report(model("m", 40_000_000, 10**6, 4.0), model(own, 10_000_000, 10**6, 2.0), counters=True)
    answer(desk, dialog, qtbot, found)
    assert "Measured by package-0, above 2.0\N{NO-BREAK SPACE}W of the idle machine." in dialog.summary.text()
    assert not dialog.tree.isColumnHidden(1)
    assert dialog.tree.topLevelItem(1).text(1) == "2.00\N{NO-BREAK SPACE}±0.10"
    assert dialog.tree.topLevelItem(1).text(2) == "0.500\N{NO-BREAK SPACE}±0.020"
    (_, told) = csv.DictReader(io.StringIO(dialog.csv()))
    assert (told["model"], float(told["measured_mj"]), float(told["measured_ratio"])) == ("W8A8", 2.0, 0.5)
    desk.session.selection.set_candidate(None)
    dialog.tree.itemDoubleClicked.emit(dialog.tree.topLevelItem(1), 0)
    assert desk.session.selection.candidate == "c1"


def test_coefficients_are_kept_for_every_project(opened) -> None:
    desk, dialog = opened
    field = dialog.form.findChildren(QDoubleSpinBox)[0]
    field.setValue(2.0)
    field.editingFinished.emit()
    assert energy_coefficients().float32_pj_per_mac == 2.0
    dialog.check.click()
    assert desk.runner.specs[desk.runner.last("energy")].coefficients.float32_pj_per_mac == 2.0


def test_a_worker_takes_it(
    real_window: Callable[[], MainWindow], small_cnn: ModelGraph, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_cnn.to_bytes())
    window = real_window()
    window.open_file(path)
    session = window.session
    qtbot.waitUntil(lambda: session.state.inspect is not None, timeout=JOB_MS)
    window.actions_.trigger("analyse.energy")
    (dialog,) = window.findChildren(EnergyDialog)
    dialog.check.click()
    qtbot.waitUntil(lambda: session.state.energy is not None, timeout=JOB_MS)
    qtbot.waitUntil(lambda: dialog.tree.topLevelItemCount() == 1, timeout=JOB_MS)
    assert session.state.energy.models[0].estimate is not None
