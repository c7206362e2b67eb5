"""Choosing among candidates: any measures as axes, parallel axes, filters, tags, and points that a search foretells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QMenu

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.search_reports import Estimate, Foretold, Outlook, Promise
from workbench.domain.study import Study
from workbench.jobs.specs import SearchJob
from workbench.project.document import Document
from workbench.project.state import ProjectState
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.candidate_filter import Bound, CandidateFilter, tags_of
from workbench.ui.models.candidate_model import COLUMNS
from workbench.ui.models.candidate_table import resolve_candidates
from workbench.ui.models.foretold_points import foretold_ghosts
from workbench.ui.models.measures import AXES, DROP, METRIC
from workbench.ui.models.parallel_scene import nice_ticks, resolve_parallel
from workbench.ui.models.pareto_scene import Budget, budget_text, resolve_scene, within
from workbench.ui.panels.pareto import ParetoPanel
from workbench.ui.search import search_of
from workbench.ui.session import Session
from workbench.ui.theme import Theme

AXIS = {axis.key: axis for axis in (METRIC, DROP, *AXES)}


def counted_state() -> ProjectState:
    """The project, with bit operations and memory of its candidates."""
    state = resnet20_state()
    candidates = []
    for number, entry in enumerate(state.candidates, 1):
        report = entry.report
        assert report.latency is not None
        latency = report.latency.model_copy(update={"peak_memory_bytes": 1_000_000 + 100_000 * number})
        file = report.candidate.model_copy(update={"bit_operations": 64.0 * report.candidate.macs})
        model = report.model.model_copy(update={"bit_operations": 1024.0 * report.model.macs})
        made = report.model_copy(update={"latency": latency, "candidate": file, "model": model})
        candidates.append(entry.model_copy(update={"report": made}))
    return state.model_copy(update={"candidates": tuple(candidates)})


@pytest.fixture
def session(qapp: QApplication, tmp_path: Path) -> Iterator[Session]:
    bridge = JobsBridge(FakeRunner)
    made = Session(Document(counted_state()), bridge, Theme("light"), tmp_path)
    made.methods = methods()
    yield made
    bridge.close()


@pytest.fixture
def panel(qtbot: Any, session: Session) -> ParetoPanel:
    made = ParetoPanel(session)
    qtbot.addWidget(made)
    made.resize(1000, 640)
    with qtbot.waitExposed(made):
        made.show()
    QApplication.processEvents()
    return made


def shown(panel: ParetoPanel) -> set[str]:
    """Ids of the rows of the table."""
    proxy = panel.view.proxy
    return {panel.view.candidates.row(proxy.mapToSource(proxy.index(row, 0))).id for row in range(proxy.rowCount())}


def entry(menu: QMenu, text: str) -> QAction:
    return next(action for action in menu.actions() if action.text() == text)


# --- measures ---------------------------------------------------------------------------------------------------


def test_any_two_measures_have_a_front_whichever_way_is_better() -> None:
    table = resolve_candidates(counted_state())
    scene = resolve_scene(table, AXIS["size"], score=AXIS["ratio"])
    best = {mark.id for mark in scene.marks if mark.kind == "front"}
    assert best == {"c6"}
    assert scene.y_label.startswith("Latency, ratio")
    upright = resolve_scene(table, AXIS["metric"], score=AXIS["size"])
    usual = resolve_scene(table, AXIS["size"])
    assert {m.id for m in upright.marks if m.kind == "front"} == {m.id for m in usual.marks if m.kind == "front"}
    assert sorted(upright.step[0]) == sorted(usual.step[1])
    drop = resolve_scene(table, AXIS["memory"], score=DROP)
    values = {mark.id: (mark.x, mark.y) for mark in drop.marks}
    assert values["c2"] == (pytest.approx(1.2), pytest.approx(-2.06))
    assert "" not in values
    assert table.row("c1").value("bitops") == pytest.approx(64 * 40_551_040 / 1e9)  # type: ignore[union-attr]


def test_budgets_bind_on_any_axes() -> None:
    table = resolve_candidates(counted_state())
    budget = Budget(cost=89.0, score=0.2)
    kept = within(table, AXIS["metric"], budget, AXIS["size"])
    assert [row.id for row in kept] == ["c5", "c2"]
    text = budget_text(table, AXIS["metric"], budget, AXIS["size"])
    assert text.startswith("File size ≤ 0.2 MB and top-1 accuracy ≥ 89.00 %: 2 of 6 candidates, most top-1 accuracy:")


def test_axes_are_chosen_and_those_without_figures_say_why(qtbot: Any, session: Session, panel: ParetoPanel) -> None:
    panel.axis.choose(AXIS["bitops"])
    panel.score.choose(DROP)
    assert panel.scene.x_label == "Bit operations, G"
    assert panel.scene.y_label == "Change of top-1 accuracy, pt"
    model = panel.axis.model()
    names = {panel.axis.itemText(row): row for row in range(panel.axis.count())}
    packed = model.index(names["Against packed size"], 0)
    assert not model.flags(packed) & Qt.ItemFlag.ItemIsEnabled
    assert "wider than their bits" in packed.data(Qt.ItemDataRole.ToolTipRole)
    same = model.index(names["Against change of top-1 accuracy"], 0)
    assert not model.flags(same) & Qt.ItemFlag.ItemIsEnabled
    assert not panel.view.isColumnHidden(COLUMNS.index("bitops"))
    session.set_document(Document(resnet20_state()))
    assert panel.view.isColumnHidden(COLUMNS.index("bitops"))


# --- filters ----------------------------------------------------------------------------------------------------


def test_words_tags_and_stars_are_found(panel: ParetoPanel, session: Session) -> None:
    panel._edited("c1", "tags", "#fast, int8 fast")
    assert session.state.candidate("c1").tags == ("fast", "int8")
    entry(panel.candidate_menu(("c3",)), "Star").trigger()
    for text, ids in (
        ("w8a8", {"c1", "c4", "c5"}),
        ("half w8", {"c4"}),
        ("#fa", {"c1"}),
        ("starred", {"c3"}),
        ("prune.l1 third", {"c5"}),
        ("nothing like it", set()),
    ):
        panel.find_field.setText(text)
        assert shown(panel) == ids | {""}
        assert panel.plot.marks.dimmed == panel.parallel.dimmed == {"c1", "c2", "c3", "c4", "c5", "c6"} - ids
        assert panel.hint.text().startswith(f"{len(ids)} of 6 candidates")
    panel.act.click()
    assert panel.find_field.text() == ""
    assert len(shown(panel)) == 7


def test_a_dragged_budget_line_filters_the_table_and_greys_the_plot(panel: ParetoPanel) -> None:
    panel.budget.setChecked(True)
    panel.plot._lines["score"].setValue(90.0)
    panel.plot._lines["cost"].setValue(0.5)
    panel.plot._lines["cost"].sigDragged.emit(panel.plot._lines["cost"])
    assert shown(panel) == {"", "c1", "c5"}
    assert panel.plot.marks.dimmed == {"c2", "c3", "c4", "c6"}
    panel.budget.setChecked(False)
    assert len(shown(panel)) == 7
    assert not panel.plot.marks.dimmed


def test_tags_are_edited_ticked_and_undone(qtbot: Any, panel: ParetoPanel, session: Session) -> None:
    model = panel.view.candidates
    assert model.setData(model.index(1, COLUMNS.index("tags")), "#edge, shipped")
    assert model.index(1, COLUMNS.index("tags")).data() == "#edge #shipped"
    tags = entry(panel.candidate_menu(("c2", "c3")), "Tags").menu()
    assert [action.text() for action in tags.actions() if action.text()] == ["#edge", "#shipped", "Edit tags…"]
    assert not entry(tags, "#edge").isChecked()
    entry(tags, "#edge").trigger()
    assert [session.state.candidate(id).tags for id in ("c2", "c3")] == [("edge",), ("edge",)]
    assert session.document.undo_title == "Tag 2 candidates #edge"
    session.document.undo()
    assert session.state.candidate("c2").tags == ()
    assert tags_of(" #a,b  ,, #a # ") == ("a", "b")


# --- parallel axes ----------------------------------------------------------------------------------------------


def test_the_best_is_always_at_the_top() -> None:
    table = resolve_candidates(counted_state())
    scene = resolve_parallel(table, table.on_front("ratio"))
    axes = {axis.key: axis for axis in scene.axes}
    assert tuple(axes) == ("metric", "ratio", "size", "macs", "params", "memory", "bitops")
    assert axes["metric"].height(axes["metric"].high) == 1
    assert axes["ratio"].height(axes["ratio"].low) == 1
    assert axes["ratio"].value(axes["ratio"].height(0.7)) == pytest.approx(0.7)
    assert (axes["metric"].direction, axes["ratio"].direction) == ("↑ higher is better", "↓ lower is better")
    assert scene.lines[-1].id == ""
    assert scene.lines[-1].values[5] is None  # the original's memory was not measured
    assert nice_ticks(0.31, 1.0) == pytest.approx((0.4, 0.6, 0.8, 1.0))


def test_lines_are_picked_hovered_and_bounded(qtbot: Any, session: Session, panel: ParetoPanel) -> None:
    panel.show_parallel(True)
    plot = panel.parallel
    assert plot.isVisible()
    assert not panel.axis.isVisible()
    line = next(line for line in plot.scene.lines if line.id == "c6")
    axes = plot.scene.axes
    one = QPointF(plot.axis_x(0), plot.y_of(axes[0].height(line.values[0])))
    other = QPointF(plot.axis_x(1), plot.y_of(axes[1].height(line.values[1])))
    between = (one * 0.8 + other * 0.2).toPoint()
    qtbot.mouseMove(plot, between)
    assert plot.hovered == "c6"
    assert "Three quarters off" in plot.hover_text
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=between)
    assert session.selection.candidate == "c6"
    assert panel.view.chosen() == ("c6",)

    x = round(plot.axis_x(1))
    top, bottom = (round(plot.y_of(axes[1].height(value))) for value in (0.31, 0.5))
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=QPoint(x, top - 4))
    qtbot.mouseMove(plot, QPoint(x, (top + bottom) // 2))
    qtbot.mouseMove(plot, QPoint(x, bottom))
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=QPoint(x, bottom))
    bound = panel.looked_for.bound("ratio")
    assert bound is not None
    assert bound.low is None
    assert bound.high == pytest.approx(0.5, abs=0.01)
    assert shown(panel) == {"", "c1", "c2", "c4", "c5", "c6"}
    assert plot.dimmed == panel.plot.marks.dimmed == {"c3"}
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(x, bottom + 8))
    assert panel.looked_for.bounds == ()
    assert len(shown(panel)) == 7


def test_a_bound_leaves_out_what_has_no_figure() -> None:
    table = resolve_candidates(resnet20_state())
    assert CandidateFilter(bounds=(Bound("memory", high=5.0),)).left_out(table) == {"c1", "c2", "c3", "c4", "c5", "c6"}
    kept = CandidateFilter().with_bound(Bound("ratio", high=0.4)).with_bound(Bound("ratio", high=0.5))
    assert len(kept.bounds) == 1
    assert not kept.with_bound(Bound("ratio")).active


def test_parallel_axes_leave_as_picture(panel: ParetoPanel, tmp_path: Path) -> None:
    panel.show_parallel(True)
    panel.export(tmp_path / "p.svg")
    panel.export(tmp_path / "p.csv")
    assert "<svg" in (tmp_path / "p.svg").read_text()
    assert "bit_operations" in (tmp_path / "p.csv").read_text()


# --- what a search foretells ------------------------------------------------------------------------------------


def promise(words: str, drop: float, latency: float) -> Promise:
    return Promise(
        words=words,
        foretold=Foretold(
            drop=Estimate(value=drop, ci95=(drop - 0.01, drop + 0.01)),
            costs={"latency": Estimate(value=latency, ci95=(latency - 0.02, latency + 0.02))},
        ),
    )


def test_foretold_points_stand_where_they_are_foretold() -> None:
    table = resolve_candidates(counted_state())
    outlook = Outlook(building=(promise("conv1 W4", 0.02, 0.5),), promising=(promise("conv1 W3", 0.05, 0.4),))
    one, other = foretold_ghosts(outlook, "job1", table, AXIS["ratio"], METRIC)
    assert one.place == (pytest.approx(0.5), pytest.approx(89.73))
    assert one.y_interval == (pytest.approx(88.73), pytest.approx(90.73))
    assert (one.kind, other.kind) == ("ghost", "foretold")
    assert "is being built" in one.hover
    assert "Latency 0.400 ±0.020 of the original's" in other.hover.replace("\N{NO-BREAK SPACE}", " ")
    assert foretold_ghosts(outlook, "job1", table, AXIS["size"], METRIC) == ()
    (late, _) = foretold_ghosts(outlook, "job1", table, AXIS["latency"], DROP)
    assert late.place == (pytest.approx(0.512), pytest.approx(-2.0))


def test_a_running_search_shows_what_it_builds_and_thinks_of(qtbot: Any, session: Session, panel: ParetoPanel) -> None:
    search_of(session).start(Study.model_validate({"knobs": {"weight_bits": [8, 4]}, "steps": [{"method": "q"}]}))
    runner = session.jobs._runner
    assert isinstance(runner, FakeRunner)
    job = runner.last("search")
    assert isinstance(session.jobs.spec(job), SearchJob)
    runner.start(job)
    outlook = Outlook(building=(promise("conv1 W4", 0.02, 0.5),), promising=(promise("conv1 W3", 0.05, 0.4),))
    runner.partial(job, "outlook", outlook.model_dump(mode="json"))
    qtbot.waitUntil(lambda: len(panel.scene.ghosts) == 2)
    assert {"ghost", "foretold"} <= set(panel.scene.kinds)
    marks = panel.plot.marks
    assert marks.ghost_at(marks.place_of_ghost(1)) == panel.scene.ghosts[1]
    assert not panel.plot.grab().toImage().isNull()
    runner.confirm_cancel(job)
    qtbot.waitUntil(lambda: panel.scene.ghosts == ())


def test_comparing_is_in_the_menu_and_choosing_in_the_help(desk: Any) -> None:
    window = desk().window
    session = window.session
    act = next(act for act in window.actions_ if act.id == "candidate.compare")
    assert act.why_not is not None
    assert act.why_not() is not None
    session.selection.set_candidate("c3")
    window.actions_.trigger("candidate.compare")
    assert window.panels["compare"].comparison.headings == ("Original", "Half")
    assert window.panels["compare"].isVisible()
    window.actions_.trigger("help.choosing")
