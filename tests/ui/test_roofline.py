"""The roofline in the inspector: measured by one button, drawn, kept with the project, one with the selection."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPointF
from pytestqt.qtbot import QtBot

from tests.fakes.inspector import InspectorDesk
from tests.fakes.projects import SHA, resnet20_state
from workbench.domain.errors import DeviceError
from workbench.domain.measurements import DeviceDescription, Noise
from workbench.domain.roofline import ComputePeak, DevicePeaks, LayerRoof, MemoryPeak, RooflineReport, under_roof
from workbench.graph.model import ModelGraph
from workbench.jobs.specs import RooflineJob
from workbench.project.commands import SetModel
from workbench.project.rooflines import roofline_of, with_roofline
from workbench.project.state import LatencySetting, ModelReference
from workbench.ui.main_window import MainWindow
from workbench.ui.models.roofline_view import resolve_roofline
from workbench.ui.panels.inspector_tabs import ROOFLINE, SENSITIVITY

JOB_MS = 60_000
INNER, OTHER, LAST, ODD = "layer2.0.conv1", "layer2.0.conv2", "node_linear", "conv1"
DEVICE = DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p")
PEAKS = DevicePeaks(
    device=DEVICE,
    compute=(
        ComputePeak(form="float32", gflops=100.0, ci95=(99.0, 101.0), kernel="k"),
        ComputePeak(form="uint8", gflops=400.0, ci95=(399.0, 401.0), kernel="k"),
    ),
    memory=MemoryPeak(gbytes_per_s=10.0, ci95=(9.0, 11.0), kernel="copy", array_bytes=1 << 26),
)


def placed(layer: str, form: str, flops: int, bytes: int, milliseconds: float) -> LayerRoof:
    return under_roof(
        PEAKS,
        layer,
        "Conv",
        kernel="Conv",
        form=form,  # type: ignore[arg-type]
        flops=flops,
        bytes=bytes,
        milliseconds=milliseconds,
        total_ms=1.0,
    )


REPORT = RooflineReport(
    model="/models/resnet20.onnx",
    model_sha256=SHA,
    peaks=PEAKS,
    threads=1,
    asked_batch=1,
    batch=1,
    layers=(
        LayerRoof(layer=ODD, op="Conv", reason="it takes less than the runtime's clock can tell"),
        placed(INNER, "float32", 5_000_000, 100_000, 0.1),
        placed(OTHER, "uint8", 8_000_000, 30_000, 0.04),
        placed(LAST, "float32", 1_280, 2_900, 0.005),
    ),
    total_ms=1.0,
    layers_ms=0.145,
    noise=Noise(quiet=True, drift_ratio=0.0),
)


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path):
    made = InspectorDesk(resnet20_state(), tmp_path, qtbot)
    made.session.selection.set_layers((INNER,))
    made.panel.tabs.tabs.setCurrentIndex(ROOFLINE)
    yield made
    made.bridge.close()


def answer(desk: InspectorDesk, report: RooflineReport) -> RooflineJob:
    job = desk.runner.last("roofline")
    desk.runner.start(job)
    with desk.qtbot.waitSignal(
        desk.bridge.jobChanged, check_params_cb=lambda id: desk.bridge.record(id).state == "done"
    ):
        desk.runner.finish(job, report.model_dump(mode="json"))
    return desk.runner.specs[job]  # type: ignore[return-value]


def test_a_selected_candidate_has_roofs_of_its_own(
    desk: InspectorDesk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(desk.session, "artifact_path", lambda id: tmp_path / f"{id}.onnx")
    view, candidate = desk.panel.tabs.roofline, desk.session.state.candidates[0]
    view.measure.click()
    answer(desk, REPORT)
    desk.session.selection.set_candidate(candidate.id)
    assert f"all layers of {candidate.name}" in view.message.text()
    view.measure.click()
    layers = tuple(placed(INNER, "uint8", 5_000_000, 30_000, 0.05) for _ in range(1))
    own = REPORT.model_copy(update={"model_sha256": candidate.artifact, "layers": layers})
    job = answer(desk, own)
    assert (job.model, job.model_sha256, job.renew) == (
        str(tmp_path / f"{candidate.id}.onnx"),
        candidate.artifact,
        False,
    )
    assert desk.session.state.rooflines == (REPORT, own)
    assert view.message.text().startswith(f"In {candidate.name}: 100")
    assert "8-bit integers" in view.message.text()
    desk.session.selection.set_layers((OTHER,))
    assert "no place under the roofs: it is gone" in view.message.text()
    desk.session.selection.set_candidate(None)
    desk.session.selection.set_layers((INNER,))
    assert view.message.text().startswith("50.0")


def test_one_button_measures_all_layers(desk: InspectorDesk) -> None:
    view = desk.panel.tabs.roofline
    assert "What keeps this layer from being faster" in view.message.text()
    assert view.measure.text() == "Measure all layers"
    assert not desk.runner.specs, "nothing is measured unasked"
    view.measure.click()
    assert view.busy.isVisible()
    assert not view.measure.isVisible()
    assert view.message.text() == "Being measured."
    job = answer(desk, REPORT)
    assert (job.device, job.threads, job.batch, job.renew) == ("local", 1, 1, False)
    assert desk.session.state.rooflines == (REPORT,)
    assert "50.0\N{NO-BREAK SPACE}GFLOP/s, 50\N{NO-BREAK SPACE}% of what arithmetic in float" in view.message.text()
    assert desk.panel.tabs.plots == [view.plot]
    view.measure.click()
    assert desk.runner.specs[desk.runner.last("roofline")].renew, "measured again means the roofs too"
    desk.session.selection.set_layers((LAST,))
    assert "of what memory allows at 0.44\N{NO-BREAK SPACE}FLOP/byte" in view.message.text()
    assert "held back by the start of its kernel" in view.message.text()
    desk.session.selection.set_layers((ODD,))
    assert "no place under the roofs: it takes less" in view.message.text()
    assert view.plot.isVisible(), "the other layers have theirs"
    desk.panel.tabs.tabs.setCurrentIndex(SENSITIVITY)
    assert not view.isVisible()


def test_the_plot_says_what_lies_under_the_pointer_and_is_exported(desk: InspectorDesk, tmp_path: Path) -> None:
    view = desk.panel.tabs.roofline
    view.measure.click()
    answer(desk, REPORT)
    plot = view.plot
    assert plot is not None
    place = plot.box.mapViewToScene(QPointF(math.log10(50.0), math.log10(50.0)))
    assert "50.0\N{NO-BREAK SPACE}GFLOP/s at 50.0\N{NO-BREAK SPACE}FLOP/byte" in plot.text_at(place)
    assert "arithmetic binds" in plot.text_at(place)
    assert plot.text_at(place + QPointF(80, -60)) == ""
    rows = list(csv.DictReader(io.StringIO(plot.to_csv())))
    assert [(row["layer"], row["form"], row["bound"]) for row in rows] == [
        (INNER, "float32", "compute"),
        (OTHER, "uint8", "compute"),
        (LAST, "float32", "memory"),
    ]
    for name in ("roof.png", "roof.csv", "roof.svg"):
        desk.panel.tabs.export(plot, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100
    plot.layerChosen.emit(OTHER)
    assert desk.session.selection.layers == (OTHER,)
    assert "8-bit integers" in view.message.text()


def test_an_unreachable_device_leaves_the_button(desk: InspectorDesk) -> None:
    view = desk.panel.tabs.roofline
    view.measure.click()
    job = desk.runner.last("roofline")
    desk.runner.start(job)
    desk.runner.fail(job, DeviceError("pi.local does not answer", where="device pi"))
    desk.qtbot.waitUntil(view.measure.isVisible)
    assert view.measure.text() == "Measure all layers"


def test_words_tell_caches_from_a_busy_machine() -> None:
    def text(entry: LayerRoof, *, quiet: bool = True) -> str:
        noise = Noise(quiet=quiet, drift_ratio=0.0, reason="" if quiet else "load")
        report = REPORT.model_copy(update={"layers": (entry,), "noise": noise})
        view = resolve_roofline(resnet20_state().model_copy(update={"rooflines": (report,)}), INNER)
        assert view is not None
        return view.text

    assert "Smaller weights and activations" in text(placed(INNER, "float32", 1_000_000, 1_000_000, 0.2))
    assert "still in a cache" in text(placed(INNER, "float32", 1_000_000, 1_000_000, 0.05))
    assert "busy when that was measured" in text(placed(INNER, "float32", 50_000_000, 1_000_000, 0.4))
    assert "measure again for better figures" in text(placed(INNER, "float32", 5_000_000, 100_000, 0.1), quiet=False)


def test_facts_belong_to_a_model_and_a_way_of_measuring() -> None:
    other = REPORT.model_copy(update={"threads": 2})
    known = with_roofline(with_roofline((), REPORT), other)
    assert known == (REPORT, other)
    newer = REPORT.model_copy(update={"total_ms": 2.0})
    state = resnet20_state().model_copy(update={"rooflines": with_roofline(known, newer)})
    assert roofline_of(state) == newer
    assert roofline_of(state, LatencySetting(threads=2)) == other
    assert roofline_of(state, LatencySetting(device="pi")) is None
    moved = SetModel(ModelReference(path="/other.onnx", sha256="b" * 64)).apply(state)
    assert moved.rooflines == ()


@pytest.mark.slow
def test_a_worker_measures_it(
    real_window: Callable[[], MainWindow],
    small_cnn: ModelGraph,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_cnn.to_bytes())
    window = real_window()
    window.open_file(path)
    session = window.session
    qtbot.waitUntil(lambda: session.state.inspect is not None, timeout=JOB_MS)
    session.selection.set_layers(("Conv_0",))
    tabs = window.panels["inspector"].tabs
    tabs.tabs.setCurrentIndex(ROOFLINE)
    tabs.roofline.measure.click()
    qtbot.waitUntil(lambda: roofline_of(session.state) is not None, timeout=JOB_MS)
    qtbot.waitUntil(lambda: tabs.roofline.plot is not None and tabs.roofline.plot.isVisible(), timeout=JOB_MS)
    report = roofline_of(session.state)
    assert [entry.layer for entry in report.layers] == ["Conv_0", "Conv_2", "Gemm_7"]
