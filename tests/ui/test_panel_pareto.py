"""The Pareto panel in a session without processes: what it draws, what a click does, and what leaves it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QMenu

from tests.fakes.projects import candidate, methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.measurements import MetricMeasurement
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.methods.recipe_file import read_recipe
from workbench.project.document import Document
from workbench.project.state import Change, ProjectState
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.candidate_model import COLUMNS
from workbench.ui.models.candidate_table import AXES, resolve_candidates
from workbench.ui.models.label_placement import Box, Label, place_labels
from workbench.ui.models.number_column import FIGURE_SPACE, POINT_SPACE, exact_column, measured_column, plain
from workbench.ui.models.pareto_scene import Budget, budget_text, resolve_scene, within
from workbench.ui.panels.front_picture import render_front
from workbench.ui.panels.pareto import ParetoPanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme

RATIO, LATENCY, SIZE = AXES[0], AXES[1], AXES[2]


class Desk:
    """A panel with the session and the fake runner behind it."""

    def __init__(self, state: ProjectState, scratch: Path, qtbot: object, mode: str = "light") -> None:
        self.bridge = JobsBridge(self._start)
        self.theme = Theme(mode)  # type: ignore[arg-type]
        self.document = Document(state)
        self.session = Session(self.document, self.bridge, self.theme, scratch)
        self.session.methods = methods()
        self.said: list[str] = []
        self.failures: list[object] = []
        self.session.said.connect(self.said.append)
        self.session.failed.connect(self.failures.append)
        self.panel = ParetoPanel(self.session)
        self.panel.resize(900, 640)
        qtbot.addWidget(self.panel)  # type: ignore[attr-defined]
        with qtbot.waitExposed(self.panel):  # type: ignore[attr-defined]
            self.panel.show()
        QApplication.processEvents()

    def _start(self, listener: object) -> FakeRunner:
        self.runner = FakeRunner(listener)  # type: ignore[arg-type]
        return self.runner

    def place(self, id: str) -> QPoint:
        """Where a mark is, in pixels of the plot's viewport."""
        plot = self.panel.plot
        mark = next(mark for mark in plot.marks.scene_value.marks if mark.id == id)
        return plot.mapFromScene(plot.box.mapToScene(plot.marks.place_of(mark)))

    def cell(self, id: str, column: str) -> str:
        """What the table shows."""
        model = self.panel.view.candidates
        row = next(number for number, row in enumerate(model.table.rows) if row.id == id)
        return plain(str(model.index(row, COLUMNS.index(column)).data()))


@pytest.fixture
def desk(qtbot, tmp_path):
    made = Desk(resnet20_state(), tmp_path, qtbot)
    yield made
    made.bridge.close()


def entry(menu: QMenu, text: str) -> QAction:
    return next(action for action in menu.actions() if action.text() == text)


def test_candidates_are_drawn_with_their_intervals_and_the_front_between_them():
    scene = resolve_scene(resolve_candidates(resnet20_state()), RATIO)
    marks = {mark.id: mark for mark in scene.marks}
    assert len(marks) == 7
    assert {id for id, mark in marks.items() if mark.kind == "front"} == {"c1", "c5", "c6"}
    assert marks[""].kind == "original"
    assert marks["c1"].x == 0.446
    assert marks["c1"].y == pytest.approx(91.72)
    assert marks["c1"].x_interval == pytest.approx((0.446 * 0.994, 0.446 * 1.006))
    assert marks[""].x_interval is None
    xs, ys = scene.step
    assert xs[0] == 0.31
    assert ys[-1] == pytest.approx(91.73)
    assert scene.x_label == "Latency, ratio to the original (batch 1, 1 thread)"
    assert scene.y_label.startswith("Top-1 accuracy, % (10")


def test_exact_costs_have_no_interval_and_say_their_unit():
    scene = resolve_scene(resolve_candidates(resnet20_state()), SIZE)
    assert scene.x_label == "File size, MB"
    assert all(mark.x_interval is None for mark in scene.marks)
    assert next(mark.x for mark in scene.marks if mark.id == "c4") == 0.096


def test_a_metric_that_falls_with_quality_has_its_front_below():
    def perplexity(value: float) -> MetricMeasurement:
        return MetricMeasurement(
            metric="perplexity", value=value, samples=100, ci95=(value - 1, value + 1), higher_is_better=False
        )

    state = resnet20_state()
    kept = []
    for value, entry in zip((30.0, 40.0), state.candidates[:2], strict=True):
        report = entry.report.model_copy(
            update={"metric": perplexity(value), "baseline_metric": perplexity(25.0), "difference": None}
        )
        kept.append(entry.model_copy(update={"report": report}))
    state = state.model_copy(update={"baseline": perplexity(25.0), "candidates": tuple(kept)})
    table = resolve_candidates(state)
    scene = resolve_scene(table, RATIO)
    assert {mark.id: mark.kind for mark in scene.marks} == {"": "original", "c1": "front", "c2": "beaten"}
    assert scene.step[1] == (30.0, 30.0, 25.0)
    assert "lower is better" in scene.y_label
    assert [row.id for row in within(table, RATIO, Budget(score=35.0))] == ["c1"]


def test_a_budget_counts_what_it_leaves_and_names_what_binds():
    table = resolve_candidates(resnet20_state())
    assert [row.id for row in within(table, RATIO, Budget(cost=0.45, score=90.0))] == ["c5", "c1"]
    assert "2 of 6 candidates, least latency ratio: Third off, W8A8" in budget_text(table, RATIO, Budget(0.45, 90.0))
    text = budget_text(table, RATIO, Budget(0.35, 91.0))
    assert "none. Top-1 accuracy alone leaves 1, latency ratio alone leaves 1" in text


NUMBERS = st.lists(
    st.none() | st.tuples(st.floats(-1000, 1000), st.none() | st.floats(1e-4, 50)), min_size=1, max_size=8
)


@given(NUMBERS)
def test_decimal_points_of_a_column_line_up_and_no_digit_is_added(cells):
    given_cells = [None if c is None else (c[0], None if c[1] is None else (c[0] - c[1], c[0] + c[1])) for c in cells]
    texts = measured_column(given_cells)
    behind = set()
    for text, cell in zip(texts, given_cells, strict=True):
        if cell is None:
            assert text == "–"
            continue
        head = text.partition(" ±")[0]
        point = min((place for place in (head.find("."), head.find(POINT_SPACE)) if place >= 0), default=len(head))
        # Every column's text right of the point has the same number of places, drawn or left blank.
        behind.add(len(text) - point)
        assert plain(text).count("±") == (cell[1] is not None)
    assert len(behind) <= 2
    assert FIGURE_SPACE not in "".join(map(plain, texts))


def test_exact_figures_share_a_prefix_and_keep_two_digits_of_the_smallest():
    assert exact_column([1_153_715, 96_000, 48_000]) == (("1.154", "0.096", "0.048"), "M")
    assert exact_column([12, 7]) == (("12", "7"), "")
    assert exact_column([]) == ((), "")


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300), st.floats(10, 90)), min_size=1, max_size=15))
def test_labels_cover_neither_points_nor_each_other_and_stay_inside(spots):
    points = [Box(x - 4, y - 4, 8, 8) for x, y, _ in spots]
    area = Box(0, 0, 400, 300)
    found = place_labels([Label(x, y, width, 14) for x, y, width in spots], points, [], area)
    boxes = [place.box for place in found if place is not None]
    for number, box in enumerate(boxes):
        assert box.left >= 0
        assert box.top >= 0
        assert box.right <= 400
        assert box.bottom <= 300
        for other in (*points, *boxes[:number]):
            apart = box.right <= other.left or other.right <= box.left
            assert apart or box.bottom <= other.top or other.bottom <= box.top


def test_a_lone_label_stands_right_of_its_point_unless_a_line_is_there():
    area = Box(0, 0, 400, 300)
    free = place_labels([Label(200, 150, 40, 14)], [], [], area)[0]
    assert free is not None
    assert free.box.left > 200
    crossed = place_labels([Label(200, 150, 40, 14)], [], [Box(220, 0, 2, 300)], area)[0]
    assert crossed is not None
    assert crossed.box.right <= 220


def test_nothing_is_drawn_before_there_is_a_model_and_the_panel_says_what_to_do(qtbot, tmp_path):
    desk = Desk(ProjectState(), tmp_path, qtbot)
    assert "Open an .onnx file" in desk.panel._pages.empty.message
    assert not desk.panel.plot.isVisible()
    desk.bridge.close()


def test_an_unmeasured_model_offers_to_be_measured(qtbot, tmp_path):
    state = resnet20_state(candidates=False).model_copy(update={"baseline": None})
    desk = Desk(state, tmp_path, qtbot)
    button = desk.panel._pages.empty.button
    assert button.text() == "Measure the original"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    job = desk.runner.last("evaluate")
    QApplication.processEvents()
    assert not button.isEnabled()
    assert "being measured" in button.toolTip()
    payload = MetricMeasurement(metric="top1", value=0.9, samples=100, ci95=(0.82, 0.95)).model_dump(mode="json")
    desk.runner.finish(job, payload)
    qtbot.waitUntil(desk.panel.plot.isVisible)
    assert [mark.kind for mark in desk.panel.scene.marks] == ["original"]
    desk.bridge.close()


def test_the_original_alone_is_drawn_and_running_is_offered(qtbot, tmp_path):
    desk = Desk(resnet20_state(candidates=False), tmp_path, qtbot)
    assert [mark.kind for mark in desk.panel.scene.marks] == ["original"]
    assert "each result appears here" in desk.panel.hint.text()
    qtbot.mouseClick(desk.panel.act, Qt.MouseButton.LeftButton)
    assert desk.runner.last("compress")
    desk.bridge.close()


def test_running_waits_for_a_plan_and_says_so(qtbot, tmp_path):
    state = resnet20_state(candidates=False).model_copy(update={"plan": Plan(), "steps": ()})
    desk = Desk(state, tmp_path, qtbot)
    assert not desk.panel.act.isEnabled()
    assert "setting" in desk.panel.act.toolTip()
    desk.bridge.close()


def test_a_click_on_a_point_selects_the_candidate_everywhere(qtbot, desk):
    qtbot.mouseClick(desk.panel.plot.viewport(), Qt.MouseButton.LeftButton, pos=desk.place("c5"))
    assert desk.session.selection.candidate == "c5"
    assert desk.panel.view.chosen() == ("c5",)
    assert desk.panel.plot.marks.selected == "c5"
    qtbot.mouseClick(desk.panel.plot.viewport(), Qt.MouseButton.LeftButton, pos=desk.place(""))
    assert desk.session.selection.candidate is None
    assert desk.panel.plot.marks.selected == ""


def test_a_row_and_the_shared_selection_move_the_ring(desk):
    desk.panel.view.selectRow(3)
    assert desk.session.selection.candidate == "c3"
    assert desk.panel.plot.marks.selected == "c3"
    desk.session.selection.set_candidate("c6")
    assert desk.panel.view.chosen() == ("c6",)


def test_the_pointer_over_a_point_shows_its_row(qtbot, desk):
    plot = desk.panel.plot
    plot.scene().sigMouseMoved.emit(QPointF(plot.mapToScene(desk.place("c4"))))
    assert plot.marks.hovered == "c4"
    for text in ("Half, W8A8", "88.35", "Latency ratio 0.4040", "1 thread, batch 1", "96.0", "load rose to 1.9"):
        assert text in plot.hover_text.replace("\N{NO-BREAK SPACE}", " ")
    plot.scene().sigMouseMoved.emit(QPointF(plot.mapToScene(QPoint(2, 2))))
    assert plot.marks.hovered is None
    assert plot.hover_text == ""


def test_the_right_button_asks_for_the_menu_of_the_point(qtbot, desk):
    asked = []
    desk.panel.plot.menuAsked.disconnect()
    desk.panel.plot.menuAsked.connect(lambda id, place: asked.append(id))
    qtbot.mouseClick(desk.panel.plot.viewport(), Qt.MouseButton.RightButton, pos=desk.place("c2"))
    assert asked == ["c2"]
    desk.panel.plot.menuAsked.connect(desk.panel._plot_menu)


def test_the_table_says_no_more_digits_than_the_interval_supports(desk):
    assert desk.cell("c1", "metric") == "91.72 ±0.54"
    assert desk.cell("c1", "change") == "−0.01 ±0.21"
    assert desk.cell("c1", "ratio") == "0.4460 ±0.0027"
    assert desk.cell("c1", "threads") == "1 × 1"
    assert desk.cell("c4", "size") == "0.096"
    assert desk.cell("c4", "noise") == "not quiet"
    assert desk.cell("", "change") == "–"
    model = desk.panel.view.candidates
    heads = [model.headerData(column, Qt.Orientation.Horizontal) for column in range(len(COLUMNS))]
    assert heads[COLUMNS.index("metric")] == "Top-1, %"
    assert heads[COLUMNS.index("size")] == "Size, MB"
    tip = model.headerData(COLUMNS.index("metric"), Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert tip.startswith("Top-1 accuracy. ")


def test_columns_sort(desk):
    view = desk.panel.view
    view.proxy.sort_by(COLUMNS.index("size"))
    shown = [view.candidates.row(view.proxy.mapToSource(view.proxy.index(row, 0))).id for row in range(7)]
    assert shown == ["c6", "c4", "c5", "c2", "c3", "c1", ""]


def test_another_axis_moves_the_points_and_the_front(qtbot, desk):
    desk.panel.axis.setCurrentIndex(AXES.index(SIZE))
    desk.panel.axis.activated.emit(AXES.index(SIZE))
    assert desk.panel.scene.x_label == "File size, MB"
    assert {mark.id for mark in desk.panel.scene.marks if mark.kind == "front"} == {"c1", "c4", "c5", "c6"}
    view = desk.panel.plot.box.viewRect()
    assert view.left() < 0.048
    assert view.right() > 1.15


def test_an_unmeasured_latency_of_the_original_can_be_measured(qtbot, tmp_path):
    state = resnet20_state(candidates=False).model_copy(
        update={"baseline_latency": None, "candidates": (_without_latency(resnet20_state()),)}
    )
    desk = Desk(state, tmp_path, qtbot)
    desk.panel.axis.setCurrentIndex(AXES.index(LATENCY))
    desk.panel.axis.activated.emit(AXES.index(LATENCY))
    assert desk.panel.scene.marks == ()
    assert "not measured" in desk.panel.hint.text()
    qtbot.mouseClick(desk.panel.act, Qt.MouseButton.LeftButton)
    assert desk.runner.last("profile")
    desk.bridge.close()


def _without_latency(state: ProjectState):
    entry = state.candidates[0]
    report = entry.report.model_copy(update={"latency": None, "latency_report": None})
    return entry.model_copy(update={"report": report})


def test_a_running_compression_waits_as_a_ghost_and_becomes_a_point(qtbot, desk):
    desk.session.run("Newcomer")
    job = desk.runner.last("compress")
    desk.runner.start(job)
    desk.runner.progress(job, 0.43, "training", 70)
    qtbot.waitUntil(lambda: bool(desk.panel.scene.ghosts) and desk.panel.scene.ghosts[0].fraction == 0.43)
    ghost = desk.panel.scene.ghosts[0]
    assert "training" in ghost.hover
    assert "left" in ghost.hover
    assert "ghost" in desk.panel.scene.kinds
    plot = desk.panel.plot
    assert plot.marks.ghost_at(plot.marks.place_of_ghost(0)) == ghost
    report = resnet20_state().candidates[0].report
    desk.runner.finish(job, report.model_dump(mode="json"))
    qtbot.waitUntil(lambda: not desk.panel.scene.ghosts)
    assert "Newcomer" in [mark.name for mark in desk.panel.scene.marks]


def test_a_sweep_is_no_ghost(qtbot, desk):
    desk.session.sweep("quantize.ptq", "weight_bits", (4,))
    QApplication.processEvents()
    assert desk.panel.scene.ghosts == ()


def test_names_and_notes_are_edited_in_place_and_undone(qtbot, desk):
    entry(desk.panel.candidate_menu(("c2",)), "Rename…").trigger()
    editor = desk.panel.view.findChild(QLineEdit)
    assert editor is not None
    assert editor.text() == "W4A8"
    editor.setText("  Four bits ")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: desk.document.state.candidate("c2").name == "Four bits")
    model = desk.panel.view.candidates
    assert model.setData(model.index(2, COLUMNS.index("note")), "try AdaRound")
    assert desk.cell("c2", "note") == "try AdaRound"
    assert not model.setData(model.index(2, 0), "   ")
    assert not model.setData(model.index(0, 0), "Other")
    desk.document.undo()
    desk.document.undo()
    assert desk.cell("c2", "name") == "W4A8"


def test_delete_is_undone_and_deleted_ones_can_be_shown_and_brought_back(desk):
    entry(desk.panel.candidate_menu(("c1", "c2")), "Delete 2 candidates").trigger()
    assert {row.id for row in desk.panel.table.rows} == {"", "c3", "c4", "c5", "c6"}
    assert desk.document.undo_title == "Delete 2 candidates"
    desk.document.undo()
    assert {row.id for row in desk.panel.table.rows} >= {"c1", "c2"}
    entry(desk.panel.candidate_menu(("c1",)), "Delete").trigger()
    entry(desk.panel.candidate_menu(()), "Show deleted (1)").trigger()
    mark = next(mark for mark in desk.panel.scene.marks if mark.id == "c1")
    assert mark.kind == "stale"
    assert mark.hover.splitlines()[1] == "Deleted"
    entry(desk.panel.candidate_menu(("c1",)), "Undelete").trigger()
    assert next(mark.kind for mark in desk.panel.scene.marks if mark.id == "c1") == "front"


def test_a_star_is_drawn_and_taken_away_again(desk):
    entry(desk.panel.candidate_menu(("c3",)), "Star").trigger()
    assert next(mark.star for mark in desk.panel.scene.marks if mark.id == "c3")
    entry(desk.panel.candidate_menu(("c3",)), "Star").trigger()
    assert not any(mark.star for mark in desk.panel.scene.marks)
    entry(desk.panel.candidate_menu(("c1", "c2", "c3")), "Star").trigger()
    assert sum(mark.star for mark in desk.panel.scene.marks) == 3
    assert desk.document.undo_title == "Star 3 candidates"
    desk.document.undo()
    assert not any(mark.star for mark in desk.panel.scene.marks)


def test_the_menu_restores_the_plan_and_asks_other_panels(qtbot, desk):
    menu = desk.panel.candidate_menu(("c6",))
    entry(menu, "Restore as plan").trigger()
    assert desk.document.state.plan.default["prune_ratio"] == 0.75
    with qtbot.waitSignal(desk.panel.settingsRequested) as shown:
        entry(menu, "Show settings").trigger()
    assert shown.args == ["c6"]
    assert desk.session.selection.candidate == "c6"
    compare = entry(menu, "Compare with").menu()
    with qtbot.waitSignal(desk.panel.compareRequested) as compared:
        entry(compare, "W8A8").trigger()
    assert compared.args == [("c6", "c1")]
    with qtbot.waitSignal(desk.panel.compareRequested) as several:
        entry(desk.panel.candidate_menu(("c1", "c2", "c3")), "Compare 3 candidates").trigger()
    assert several.args == [("c1", "c2", "c3")]


def test_the_recipe_leaves_as_the_file_that_scripts_read(qtbot, desk, tmp_path):
    entry(desk.panel.candidate_menu(("c5",)), "Export recipe…").trigger()
    dialog = _dialog(desk)
    dialog.fileSelected.emit(str(tmp_path / "r.yaml"))
    dialog.reject()
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.steps == desk.document.state.candidate("c5").recipe.steps
    assert recipe.plan == desk.document.state.candidate("c5").recipe.plan
    assert desk.said == ["Exported r.yaml"]


def test_the_file_leaves_unchanged_and_a_missing_one_is_named(qtbot, tmp_path):
    file = tmp_path / "made.onnx"
    file.write_bytes(b"model")
    state = resnet20_state()
    first = state.candidates[0]
    own = first.report.candidate.model_copy(update={"path": str(file)})
    first = first.model_copy(update={"report": first.report.model_copy(update={"candidate": own})})
    state = state.model_copy(update={"candidates": (first, *state.candidates[1:])})
    desk = Desk(state, tmp_path, qtbot)
    entry(desk.panel.candidate_menu(("c1",)), "Export file…").trigger()
    dialog = _dialog(desk)
    dialog.fileSelected.emit(str(tmp_path / "out.onnx"))
    dialog.reject()
    assert (tmp_path / "out.onnx").read_bytes() == b"model"
    desk.session.export_candidate("c2", tmp_path / "other.onnx")
    assert "W4A8 is gone" in str(desk.failures[0])
    desk.bridge.close()


def _dialog(desk: Desk) -> QFileDialog:
    return desk.panel.findChildren(QFileDialog)[-1]


def test_tables_and_pictures_leave_in_all_formats(desk, tmp_path):
    for name in ("front.png", "front.svg", "rows.csv", "rows.json"):
        desk.panel.export(tmp_path / name)
    assert QImage(str(tmp_path / "front.png")).width() == 2 * desk.panel.picture.width()
    assert "<svg" in (tmp_path / "front.svg").read_text()
    assert "W8A8" in (tmp_path / "front.svg").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text())))
    assert float(rows[1]["value"]) == 0.9172
    assert len(json.loads((tmp_path / "rows.json").read_text())["candidates"]) == 7
    desk.panel.export(tmp_path / "missing" / "front.png")
    assert len(desk.failures) == 1
    assert len(desk.said) == 4


def test_copied_rows_are_plain_text(desk):
    desk.panel.view.selectRow(1)
    desk.panel.view.copyAsked.emit()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[:2] == ["W8A8", "91.72 ±0.54"]


def test_budget_lines_are_dragged_and_counted(qtbot, desk):
    desk.panel.budget.setChecked(True)
    assert desk.panel.plot.budget.score == pytest.approx(90.73)
    assert "of 6 candidates" in desk.panel.hint.text()
    line = desk.panel.plot._lines["score"]
    line.setValue(99.0)
    line.sigDragged.emit(line)
    assert "none" in desk.panel.hint.text()
    desk.panel.budget.setChecked(False)
    assert desk.panel.plot.budget == Budget()
    assert desk.panel.hint.text() == ""


def test_the_view_stays_where_the_user_moved_it_until_it_is_fitted(qtbot, desk):
    box = desk.panel.plot.box
    box.setXRange(0.4, 0.5, padding=0)
    box.sigRangeChangedManually.emit([True, True])
    desk.session.selection.set_candidate("c2")
    desk.panel.refresh()
    assert box.viewRect().left() == pytest.approx(0.4)
    qtbot.mouseClick(desk.panel.fit, Qt.MouseButton.LeftButton)
    assert box.viewRect().right() > 1.0


def test_wide_and_low_puts_the_table_beside_the_plot(desk):
    assert desk.panel.splitter.orientation() == Qt.Orientation.Vertical
    desk.panel.resize(900, 300)
    QApplication.processEvents()
    assert desk.panel.splitter.orientation() == Qt.Orientation.Horizontal


def test_dark_and_light_are_followed(qtbot, desk):
    desk.theme.set_mode("dark")
    qtbot.waitUntil(lambda: not desk.theme.changing)
    QApplication.processEvents()
    image = desk.panel.plot.grab().toImage()
    assert image.pixelColor(image.width() - 3, 3).lightness() < 60


def test_points_outdated_by_another_setting_are_crosses_with_the_reason():
    state = resnet20_state()
    state = state.model_copy(update={"latency": state.latency.model_copy(update={"threads": 4})})
    scene = resolve_scene(resolve_candidates(state), RATIO)
    assert {mark.kind for mark in scene.marks} == {"original", "stale"}
    assert "other threads" in scene.marks[0].hover


def test_five_hundred_candidates_are_drawn(qtbot, tmp_path):
    prune = (Step(method="prune.l1"),)
    many = tuple(
        candidate(
            n, f"Trial {n}", 0.6 + 0.3 * ((n * 37) % 500) / 500, 0.2 + n / 700, 1000 * n, 10**5 * n, prune, Plan()
        ).model_copy(update={"created": "2026-05-04T12:00:00+00:00"})
        for n in range(1, 501)
    )
    desk = Desk(resnet20_state().model_copy(update={"candidates": many}), tmp_path, qtbot)
    desk.panel.plot.grab()
    desk.session.documentChanged.emit(Change.CANDIDATES)
    assert desk.panel.view.candidates.rowCount() == 501
    desk.bridge.close()


def test_the_front_is_drawn_into_a_file_with_every_name(qtbot, tmp_path):
    theme = Theme("light")
    render_front(resnet20_state(), tmp_path / "front.png", theme)
    image = QImage(str(tmp_path / "front.png"))
    assert (image.width(), image.height()) == (1200, 750)


def test_a_project_file_is_drawn_by_the_command_the_demo_uses(tmp_path):
    Document.create(tmp_path / "p.mcw", resnet20_state()).close()
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-W", "error", "-m", "workbench", "draw-front"]
    drawn = subprocess.run(
        [*command, str(tmp_path / "p.mcw"), str(tmp_path / "f.png")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert QImage(str(tmp_path / "f.png")).width() == 1200
    gone = subprocess.run(
        [*command, str(tmp_path / "gone.mcw"), str(tmp_path / "f.png")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert gone.returncode == 2
    assert "gone.mcw" in gone.stderr.strip().splitlines()[-1]
