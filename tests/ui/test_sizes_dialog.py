"""Open sizes in the window: said when a model is opened, set in a dialog, kept by the project, taken back by undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from tests.fakes.projects import resnet20_state
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.data_reports import DataPreview
from workbench.domain.errors import OpenDimensionsError, UnsupportedGraphError
from workbench.domain.reports import TensorReport
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.project.document import Document
from workbench.project.state import Change
from workbench.ui.main_window import MainWindow
from workbench.ui.models.candidate_table import resolve_candidates
from workbench.ui.sizes_dialog import SizesDialog

WAIT_MS = 60_000
OPEN = (TensorReport(name="image", dtype="float32", shape=("batch", 3, "height", "width")),)


def dialog_of(window: MainWindow) -> SizesDialog:
    (dialog,) = [child for child in window.findChildren(SizesDialog) if child.isVisible()]
    return dialog


def set_by_remedy(window: MainWindow, qtbot: Any) -> SizesDialog:
    """Click the banner's button and return the dialog."""

    def shown() -> list[QPushButton]:
        return [b for b in window.banner.findChildren(QPushButton) if b.text() == "Set sizes…" and b.isVisible()]

    qtbot.waitUntil(lambda: len(shown()) == 1)
    qtbot.mouseClick(shown()[0], Qt.MouseButton.LeftButton)
    return dialog_of(window)


def set_number(qtbot: Any, spin: Any, value: int) -> None:
    spin.setFocus()
    spin.selectAll()
    qtbot.keyClicks(spin, str(value))


@pytest.fixture
def open_desk(desk: Callable[..., Any], qtbot: Any) -> Any:
    """A window on a project whose model takes pictures of any size."""
    made = desk()
    state = made.session.state
    inspect = state.inspect.model_copy(update={"inputs": OPEN})
    made.session.document.record(Change.MODEL, inspect=inspect)
    return made


def test_a_model_of_open_sizes_says_so_and_offers_to_set_them(open_desk: Any, qtbot: Any) -> None:
    window = open_desk.window
    notice = window.banner.notices[-1]
    assert notice.title == "The model leaves sizes open: height, width"
    assert notice.kind == "warning"
    dialog = set_by_remedy(window, qtbot)
    assert {key: spin.value() for key, spin in dialog.spins.items()} == {"batch": 1, "height": 224, "width": 224}
    assert dialog.sources["batch"].text() == "for latency"
    dialog.reject()


def test_it_is_said_once_and_not_again_after_it_was_dismissed(open_desk: Any) -> None:
    window, document = open_desk.window, open_desk.session.document
    window.banner.dismiss()
    document.record(Change.MODEL, inspect=open_desk.session.state.inspect.model_copy(update={"notes": ("new",)}))
    assert window.banner.notices == ()


def test_the_menu_says_why_there_is_nothing_to_set(desk: Callable[..., Any]) -> None:
    full, empty = desk(), desk(empty=True, folder="two")
    assert full.window.actions_.why_not("model.sizes") == "All sizes of this model are fixed"
    assert empty.window.actions_.why_not("model.sizes") == "Open a model first"


def test_the_data_suggests_sizes_but_not_over_what_was_typed(open_desk: Any, qtbot: Any) -> None:
    window, runner = open_desk.window, open_desk.runner
    window.actions_.trigger("model.sizes")
    dialog = dialog_of(window)
    assert runner.specs[runner.last("preview_data")].model is None
    set_number(qtbot, dialog.spins["height"], 64)
    runner.finish(runner.last("preview_data"), DataPreview(input_shape=(3, 480, 640)).model_dump(mode="json"))
    qtbot.waitUntil(lambda: dialog.spins["width"].value() == 640)
    assert dialog.sources["width"].text() == "from the data"
    assert dialog.spins["height"].value() == 64
    dialog.reject()


def test_sizes_are_set_as_one_step_and_taken_back(open_desk: Any, qtbot: Any) -> None:
    window, session, runner = open_desk.window, open_desk.session, open_desk.runner
    before = session.state
    assert before.baseline_latency is not None
    window.actions_.trigger("model.sizes")
    dialog = dialog_of(window)
    set_number(qtbot, dialog.spins["height"], 64)
    set_number(qtbot, dialog.spins["width"], 96)
    set_number(qtbot, dialog.spins["batch"], 2)
    dialog.go.click()
    assert not dialog.go.isEnabled()
    assert dialog.busy.isVisible()
    assert session.state is before, "nothing changes before the sizes turned out to fit"
    job = runner.last("inspect")
    assert runner.specs[job].dimensions == {"height": 64, "width": 96}
    bigger = before.inspect.model.model_copy(update={"macs": 2 * before.inspect.model.macs})
    report = before.inspect.model_copy(update={"model": bigger})
    runner.finish(job, report.model_dump(mode="json"))
    qtbot.waitUntil(lambda: session.state.dimensions == {"height": 64, "width": 96})
    assert (session.state.inspect, session.state.baseline_latency) == (report, None)
    assert session.state.latency.batch == 2
    assert session.state.baseline == before.baseline
    assert window.banner.notices == ()
    # Candidates that were measured at other sizes no longer compare.
    state = session.state.model_copy(update={"latency": before.latency})
    assert {row.stale for row in resolve_candidates(state).rows if not row.is_baseline} >= {
        "Measured at other sizes of the model's dimensions"
    }
    window.actions_.trigger("edit.undo")
    assert session.state == before
    assert window.banner.notices[-1].title.startswith("The model leaves sizes open")
    window.actions_.trigger("edit.redo")
    assert session.state.dimensions == {"height": 64, "width": 96}
    assert session.state.inspect == report


def test_sizes_that_do_not_fit_are_told_in_the_dialog(open_desk: Any, qtbot: Any) -> None:
    window, runner, before = open_desk.window, open_desk.runner, open_desk.session.state
    window.actions_.trigger("model.sizes")
    dialog = dialog_of(window)
    dialog.go.click()
    runner.fail(runner.last("inspect"), UnsupportedGraphError("the shapes contradict each other at node 'add'"))
    qtbot.waitUntil(dialog.problem.isVisible)
    assert "node 'add'" in dialog.problem.text()
    assert dialog.go.isEnabled()
    assert open_desk.session.state == before
    dialog.reject()


def test_a_job_that_needs_sizes_leads_to_the_dialog(open_desk: Any, qtbot: Any) -> None:
    window, session, runner = open_desk.window, open_desk.session, open_desk.runner
    window.banner.dismiss()
    session.profile_baseline()
    error = OpenDimensionsError(
        "the model has dynamic dimensions without a value: height, width",
        where="model.onnx",
        action="Give each a size, for example --dimension height=224.",
    )
    runner.fail(runner.last("profile"), error)
    qtbot.waitUntil(lambda: bool(window.banner.notices))
    notice = window.banner.notices[-1]
    assert notice.kind == "error"
    assert "height, width" in notice.title
    assert "--dimension" not in notice.text
    set_by_remedy(window, qtbot).reject()


def test_a_project_opened_again_is_described_at_its_sizes(desk: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    model = tmp_path / "resnet20.onnx"
    model.write_bytes(b"")
    state = resnet20_state()
    inspect = state.inspect.model_copy(update={"inputs": OPEN})
    reference = state.model.model_copy(update={"path": str(model)})
    sizes = {"height": 64, "width": 96}
    update = {"inspect": inspect, "dimensions": sizes, "model": reference, "data": None}
    Document.create(tmp_path / "kept.mcw", state.model_copy(update=update)).close()
    made = desk(empty=True)
    made.window.open_file(tmp_path / "kept.mcw")
    first = made.runner.last("inspect")
    bare = inspect.model_copy(update={"model": inspect.model.model_copy(update={"macs": 0})})
    made.runner.finish(first, bare.model_dump(mode="json"))
    qtbot.waitUntil(lambda: made.runner.last("inspect") != first)
    again = made.runner.last("inspect")
    assert made.runner.specs[again].dimensions == sizes
    made.runner.finish(again, inspect.model_copy(update={"notes": ("newer",)}).model_dump(mode="json"))
    qtbot.waitUntil(lambda: made.session.state.inspect.notes == ("newer",))
    assert made.session.state.inspect.model.macs == inspect.model.macs


# --- with a real worker ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_an_opened_model_to_a_measured_latency(
    real_window: Callable[[], MainWindow], graph_from: Callable[..., ModelGraph], tmp_path: Path, qtbot: Any
) -> None:
    text = """<ir_version: 9, opset_import: ["" : 17]>
    net (float[batch,3,height,width] x) => (float[batch,2,height,width] y) {
        c = Conv <pads = [1,1,1,1]> (x, w1)
        y = Relu (c)
    }"""
    weights = {"w1": np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)}
    save_model(graph_from(text, weights), tmp_path / "open.onnx")
    np.savez(tmp_path / "pictures.npz", images=np.zeros((4, 10, 12, 3), np.uint8))
    window = real_window()
    session = window.session
    window.open_file(tmp_path / "open.onnx")
    qtbot.waitUntil(lambda: session.state.inspect is not None and bool(window.banner.notices), timeout=WAIT_MS)
    assert session.state.inspect.model.macs == 0
    description = DataDescription(
        task="outputs",
        metric="sqnr",
        test=Split(reader="npz", path="pictures.npz", inputs="images"),
        preprocess={"scale": 255, "layout": "NHWC->NCHW"},
    )
    session.open_data(description, tmp_path)
    qtbot.waitUntil(lambda: session.state.baseline is not None, timeout=WAIT_MS)
    window.actions_.trigger("analyse.latency")
    qtbot.waitUntil(lambda: window.banner.notices[-1].kind == "error", timeout=WAIT_MS)
    dialog = set_by_remedy(window, qtbot)
    qtbot.waitUntil(lambda: dialog.sources["width"].text() == "from the data", timeout=WAIT_MS)
    assert {key: spin.value() for key, spin in dialog.spins.items()} == {"batch": 1, "height": 10, "width": 12}
    qtbot.keyClick(dialog.spins["width"], Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.state.dimensions == {"height": 10, "width": 12}, timeout=WAIT_MS)
    assert session.state.inspect.model.macs == 2 * 3 * 9 * 120
    assert session.state.baseline is not None
    window.actions_.trigger("analyse.latency")
    qtbot.waitUntil(lambda: session.state.baseline_latency is not None, timeout=WAIT_MS)
    assert window.banner.notices == ()
