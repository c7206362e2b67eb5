"""Sensitivity in other ways, in the window on a real worker: estimated, in pairs, all but one; shown, copied."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from workbench.ui.main_window import MainWindow
from workbench.ui.models.sensitivity_table import Kind
from workbench.ui.panels.sensitivity_dialog import SensitivityDialog

JOB_MS = 60_000


def opened(window: MainWindow, qtbot: QtBot) -> SensitivityDialog:
    window.actions_.trigger("analyse.other")
    dialog = window.findChild(SensitivityDialog)
    qtbot.addWidget(dialog)
    return dialog


def measure(dialog: SensitivityDialog, qtbot: QtBot, kind: Kind) -> list[list[str]]:
    """Ask for a kind and return its rows."""
    dialog.kind.setCurrentIndex(dialog.kind.findData(kind))
    before = dialog.report
    dialog.check.click()
    assert dialog.busy.isVisible()
    assert not dialog.check.isEnabled()
    qtbot.waitUntil(lambda: dialog.report is not before and not dialog.busy.isVisible(), timeout=JOB_MS)
    items = [dialog.tree.topLevelItem(row) for row in range(dialog.tree.topLevelItemCount())]
    return [[item.text(column) for column in range(dialog.tree.columnCount())] for item in items]


def test_all_kinds_on_a_worker(measured_window: MainWindow, qtbot: QtBot) -> None:
    dialog = opened(measured_window, qtbot)
    session = measured_window.session
    assert dialog.sweep.currentData() == ("weight_bits", "quantize.ptq")
    assert not dialog.tree.isVisible()
    assert not dialog.copy.isEnabled()

    estimated = measure(dialog, qtbot, Kind.ESTIMATE)
    assert len(estimated) == 3
    assert "not measured" in dialog.summary.text()
    item = dialog.tree.topLevelItem(1)
    dialog.tree.itemDoubleClicked.emit(item, 0)
    assert session.state.inspect is not None
    assert session.selection.layers == (session.state.inspect.layers[1].name,)

    dialog.estimator.setCurrentIndex(dialog.estimator.findData("hessian"))
    by_curvature = measure(dialog, qtbot, Kind.ESTIMATE)
    assert dialog.summary.text().startswith("Estimate by trace of the hessian from ")
    assert [row[0] for row in by_curvature] == [row[0] for row in estimated]
    assert by_curvature != estimated

    dialog.kind.setCurrentIndex(dialog.kind.findData(Kind.PAIRS))
    assert not dialog.estimator.isEnabled()
    dialog.value.setCurrentIndex(dialog.value.findData(2) if dialog.value.findData(2) >= 0 else 0)
    dialog.layers.setCurrentIndex(dialog.layers.findData("all"))
    pairs = measure(dialog, qtbot, Kind.PAIRS)
    assert len(pairs) == 3
    assert dialog.summary.text().startswith("3 pairs at ")
    dialog.copy.click()
    table = list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text())))
    assert len(table) == 3
    assert float(table[0]["interaction_ci95_low"]) <= float(table[0]["interaction"])

    spared = measure(dialog, qtbot, Kind.ALL_BUT)
    assert len(spared) == 3
    assert dialog.summary.text().startswith("All layers together, ")
    assert session.state.sensitivities == ()  # none of these is a layer's own drop


def test_without_a_model_it_says_what_is_missing(real_window: Callable[[], MainWindow], qtbot: QtBot) -> None:
    window = real_window()
    dialog = SensitivityDialog(window.session, window)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.blocked.isVisible()
    assert not dialog.check.isEnabled()
    assert dialog.check.toolTip() == dialog.blocked.text()
