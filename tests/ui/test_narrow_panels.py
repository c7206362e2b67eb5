"""What a small screen may leave out, and what it must not: bulk edit, axis labels, coupled cells, long names."""

from __future__ import annotations

import csv
import io

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from workbench.domain.knobs import FIRST_PARTY_KNOBS, PRUNE_RATIO
from workbench.project.commands import EditCandidate
from workbench.ui.models.label_placement import Box, Label, place_labels
from workbench.ui.models.layer_table import FIXED_COLUMNS
from workbench.ui.panels.bulk_edit import BulkEditBar


def bar(qtbot, width: int) -> BulkEditBar:
    made = BulkEditBar()
    qtbot.addWidget(made)
    made.set_knobs(FIRST_PARTY_KNOBS)
    made.set_selected(3)
    made.setMinimumWidth(1)
    made.resize(width, 40)
    made.show()
    QApplication.processEvents()
    return made


def inside(widget, within) -> bool:
    left = widget.mapTo(within, widget.rect().topLeft()).x()
    return left >= 0 and left + widget.width() <= within.width()


@pytest.mark.parametrize("width", [460, 700])
def test_a_wide_bulk_edit_shows_everything(qtbot, width):
    made = bar(qtbot, width)
    editor = made._editors.currentWidget()
    assert editor._slider.isVisible()
    for widget in (made._caption, made._set, made._reset, editor._spin):
        assert widget.isVisible()
        assert inside(widget, made)
    assert editor._spin.width() >= editor._spin.minimumSizeHint().width()


def test_a_narrow_bulk_edit_keeps_number_and_set(qtbot):
    made = bar(qtbot, 300)
    editor = made._editors.currentWidget()
    assert not editor._slider.isVisible()
    assert not made._reset.isVisible()
    for widget in (made._set, editor._spin):
        assert widget.isVisible()
        assert inside(widget, made)


def test_without_a_layer_every_control_of_the_bulk_edit_says_why(qtbot):
    made = bar(qtbot, 460)
    made.set_selected(0)
    for widget in (made._set, made._reset, made._knob):
        assert not widget.isEnabled()
        assert "Select layers" in widget.toolTip()
    made.set_selected(1)
    assert "default" in made._reset.toolTip()


def test_settings_and_cost_of_every_layer_are_in_sight_at_1280(desk):
    window = desk().window
    window.show_layout("Analyse")
    QApplication.processEvents()
    panel = window.panels["layers"]
    header, table = panel.view.horizontalHeader(), panel.model.table
    for title in ("Layer", "Sensitivity", "Prune", "W bits", "A bits", "MACs"):
        column = table.columns.index(title)
        end = header.sectionViewportPosition(column) + header.sectionSize(column)
        assert end <= panel.view.viewport().width(), title


def test_cells_that_move_along_are_marked(desk):
    one = desk()
    panel = one.window.panels["layers"]
    report = one.session.state.inspect
    group = [layer.name for layer in report.layers if layer.group == "g0"]
    one.session.selection.set_layers((group[0],))
    model = panel.model
    column = len(FIXED_COLUMNS) + [knob.name for knob in model.table.knobs].index(PRUNE_RATIO.name)
    marked = {
        row.name
        for number, row in enumerate(model.table.rows)
        if model.index(number, column).data(Qt.ItemDataRole.BackgroundRole) is not None
    }
    assert marked == set(group)


def test_axis_labels_stay_in_the_middle_when_their_text_changes(desk):
    window = desk().window
    plot = window.panels["pareto"].plot
    for width in (420, 900, 300):
        plot.resize(width, 300)
        QApplication.processEvents()
        axis = plot.getAxis("bottom")
        middle = axis.label.pos().x() + axis.label.boundingRect().width() / 2
        assert middle == pytest.approx(axis.size().width() / 2, abs=2)


def test_a_label_keeps_clear_of_the_ring_around_its_point():
    area = Box(0, 0, 400, 400)
    (near,) = place_labels([Label(100, 100, 50, 12)], [], [], area)
    (far,) = place_labels([Label(100, 100, 50, 12, ring=6)], [], [], area)
    assert far.box.left - near.box.left == pytest.approx(6)


def test_the_plots_menu_exports(desk):
    panel = desk().window.panels["pareto"]
    for id in (None, "c1"):
        plot = next(action.menu() for action in panel.plot_menu(id).actions() if action.text() == "Plot")
        titles = [action.text() for action in plot.actions()]
        assert {"Export PNG…", "Export SVG…", "Export CSV…", "Copy picture"} <= set(titles)


def test_a_long_name_does_not_widen_the_window(desk):
    one = desk()
    before = one.window.minimumSizeHint().width()
    one.session.do(EditCandidate("c1", name="half of everything " * 20))
    one.session.selection.set_candidate("c1")
    QApplication.processEvents()
    line = one.window.statusBar()
    assert line.chosen.full.startswith("half of everything")
    assert "…" in line.chosen.text()
    assert one.window.minimumSizeHint().width() <= max(before, 1280)


def test_jobs_leave_as_csv(desk, tmp_path):
    one = desk()
    one.session.evaluate_baseline()
    QApplication.processEvents()
    one.window.panels["jobs"].export_csv(tmp_path / "jobs.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "jobs.csv").read_text())))
    assert rows[0]["job"] == "Evaluate the original"
    assert rows[0]["state"] == "queued"
