"""Comparing in the window on a real worker: from a candidate to its classes, samples, and errors of layers."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from workbench.project.commands import SetSettings
from workbench.ui.comparisons import comparisons_of
from workbench.ui.main_window import MainWindow

JOB_MS = 120_000


def test_a_candidate_is_compared_on_the_data(measured_window: MainWindow, qtbot: QtBot) -> None:
    session = measured_window.session
    assert session.state.inspect is not None
    layers = tuple(layer.name for layer in session.state.inspect.layers)
    session.do(SetSettings(layers, "weight_bits", 2))
    session.run()
    qtbot.waitUntil(lambda: bool(session.state.candidates), timeout=JOB_MS)
    (candidate,) = session.state.candidates

    measured_window.actions_.trigger("candidate.compare")
    panel = measured_window.panels["compare"]
    panel.show_tab("Layers")
    assert panel.layers.errors.isVisible()
    panel.layers.errors.click()
    qtbot.waitUntil(lambda: comparisons_of(session).report((candidate.id,)) is not None, timeout=JOB_MS)
    report = comparisons_of(session).report((candidate.id,))
    assert report is not None
    assert report.models[1].metric is not None
    assert candidate.report.metric is not None
    assert report.models[1].metric.value == candidate.report.metric.value

    heads = [column.heading for column in panel.layers.view.figures.table.columns]
    assert heads == ["Layer", "Original, ms", f"{candidate.name}, ms", f"{candidate.name}, SQNR dB"]
    panel.show_tab("Classes")
    assert panel.classes.view.proxy.rowCount() == len(report.classes) > 0
    panel.show_tab("Samples")
    changed = report.models[1].changed
    assert panel.samples.filters["all"].text() == f"All  {changed}"
    assert panel.samples.grid.count() == min(changed, sum(s.image_png_base64 is not None for s in report.changed))
