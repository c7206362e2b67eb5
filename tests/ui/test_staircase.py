"""The staircase in the inspector: measured by one button, drawn, kept with the project, and where the slider stops."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QSlider, QToolTip
from pytestqt.qtbot import QtBot

from tests.fakes.inspector import InspectorDesk
from tests.fakes.pruned import INNER, pruned_state
from workbench.domain.knobs import ACTIVATION_BITS, PRUNE_RATIO, WEIGHT_BITS
from workbench.domain.measurements import DeviceDescription
from workbench.domain.plan import Plan
from workbench.domain.staircase import LayerStaircase, StaircaseReport, StairPoint, Stairs
from workbench.graph.model import ModelGraph
from workbench.jobs.specs import StaircaseJob
from workbench.project.commands import ReplacePlan, SetModel
from workbench.project.staircases import paying_counts, staircase_of, with_staircases
from workbench.project.state import Change, LatencySetting, ModelReference
from workbench.ui.main_window import MainWindow
from workbench.ui.models.channel_counts import channel_counts
from workbench.ui.panels.inspector_tabs import SENSITIVITY, STAIRCASE

JOB_MS = 60_000
OTHER = "layer2.0.conv2"
DEVICE = DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p")


def stairs(form: str, times: dict[int, float]) -> Stairs:
    return Stairs.of(
        form,  # type: ignore[arg-type]
        [StairPoint(channels=n, microseconds=t, ci95=(t - 0.1, t + 0.1)) for n, t in times.items()],
    )


FLOAT = stairs("float32", {8: 14.9, 16: 15.0, 17: 19.5, 24: 19.4, 32: 19.5})
INTEGER = stairs("uint8", {8: 16.0, 16: 11.0, 17: 17.0, 24: 13.0, 32: 14.0})
FOUND = LayerStaircase(layer=INNER, op="Conv", channels=32, curves=(FLOAT, INTEGER))
REPORT = StaircaseReport(device=DEVICE, threads=1, batch=1, layers=(FOUND,))


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path):
    made = InspectorDesk(pruned_state(), tmp_path, qtbot)
    made.session.selection.set_layers((INNER,))
    made.panel.tabs.tabs.setCurrentIndex(STAIRCASE)
    made.session.do(ReplacePlan(Plan()))
    yield made
    made.bridge.close()


def answer(desk: InspectorDesk, report: StaircaseReport) -> StaircaseJob:
    job = desk.runner.last("staircase")
    desk.runner.start(job)
    with desk.qtbot.waitSignal(
        desk.bridge.jobChanged, check_params_cb=lambda id: desk.bridge.record(id).state == "done"
    ):
        desk.runner.finish(job, report.model_dump(mode="json"))
    return desk.runner.specs[job]  # type: ignore[return-value]


def record(desk: InspectorDesk, layer: LayerStaircase) -> None:
    """Put another finding of the layer in the document."""
    found = with_staircases(desk.session.state.staircases, REPORT.model_copy(update={"layers": (layer,)}))
    desk.session.document.record(Change.STAIRCASE, staircases=found)


def test_it_asks_once_what_is_known_and_one_button_measures(desk: InspectorDesk) -> None:
    view = desk.panel.tabs.staircase
    asked = answer(desk, REPORT.model_copy(update={"layers": ()}))
    assert asked.known_only
    assert asked.layers == ()
    assert "worth their accuracy" in view.message.text()
    desk.panel.refresh()
    assert len(desk.runner.specs) == 1
    view.measure.click()
    assert view.busy.isVisible()
    assert not view.measure.isVisible()
    job = answer(desk, REPORT)
    assert (job.layers, job.known_only, job.device, job.threads, job.batch) == ((INNER,), False, "local", 1, 1)
    assert "In float: steps end at 16, 32 channels" in view.message.text()
    assert view.plot is not None
    assert view.plot.isVisible()
    assert not view.measure.isVisible()
    assert not view.busy.isVisible()
    assert desk.session.state.staircases == (REPORT,)
    rows = list(csv.DictReader(io.StringIO(view.plot.to_csv())))
    assert [row["channels"] for row in rows if row["form"] == "uint8" and row["edge"] == "1"] == ["16", "24", "32"]
    assert desk.panel.tabs.plots == [view.plot]
    both = FOUND.model_copy(update={"together": (INTEGER,), "members": 2})
    record(desk, both)
    assert "this layer and 1 other that lose channels with it: steps end at 16, 24, 32" in view.message.text()
    assert "2,uint8,16" in view.plot.to_csv()
    place = view.plot.box.mapViewToScene(view.plot.box.viewRect().center())
    assert isinstance(view.plot.text_at(place), str)
    desk.session.selection.set_layers((OTHER,))
    assert not view.plot.isVisible()
    assert view.measure.isVisible()
    desk.panel.tabs.tabs.setCurrentIndex(SENSITIVITY)
    assert not view.isVisible()


def test_the_slider_stops_at_the_ends_of_steps(desk: InspectorDesk) -> None:
    answer(desk, REPORT)
    editor = desk.panel.knobs.editors["prune_ratio"]
    editor.findChild(QSlider).setValue(300)
    assert desk.session.state.plan.layers[INNER][PRUNE_RATIO.name] == 0.5
    note = next(view.note for view in desk.panel.inspection.knobs if view.knob == PRUNE_RATIO)
    assert "16 of 32 channels stay" in note
    assert "the end of a step" in note
    assert "The plan's 16 take 77" in desk.panel.tabs.staircase.message.text()
    whole = {WEIGHT_BITS.name: 8, ACTIVATION_BITS.name: 8}
    desk.session.do(ReplacePlan(Plan(layers={INNER: whole})))
    assert "In 8-bit integers: steps end at 16, 24, 32" in desk.panel.tabs.staircase.message.text()
    desk.panel.knobs.editors["prune_ratio"].findChild(QSlider).setValue(300)
    assert desk.session.state.plan.layers[INNER][PRUNE_RATIO.name] == 0.25


def test_while_the_slider_moves_it_says_what_the_plan_would_come_to(desk: InspectorDesk) -> None:
    answer(desk, REPORT)
    slider = desk.panel.knobs.editors["prune_ratio"].findChild(QSlider)
    before = desk.session.state.plan
    slider.setSliderDown(True)
    began = time.perf_counter()
    slider.setValue(500)
    said = QToolTip.text().splitlines()
    assert time.perf_counter() - began < 0.5, "some ms; the limit is that of a very busy machine"
    assert "16 of 32 channels stay" in said[0]
    assert said[1].startswith("Plan then: ")
    assert said[1].endswith("B (foretold)")
    assert desk.session.state.plan == before, "nothing is set before the slider is let go"
    slider.setSliderDown(False)
    assert desk.session.state.plan.layers[INNER][PRUNE_RATIO.name] == 0.5


def test_counts_follow_the_recipes_rounding_and_say_where_steps_end() -> None:
    report = pruned_state().inspect
    assert report is not None
    counts = channel_counts(report, INNER, 1, (12, 16, 32))
    assert counts is not None
    assert [counts.snapped(ratio) for ratio in (0.0, 0.3, 0.9)] == [0.0, 0.5, 0.625]
    assert counts.text(0.25) == "24 of 32 channels stay; steps in its time end at 16 and 32"
    rounded = channel_counts(report, INNER, 8, (12, 16, 32))
    assert rounded is not None
    assert rounded.reachable_edges == (16, 32)
    alone = channel_counts(report, INNER, 8, (32,))
    assert alone is not None
    assert alone.snapped(0.3) == 0.25, "nothing pays, so that only the recipe's rounding counts"
    assert "no faster here" in alone.text(0.25)


def test_facts_belong_to_a_model_and_a_way_of_measuring() -> None:
    state = pruned_state()
    other = REPORT.model_copy(update={"threads": 2})
    known = with_staircases(with_staircases((), REPORT), other)
    assert known == (REPORT, other)
    newer = FOUND.model_copy(update={"curves": (FLOAT,)})
    known = with_staircases(known, REPORT.model_copy(update={"layers": (newer,)}))
    state = state.model_copy(update={"staircases": known})
    assert staircase_of(state, INNER) == newer
    assert staircase_of(state, INNER, LatencySetting(threads=2)) == FOUND
    assert staircase_of(state, INNER, LatencySetting(device="pi")) is None
    assert paying_counts(state, INNER, {}) == (16, 32)
    assert paying_counts(state, OTHER, {}) == ()
    moved = SetModel(ModelReference(path="/other.onnx", sha256="b" * 64)).apply(state)
    assert moved.staircases == ()


@pytest.mark.slow
def test_a_worker_measures_it_and_another_window_knows(
    real_window: Callable[[], MainWindow], small_cnn: ModelGraph, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_cnn.to_bytes())
    window = real_window()
    window.open_file(path)
    session = window.session
    session.list_methods()
    qtbot.waitUntil(lambda: session.state.inspect is not None and bool(session.methods), timeout=JOB_MS)
    session.selection.set_layers(("Conv_0",))
    tabs = window.panels["inspector"].tabs
    tabs.tabs.setCurrentIndex(STAIRCASE)
    tabs.staircase.measure.click()
    qtbot.waitUntil(lambda: staircase_of(session.state, "Conv_0") is not None, timeout=JOB_MS)
    qtbot.waitUntil(lambda: tabs.staircase.plot is not None and tabs.staircase.plot.isVisible(), timeout=JOB_MS)
    qtbot.waitUntil(lambda: not session.jobs.active, timeout=JOB_MS)
    tabs.export(tabs.staircase.plot, tmp_path / "stairs.png")
    assert (tmp_path / "stairs.png").stat().st_size > 1000
    found = staircase_of(session.state, "Conv_0")

    second = real_window()
    second.open_file(path)
    qtbot.waitUntil(lambda: second.session.state.inspect is not None, timeout=JOB_MS)
    second.session.selection.set_layers(("Conv_0",))
    second.panels["inspector"].tabs.tabs.setCurrentIndex(STAIRCASE)
    qtbot.waitUntil(lambda: staircase_of(second.session.state, "Conv_0") == found, timeout=JOB_MS)
