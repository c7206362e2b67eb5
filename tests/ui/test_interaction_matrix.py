"""The matrix of pairs: its grid, what a cell says and selects, and how it leaves the window."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage

from workbench.domain.measurements import MetricMeasurement, SensitivityPoint
from workbench.domain.sensitivity_reports import Interaction, InteractionsReport
from workbench.ui.models.interaction_grid import interaction_grid
from workbench.ui.models.layer_table import layer_labels
from workbench.ui.panels.interaction_matrix import InteractionMatrix
from workbench.ui.panels.sensitivity_dialog import SensitivityDialog
from workbench.ui.theme import Theme

LAYERS = ("conv1", "layer1.0.conv1", "layer1.0.conv2")


def pair(one: int, other: int, interaction: float, half: float = 0.01) -> Interaction:
    return Interaction(
        layers=(LAYERS[one], LAYERS[other]), drop=0.1, ci95=(0.09, 0.11), interaction=interaction,
        interaction_ci95=(interaction - half, interaction + half), samples=500,
    )  # fmt: skip


def report() -> InteractionsReport:
    return InteractionsReport(
        method="quantize.ptq",
        knob="weight_bits",
        value=2,
        metric="top1",
        baseline=MetricMeasurement(metric="top1", value=0.9, samples=500, ci95=(0.88, 0.92)),
        points=tuple(
            SensitivityPoint(layer=layer, value=2, metric=0.88, drop=0.02, ci95=(0.01, 0.03), samples=500)
            for layer in LAYERS
        ),
        pairs=(pair(0, 1, 0.04), pair(0, 2, -0.02), pair(1, 2, 0.004)),
        evaluations=7,
        seconds=1.0,
    )


def test_cells_stand_on_both_sides_and_know_noise() -> None:
    grid = interaction_grid(report(), {layer: layer.upper() for layer in reversed(LAYERS)})
    assert grid.layers == tuple(reversed(LAYERS))
    assert grid.names[0] == "LAYER1.0.CONV2"
    assert (grid.limit, grid.unit) == (pytest.approx(4.0), "pt")
    assert grid.cells[2, 1] == grid.cells[1, 2]
    assert grid.position(grid.cells[2, 1]) == pytest.approx(1.0)
    assert grid.cells[2, 1].sure
    assert not grid.cells[0, 1].sure
    assert "Within noise" in grid.cells[0, 1].hover
    assert "share a loss" in grid.cells[0, 2].hover
    assert "Alone −2.0" in grid.cells[0, 0].hover


def test_colours_are_signed_and_noise_is_pale(qtbot) -> None:
    matrix = InteractionMatrix(Theme("light"))
    qtbot.addWidget(matrix)
    matrix.resize(500, 400)
    matrix.set_grid(interaction_grid(report(), {layer: layer for layer in LAYERS}))
    matrix.show()
    image = matrix.grab().toImage()

    def color(row: int, column: int) -> tuple[int, int, int]:
        rect = matrix.cell_rect(row, column)
        at = image.pixelColor(round(rect.left() + 3), round(rect.top() + 3))
        return at.red(), at.green(), at.blue()

    assert color(0, 1) == (213, 94, 0)
    cool = color(0, 2)
    assert cool[2] > cool[0]
    assert min(color(1, 2)) > 190
    center = matrix.cell_rect(0, 1).center().toPoint()
    qtbot.mouseMove(matrix, center)
    assert matrix.hovered == (0, 1)
    assert "aggravate" in matrix.hover_text
    with qtbot.waitSignal(matrix.layersPicked) as picked:
        qtbot.mouseClick(matrix, Qt.MouseButton.LeftButton, pos=center)
    assert picked.args == [(LAYERS[0], LAYERS[1])]
    assert matrix.cell_at(QPoint(1, 1)) is None


def test_the_dialog_shows_the_matrix_and_lets_it_out(qtbot, session, tmp_path) -> None:
    dialog = SensitivityDialog(session)
    qtbot.addWidget(dialog)
    dialog.show()
    assert not dialog.more.isEnabled()
    dialog.report = report()
    dialog.refresh()
    assert dialog.matrix.isVisible()
    assert not dialog.tree.isVisible()
    assert session.state.inspect is not None
    names = layer_labels(session.state.inspect)
    assert dialog.matrix.grid.names == tuple(names[layer] for layer in LAYERS)
    for name in ("m.png", "m.svg", "m.json"):
        dialog.save(tmp_path / name)
    assert not QImage(str(tmp_path / "m.png")).isNull()
    assert "<svg" in (tmp_path / "m.svg").read_text()
    assert InteractionsReport.model_validate_json((tmp_path / "m.json").read_bytes()) == report()
    dialog.tabs.setCurrentIndex(1)
    assert dialog.tree.isVisible()
    assert not dialog.matrix.isVisible()
    dialog.matrix.layersPicked.emit((LAYERS[0],))
    assert session.selection.layers == (LAYERS[0],)
