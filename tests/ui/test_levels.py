"""Levels of a layer in the window, on a real worker: weights at once, inputs on demand, those of a finished file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.graph.model import ModelGraph
from workbench.project.commands import ReplacePlan, SetSteps
from workbench.ui.main_window import MainWindow
from workbench.ui.panels.inspector_tabs import LEVELS
from workbench.ui.panels.levels_plot import LevelsPlot

JOB_MS = 60_000


@pytest.fixture
def window(real_window: Callable[[], MainWindow], small_cnn: ModelGraph, tmp_path: Path, qtbot: QtBot) -> MainWindow:
    """A window on the small network, with one layer selected and its levels looked at."""
    path = tmp_path / "small.onnx"
    path.write_bytes(small_cnn.to_bytes())
    made = real_window()
    made.open_file(path)
    session = made.session
    session.list_methods()
    qtbot.waitUntil(lambda: session.state.inspect is not None and bool(session.methods), timeout=JOB_MS)
    assert session.state.inspect is not None
    session.selection.set_layers((session.state.inspect.layers[1].name,))
    made.panels["inspector"].tabs.tabs.setCurrentIndex(LEVELS)
    return made


def levels(window: MainWindow, qtbot: QtBot, has: str) -> LevelsPlot:
    """Wait until the view says something, and return its plot."""
    view = window.panels["inspector"].tabs.levels
    qtbot.waitUntil(lambda: has in view.message.text(), timeout=JOB_MS)
    assert view.plot is not None
    assert view.plot.isVisible()
    return view.plot


def rows(plot: LevelsPlot, what: str) -> list[list[float]]:
    return [[float(cell) for cell in line[1:]] for line in csv.reader(io.StringIO(plot.to_csv())) if line[0] == what]


def test_weights_need_no_data_and_follow_the_plan(window: MainWindow, qtbot: QtBot) -> None:
    session, view = window.session, window.panels["inspector"].tabs.levels
    plot = levels(window, qtbot, "below 32 to see levels")
    assert rows(plot, "level") == []
    layer = session.selection.layers[0]
    session.do(ReplacePlan(Plan(layers={layer: {WEIGHT_BITS.name: 4, ACTIVATION_BITS.name: 8}})))
    plot = levels(window, qtbot, "4 bits")
    assert "a scale for each of 8 channels" in view.message.text()
    assert "SQNR" in view.message.text()
    assert "clip" in view.key.text()
    found = rows(plot, "level")
    assert 8 < len(found) <= 16
    assert sum(row[2] for row in found) == sum(row[2] for row in rows(plot, "before")) == 8 * 8 * 9
    assert "in steps of its channel" in plot.getAxis("bottom").labelText

    view.channel.setValue(3)
    qtbot.waitUntil(lambda: "channel 3" in plot.getAxis("bottom").labelText, timeout=JOB_MS)
    alone = rows(plot, "level")
    assert sum(row[2] for row in alone) == 8 * 9
    distances = np.diff([row[0] for row in alone])
    assert np.allclose(distances, distances[0], rtol=1e-5), "evenly spaced in the weight's own unit"

    session.do(ReplacePlan(Plan(layers={layer: {WEIGHT_BITS.name: 2}})))
    plot = levels(window, qtbot, "2 bits")
    assert len(rows(plot, "level")) <= 4

    # With a zero point a channel's levels are those that its own range needs, which need not be alike about zero.
    session.do(ReplacePlan(Plan(layers={layer: {WEIGHT_BITS.name: 4}})))
    before = [row[0] for row in rows(levels(window, qtbot, "4 bits"), "level")]
    affine = Step(method="quantize.ptq", parameters={"weight_scheme": "affine", "weight_range": "minmax"})
    session.do(SetSteps((affine,), title="Affine"))
    qtbot.waitUntil(lambda: [row[0] for row in rows(plot, "level")] not in ([], before), timeout=JOB_MS)
    distances = np.diff([row[0] for row in rows(plot, "level")])
    assert np.allclose(distances, distances[0], rtol=1e-5)


def test_inputs_say_what_they_need_and_are_observed_on_demand(
    window: MainWindow, qtbot: QtBot, labelled_data: Path
) -> None:
    session, view = window.session, window.panels["inspector"].tabs.levels
    layer = session.selection.layers[0]
    session.do(ReplacePlan(Plan(layers={layer: {WEIGHT_BITS.name: 8, ACTIVATION_BITS.name: 4}})))
    view.subject.setCurrentIndex(1)
    assert view.message.text().startswith("Choose data first")
    assert view.observe.isHidden()

    window.open_file(labelled_data)
    qtbot.waitUntil(lambda: session.state.data is not None, timeout=JOB_MS)
    qtbot.waitUntil(view.observe.isVisible, timeout=JOB_MS)
    view.observe.click()
    plot = levels(window, qtbot, "4 bits")
    assert "for the whole tensor" in view.message.text()
    found = rows(plot, "level")
    assert len(found) == 16
    assert found[0][0] == 0.0, "a rectified value needs no negative level"
    assert sum(row[2] for row in found) == sum(row[2] for row in rows(plot, "before"))


def test_a_candidate_shows_the_levels_in_its_file(window: MainWindow, qtbot: QtBot, labelled_data: Path) -> None:
    session, view = window.session, window.panels["inspector"].tabs.levels
    window.open_file(labelled_data)
    qtbot.waitUntil(lambda: session.state.baseline is not None, timeout=JOB_MS)
    session.do(ReplacePlan(Plan(default={WEIGHT_BITS.name: 3, ACTIVATION_BITS.name: 8})))
    session.run("three")
    qtbot.waitUntil(lambda: bool(session.state.candidates), timeout=JOB_MS)
    session.do(ReplacePlan(Plan()))
    qtbot.waitUntil(lambda: view.source.currentText() == "three", timeout=JOB_MS)
    qtbot.waitUntil(lambda: "the&nbsp;file&nbsp;of&nbsp;three" in view.key.text(), timeout=JOB_MS)
    plot = levels(window, qtbot, "3 bits")
    assert 4 < len(rows(plot, "level")) <= 8
    view.source.setCurrentIndex(0)
    levels(window, qtbot, "below 32 to see levels")


def test_the_picture_can_be_copied_and_exported(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    tabs = window.panels["inspector"].tabs
    plot = levels(window, qtbot, "In float")
    assert tabs.plots == [plot]
    entries = {action.text(): action for action in tabs.plot_menu(plot).actions()}
    entries["Copy as CSV"].trigger()
    assert QGuiApplication.clipboard().text().startswith("what,from,to,count")
    tabs.export(plot, tmp_path / "levels.svg")
    assert (tmp_path / "levels.svg").stat().st_size > 1000
    place = plot.box.mapViewToScene(plot.box.viewRect().center())
    assert plot.text_at(place).startswith("Before: ")


def test_going_through_the_layers_leaves_no_cancelled_jobs_behind(window: MainWindow, qtbot: QtBot) -> None:
    session, view = window.session, window.panels["inspector"].tabs.levels
    assert session.state.inspect is not None
    names = [layer.name for layer in session.state.inspect.layers]
    session.do(ReplacePlan(Plan(default={WEIGHT_BITS.name: 4})))
    for name in (*names, *names):
        with qtbot.waitSignal(session.jobs.jobChanged, timeout=200, raising=False):
            session.selection.set_layers((name,))
    levels(window, qtbot, "a scale for each of 5 channels")
    qtbot.waitUntil(lambda: not session.jobs.active, timeout=JOB_MS)
    assert {record.state for record in session.jobs.records} == {"done"}
    assert view.busy.isHidden()
