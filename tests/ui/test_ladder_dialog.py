"""The truth ladder's dialog: empty, at work, filled, and what its rows lead to."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QGuiApplication

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.data_description import DataDescription
from workbench.domain.ladder import Agreement, LadderReport, Rung, ValueAgreement
from workbench.domain.measurements import MetricMeasurement
from workbench.jobs.specs import LadderJob
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.comparison import compare_candidates
from workbench.ui.panels.ladder_dialog import LadderDialog
from workbench.ui.session import Session
from workbench.ui.theme import Theme

METRIC = MetricMeasurement(metric="top1", value=0.9, samples=1000, ci95=(0.88, 0.92))


def ladder(**changes: object) -> LadderReport:
    """Two values, of which the second parts."""
    values = (
        ValueAgreement(
            value="a", node="layers.0.conv", op="Conv", steps=True,
            literal=Agreement(sqnr_db=200.0, max_error=0.0), deployed=Agreement(sqnr_db=61.25, max_error=1.0),
        ),
        ValueAgreement(
            value="b", node="layers.1.conv", op="Conv", steps=True,
            literal=Agreement(sqnr_db=55.0, max_error=1.0), deployed=Agreement(sqnr_db=12.5, max_error=37.0),
        ),
    )  # fmt: skip
    report = LadderReport(
        path="c.onnx",
        sha256="0",
        rungs=(
            Rung(name="simulated", metric=METRIC),
            Rung(name="literal", metric=METRIC),
            Rung(name="deployed", metric=METRIC.model_copy(update={"value": 0.5, "ci95": (0.47, 0.53)})),
        ),
        values=values,
        compared_samples=64,
        parts_below_db=30.0,
        parts_deployed="layers.1.conv",
    )
    return report.model_copy(update=changes)


@pytest.fixture
def session(qtbot, tmp_path):
    bridge = JobsBridge(FakeRunner)
    state = resnet20_state()
    file = tmp_path / "c.onnx"
    file.write_bytes(b"model")
    data = DataDescription.model_validate(
        {"task": "classification", "metric": "top1", "test": {"reader": "npz", "path": "x.npz"}}
    )
    first = state.candidates[0]
    report = first.report.model_copy(
        update={"candidate": first.report.candidate.model_copy(update={"path": str(file)})}
    )
    changed = first.model_copy(update={"report": report, "recipe": first.recipe.model_copy(update={"data": data})})
    made = Session(
        Document(state.model_copy(update={"candidates": (changed, *state.candidates[1:])})),
        bridge, Theme("light"), tmp_path,
    )  # fmt: skip
    made.methods = methods()
    yield made
    bridge.close()


@pytest.fixture
def dialog(qtbot, session):
    made = LadderDialog(session, session.state.candidates[0].id)
    qtbot.addWidget(made)
    made.show()
    return made


def test_it_says_what_is_missing_then_checks_and_shows_it(qtbot, session, dialog):
    assert "Not checked yet" in dialog.verdict.text()
    assert not dialog.busy.isVisible()
    dialog.check.click()
    assert dialog.busy.isVisible()
    assert not dialog.check.isEnabled()
    runner = session.jobs._runner
    job = runner.last("ladder")
    spec = session.jobs.spec(job)
    assert isinstance(spec, LadderJob)
    assert spec.model_sha256 == session.state.candidates[0].artifact
    runner.finish(job, ladder().model_dump(mode="json"))
    qtbot.waitUntil(lambda: dialog.report is not None and dialog.check.isEnabled())
    assert dialog.tree.topLevelItemCount() == 2
    cells = [dialog.tree.topLevelItem(0).text(column) for column in (2, 4, 5)]
    assert cells == ["identical", "61.2", "1\N{NO-BREAK SPACE}LSB"]
    assert "ONNX Runtime, as deployed parts from the execution before it at node layers.1.conv" in dialog.verdict.text()
    assert dialog.tree.topLevelItem(1).font(0).bold()
    assert not dialog.tree.topLevelItem(0).font(0).bold()
    assert not dialog.busy.isVisible()


def test_a_row_leads_to_its_node_and_all_can_be_copied(session, dialog):
    keep(session)
    dialog.tree.itemDoubleClicked.emit(dialog.tree.topLevelItem(1), 0)
    assert session.selection.current == "layers.1.conv"
    dialog.copy.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 3
    assert lines[2].endswith("12.5,37.0,steps")


def test_the_comparison_tells_it_too(session):
    keep(session)
    sections = {section.title: section for section in compare_candidates(session.state, ("c1",)).sections}
    rows = {row.title: row.cells for row in sections["Truth ladder"].rows}
    assert rows["Simulated in torch"][1].startswith("90")
    assert rows["ONNX Runtime, as deployed"][1].startswith("50")
    assert "layers.1.conv" in rows["Verdict"][1]


def test_a_check_that_fails_gives_the_button_back(qtbot, session, dialog):
    from workbench.domain.errors import DataError

    dialog.check.click()
    with qtbot.waitSignal(session.failed):
        session.jobs._runner.fail(session.jobs._runner.last("ladder"), DataError("the samples are gone"))
    qtbot.waitUntil(dialog.check.isEnabled)
    assert "Not checked yet" in dialog.verdict.text()


def keep(session: Session) -> None:
    """Store a ladder with the first candidate, as an arriving job does."""
    from workbench.project.state import Change

    first, *rest = session.state.candidates
    session.document.record(Change.CANDIDATES, candidates=(first.model_copy(update={"ladder": ladder()}), *rest))
