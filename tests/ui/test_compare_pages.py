"""The comparison's pages: asked of a worker, filled, filtered, sorted, exported, and kept for the next time."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

import pytest
from PySide6.QtCore import QBuffer, QIODevice, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage

from workbench.domain.comparison_reports import (
    ClassComparison,
    ClassFigure,
    ComparedModel,
    ComparedSample,
    ComparisonReport,
    LayerError,
)
from workbench.domain.ladder import IDENTICAL_DB
from workbench.domain.measurements import (
    DeviceDescription,
    Latency,
    LatencyReport,
    MetricMeasurement,
    ModelLatency,
    Noise,
    OperatorTime,
    PairedDifference,
    Ratio,
)
from workbench.jobs.specs import CompareJob, ProfileJob
from workbench.project.commands import EditCandidate
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.comparisons import comparisons_of
from workbench.ui.panels.compare import ComparePanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme

METRIC = MetricMeasurement(metric="top1", value=0.9, samples=300, ci95=(0.88, 0.92))
CLASSES = ("cat", "dog", "ship")


def picture() -> str:
    image = QImage(8, 8, QImage.Format.Format_RGB32)
    image.fill(QColor("#3060a0"))
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return base64.b64encode(bytes(buffer.data().data())).decode()


def comparison(models: int = 3, **changes: object) -> ComparisonReport:
    """Two candidates on three classes; the first loses the dogs."""
    others = models - 1

    def figures(lost: int) -> tuple[ClassFigure, ...]:
        first = ClassFigure(value=0.9, ci95=(0.86, 0.93))
        change = PairedDifference(
            value=-lost / 100, ci95=(-lost / 100 - 0.03, -lost / 100 + 0.03), p_value=0.1,
            only_original_correct=lost + 1, only_candidate_correct=1,
        )  # fmt: skip
        return (
            first,
            *(ClassFigure(value=0.9 - lost / 100, ci95=(0.8, 0.9), difference=change) for _ in range(others)),
        )

    def sample(index: int, after: str, verdict: str, moved: float, *, shown: bool = True) -> ComparedSample:
        before = "cat" if verdict == "worse" else "dog"
        return ComparedSample(
            index=index, label="cat", predictions=(before, *[after] * others), verdicts=(verdict,) * others,
            moved=(moved,) * others, image_png_base64=picture() if shown else None,
        )  # fmt: skip

    report = ComparisonReport(
        task="classification",
        metric="top1",
        samples=300,
        models=(
            ComparedModel(path="o.onnx", sha256="0", metric=METRIC),
            *(
                ComparedModel(path=f"{n}.onnx", sha256=str(n), metric=METRIC, changed=4, worse=2, better=1, other=1)
                for n in range(others)
            ),
        ),
        classes=tuple(
            ClassComparison(name=name, samples=100, figures=figures(lost))
            for name, lost in zip(CLASSES, (1, 12, 0), strict=True)
        ),
        changed=(
            sample(7, "dog", "worse", 1.5),
            sample(3, "cat", "better", 4.0),
            sample(9, "ship", "other", 0.5),
            sample(11, "ship", "worse", 0.2, shown=False),
        ),
        changed_total=4,
        layers=(
            LayerError(layer="conv1", sqnr_db=(IDENTICAL_DB,) * others),
            LayerError(layer="layer1.0.conv1", sqnr_db=(11.25,) * others),
            LayerError(layer="layer1.0.conv2", sqnr_db=(None,) * others),
        ),
        layer_samples=64,
    )
    return report.model_copy(update=changes)


def times(models: int = 3) -> LatencyReport:
    def model(number: int) -> ModelLatency:
        return ModelLatency(
            path=f"{number}.onnx",
            batch=1,
            latency_ms=Latency(median=1.0, p90=1.1, ci95=(0.9, 1.1)),
            runs=100,
            size_bytes=1000,
            ratio_to_first=Ratio(median=1.0, ci95=(0.9, 1.1)),
            operators=(
                OperatorTime(node="a", layer="conv1", op="Conv", median_ms=0.5 / (number + 1), share=0.5),
                OperatorTime(node="b", layer=None, op="QuantizeLinear", median_ms=0.25, share=0.25),
            ),
        )

    return LatencyReport(
        device=DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p"),
        models=tuple(model(number) for number in range(models)),
        noise=Noise(quiet=True, drift_ratio=0.0),
    )


@pytest.fixture
def session(session: Session, tmp_path: Path) -> Session:
    """With files behind the candidates."""
    candidates = []
    for entry in session.state.candidates:
        file = tmp_path / f"{entry.id}.onnx"
        file.write_bytes(b"model")
        made = entry.report.candidate.model_copy(update={"path": str(file)})
        candidates.append(entry.model_copy(update={"report": entry.report.model_copy(update={"candidate": made})}))
    session.set_document(Document(session.state.model_copy(update={"candidates": tuple(candidates)})))
    return session


@pytest.fixture
def panel(qtbot, session: Session) -> ComparePanel:
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(900, 500)
    made.show()
    made.set_candidates(("c1", "c5"))
    return made


def fill(qtbot, session: Session, panel: ComparePanel, report: ComparisonReport) -> None:
    comparisons_of(session).compare(("c1", "c5"))
    runner = session.jobs._runner
    runner.finish(runner.last("compare"), report.model_dump(mode="json"))
    qtbot.waitUntil(lambda: comparisons_of(session).report(("c1", "c5")) is not None)


def test_a_page_asks_shows_progress_can_be_cancelled_and_fills(qtbot, session, panel) -> None:
    panel.show_tab("Classes")
    empty = panel.classes.pages.empty
    assert empty.button.text() == "Compare on the data"
    empty.button.click()
    runner = session.jobs._runner
    job = runner.last("compare")
    spec = session.jobs.spec(job)
    assert isinstance(spec, CompareJob)
    assert len(spec.models) == len(spec.model_sha256s) == 3
    runner.start(job)
    runner.progress(job, 0.5, "150 of 300 samples")
    qtbot.waitUntil(lambda: "150 of 300" in empty.message)
    assert empty.button.text() == "Cancel"
    empty.button.click()
    assert runner.cancelled == [job]
    runner.confirm_cancel(job)
    qtbot.waitUntil(lambda: empty.button.text() == "Compare on the data")
    fill(qtbot, session, panel, comparison())
    assert panel.classes.view.proxy.rowCount() == 3


def test_classes_are_sorted_by_what_they_lose(qtbot, session, panel) -> None:
    fill(qtbot, session, panel, comparison())
    panel.show_tab("Classes")
    view = panel.classes.view
    heads = [column.heading for column in view.figures.table.columns]
    assert heads == [
        "Class", "Samples", "Original, %", "W8A8, %", "W8A8, change, pt", "Third off, W8A8, %",
        "Third off, W8A8, change, pt",
    ]  # fmt: skip
    assert [view.proxy.index(row, 0).data() for row in range(3)] == list(CLASSES)
    view.horizontalHeader().sectionClicked.emit(4)
    assert [view.proxy.index(row, 0).data() for row in range(3)] == ["dog", "cat", "ship"]
    assert view.proxy.index(0, 4).data(Qt.ItemDataRole.FontRole).bold()
    assert view.proxy.index(0, 4).data(Qt.ItemDataRole.ToolTipRole) == "13 lost, 1 won"
    assert "1 class worse beyond noise, most dog" in panel.classes.said.text()
    panel.copy()
    rows = list(csv.reader(io.StringIO(QGuiApplication.clipboard().text())))
    assert rows[2][:4] == ["dog", "100.0", "0.9", "0.78"]


def test_samples_are_filtered_by_verdict(qtbot, session, panel) -> None:
    fill(qtbot, session, panel, comparison())
    panel.show_tab("Samples")
    page = panel.samples
    assert [page.grid.item(row).text() for row in range(page.grid.count())] == [
        "✗ dog\n✓ cat", "✓ cat\n✗ dog", "✗ dog → ship\nlabel cat",
    ]  # fmt: skip
    assert page.filters["worse"].text() == "Worse  2"
    assert "3 of 4 samples" in page.said.text()
    page.filters["worse"].click()
    assert [page.grid.item(row).text() for row in range(page.grid.count())] == ["✓ cat\n✗ dog"]
    assert not page.grid.item(0).icon().isNull()
    page.filters["better"].click()
    assert "Sample 3" in page.grid.item(0).toolTip()
    rows = list(csv.reader(io.StringIO(panel.csv())))
    assert len(rows) == 5


def test_where_nothing_is_predicted_it_says_how_far_outputs_moved(qtbot, session, panel) -> None:
    samples = (
        ComparedSample(index=4, moved=(0.12, 0.01), image_png_base64=picture()),
        ComparedSample(index=5, moved=(0.02, 0.5), image_png_base64=picture()),
    )
    report = comparison(task="outputs", classes=(), no_classes="There are no classes in this task.", changed=samples)
    fill(qtbot, session, panel, report)
    panel.show_tab("Classes")
    assert "no classes" in panel.classes.pages.empty.message
    assert not panel.classes.pages.empty.button.isVisible()
    panel.show_tab("Samples")
    assert [panel.samples.filters[name].isVisible() for name in ("all", "worse")] == [True, False]
    assert panel.samples.grid.item(0).text() == "Sample 4\nmoved 12.0 %"
    panel.samples.candidate.setCurrentIndex(1)
    panel.samples.candidate.activated.emit(1)
    assert panel.samples.grid.item(0).text().startswith("Sample 5")


def test_layers_show_time_and_error_and_share_the_selection(qtbot, session, panel) -> None:
    panel.show_tab("Layers")
    page = panel.layers
    assert "times and errors" in page.hint.text()
    page.time.click()
    runner = session.jobs._runner
    job = runner.last("profile")
    spec = session.jobs.spec(job)
    assert isinstance(spec, ProfileJob)
    assert spec.operators
    assert not page.time.isEnabled()
    runner.finish(job, times().model_dump(mode="json"))
    qtbot.waitUntil(lambda: not page.time.isVisible())
    fill(qtbot, session, panel, comparison())
    assert not page.errors.isVisible()
    view = page.view
    assert [view.proxy.index(0, column).data() for column in (1, 2, 4)] == ["0.5000", "0.2500", "identical"]
    assert view.proxy.index(0, 2).data(Qt.ItemDataRole.ToolTipRole) == "0.50 of the original's time"
    last = view.proxy.rowCount() - 1
    assert view.proxy.index(last, 0).data() == "QuantizeLinear, conversions between types"
    view.selectRow(1)
    assert session.selection.layers == ("layer1.0.conv1",)
    session.selection.set_layers(("conv1",))
    assert [index.row() for index in view.selectionModel().selectedRows()] == [0]


def test_all_leaves_as_json_and_is_there_again_after_reopening(qtbot, session, panel, tmp_path, qapp) -> None:
    fill(qtbot, session, panel, comparison())
    panel.export(tmp_path / "all.json")
    assert ComparisonReport.model_validate_json((tmp_path / "all.json").read_bytes()) == comparison()
    from tests.fakes.runner import FakeRunner

    bridge = JobsBridge(FakeRunner)
    later = Session(Document(session.state), bridge, Theme("light"), session.scratch)
    assert comparisons_of(later).report(("c1", "c5")) == comparison()
    later.do(EditCandidate("c1", name="Renamed"))
    assert comparisons_of(later).report(("c1", "c5")) == comparison()
    assert comparisons_of(later).report(("c1",)) is None
    for path in (session.scratch / "comparisons").iterdir():
        path.write_text("{")
    again = Session(Document(session.state), JobsBridge(FakeRunner), Theme("light"), session.scratch)
    assert comparisons_of(again).report(("c1", "c5")) is None
    bridge.close()


def test_a_file_that_is_gone_is_said(session, panel) -> None:
    Path(session.state.candidate("c1").report.candidate.path).unlink()
    said = []
    session.failed.connect(said.append)
    comparisons_of(session).compare(("c1", "c5"))
    assert "The file of W8A8 is gone" in str(said[0])
