"""The graph panel with real keys and clicks: blocks open and close, the selection is one, the eye keeps its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot

from tests.fakes.drawings import blocked_drawing, ladder_drawing
from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.errors import WorkbenchError
from workbench.domain.reports import Drawing
from workbench.graph.blocks import blocks_of
from workbench.graph.collapse import BlockTree, collapsed
from workbench.graph.placement import place
from workbench.jobs.specs import DrawJob
from workbench.project.document import Document
from workbench.project.state import Change
from workbench.ui.bridge import JobsBridge
from workbench.ui.graph_view.folding import MOST_BOXES
from workbench.ui.graph_view.view import GraphView
from workbench.ui.session import Session
from workbench.ui.theme import Theme

assert callable(place), "blocks are placed in the window once the engine is loaded"


class Shown:
    """A graph panel with its session; `runner` has the jobs."""

    def __init__(self, qtbot: QtBot, folder: Path, drawing: Drawing | None = None) -> None:
        self.runner: FakeRunner
        state = resnet20_state()
        assert state.inspect is not None
        report = state.inspect.model_copy(update={"drawing": drawing or blocked_drawing(state.inspect)})
        self.document = Document(state.model_copy(update={"inspect": report}))
        self.session = Session(self.document, JobsBridge(self._start), Theme("light"), folder / "scratch")
        self.session.methods = methods()
        self.view = GraphView(self.session)
        qtbot.addWidget(self.view)
        self.view.resize(640, 600)
        self.view.show()
        self.canvas = self.view.canvas
        self.folding = self.view.folding
        self.canvas.setFocus()

    def _start(self, listener: Callable[..., None]) -> FakeRunner:
        self.runner = FakeRunner(listener)
        return self.runner

    def boxes(self) -> list[str]:
        """Ids of what is drawn."""
        return [box.id for box in self.canvas.picture.structure.boxes]

    def at(self, id: str) -> QPoint:
        """Where a box stands on the screen."""
        box = self.canvas.picture.structure.box(id)
        assert box is not None
        return self.canvas.mapFromScene(*box.center)


@pytest.fixture
def shown(qtbot: QtBot, tmp_path: Path) -> Iterator[Shown]:
    made = Shown(qtbot, tmp_path)
    yield made
    made.session.jobs.close()


def titles(menu: QMenu) -> list[str]:
    return [action.text().split("\t")[0] for action in menu.actions() if action.text()]


def action(menu: QMenu, title: str) -> QAction:
    return next(entry for entry in menu.actions() if entry.text().split("\t")[0] == title)


def test_space_closes_the_block_around_a_node_and_opens_it_again(shown: Shown, qtbot: QtBot) -> None:
    whole = len(shown.boxes())
    shown.session.selection.set_layers(["layer1.0.conv1"])
    qtbot.keyClick(shown.canvas, Qt.Key.Key_Space)
    assert shown.folding.closed == {"block:layer1.0"}
    assert "block:layer1.0" in shown.boxes()
    assert "layer1.0.conv1" not in shown.boxes()
    assert shown.session.selection.layers == ("layer1.0.conv1",), "what is selected stays selected"
    assert shown.canvas.selected == ("block:layer1.0",)
    qtbot.keyClick(shown.canvas, Qt.Key.Key_Space)
    assert shown.folding.closed == frozenset()
    assert len(shown.boxes()) == whole
    assert shown.canvas.selected == ("layer1.0.conv1",)


def test_shift_space_closes_the_block_around(shown: Shown, qtbot: QtBot) -> None:
    shown.session.selection.set_layers(["layer1.0.conv1"])
    qtbot.keyClick(shown.canvas, Qt.Key.Key_Space)
    qtbot.keyClick(shown.canvas, Qt.Key.Key_Space, Qt.KeyboardModifier.ShiftModifier)
    assert "block:layer1" in shown.boxes()
    shown.folding.open("block:layer1")
    assert {"block:layer1.0", "layer1.1.conv1"} <= set(shown.boxes()), "blocks within stay as they were"


def test_space_held_for_a_drag_folds_nothing(shown: Shown, qtbot: QtBot) -> None:
    shown.session.selection.set_layers(["layer1.0.conv1"])
    viewport = shown.canvas.viewport()
    qtbot.keyPress(shown.canvas, Qt.Key.Key_Space)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=QPoint(200, 200))
    qtbot.mouseMove(viewport, QPoint(200, 160))
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=QPoint(200, 160))
    qtbot.keyRelease(shown.canvas, Qt.Key.Key_Space)
    assert shown.folding.closed == frozenset()


def test_the_block_stands_where_the_eye_was(shown: Shown, qtbot: QtBot) -> None:
    shown.canvas.zoom_by(0.9 / shown.canvas.zoom)
    shown.session.selection.set_layers(["layer2.1.conv1"])
    shown.canvas.reveal("layer2.1.conv1")
    before = shown.at("layer2.1.conv1")
    zoom = shown.canvas.zoom
    qtbot.keyClick(shown.canvas, Qt.Key.Key_Space)
    after = shown.at("block:layer2.1")
    assert (before - after).manhattanLength() <= 2
    assert shown.canvas.zoom == zoom


def test_a_click_on_a_block_selects_its_layers(shown: Shown, qtbot: QtBot) -> None:
    shown.folding.close_to(1)
    qtbot.mouseClick(shown.canvas.viewport(), Qt.MouseButton.LeftButton, pos=shown.at("block:layer2"))
    layers = shown.session.selection.layers
    assert layers
    assert all(name.startswith("layer2.") for name in layers)
    assert shown.canvas.selected == ("block:layer2",)
    qtbot.mouseDClick(shown.canvas.viewport(), Qt.MouseButton.LeftButton, pos=shown.at("block:layer2"))
    assert "block:layer2" not in shown.folding.closed


def test_a_layer_selected_elsewhere_marks_its_block_and_what_goes_with_it(shown: Shown) -> None:
    shown.folding.close_to(1)
    shown.session.selection.set_layers(["conv1", "layer3.1.conv1"])
    assert shown.canvas.selected == ("conv1", "block:layer3")
    shown.canvas.selectionRequested.emit((*shown.canvas.selected, "block:layer1"))
    layers = shown.session.selection.layers
    assert [name for name in layers if name.startswith("layer3.")] == ["layer3.1.conv1"], "adding keeps the rest"
    assert any(name.startswith("layer1.") for name in layers)


def test_search_opens_what_hides_a_hit(shown: Shown, qtbot: QtBot) -> None:
    shown.folding.close_to(1)
    shown.view.focus_search()
    qtbot.keyClicks(shown.view._search, "layer2.1.conv2")
    qtbot.keyClick(shown.view._search, Qt.Key.Key_Return)
    assert shown.session.selection.layers == ("layer2.1.conv2",)
    assert "layer2.1.conv2" in shown.boxes()
    assert "block:layer1" in shown.boxes()
    qtbot.waitUntil(lambda: not shown.canvas.flying)
    assert shown.canvas.visible_area().contains(shown.canvas.mapToScene(shown.at("layer2.1.conv2")))


def test_menus_say_what_can_be_done_with_blocks(shown: Shown) -> None:
    shown.session.selection.set_layers(["layer1.0.conv1"])
    menu = shown.view.menu_for("layer1.0.conv1")
    assert {
        "Collapse block layer1.0",
        "Collapse block layer1",
        "Collapse all to depth 1",
        "Collapse all to depth 2",
    } <= set(titles(menu))
    assert not action(menu, "Expand all").isEnabled()
    action(menu, "Collapse block layer1").trigger()
    assert "block:layer1" in shown.boxes()
    menu = shown.view.menu_for("block:layer1")
    action(menu, "Expand block").trigger()
    assert "block:layer1" not in shown.boxes()
    menu = shown.view.menu_for("conv1")
    assert not action(menu, "Collapse block").isEnabled()
    assert action(menu, "Collapse block").toolTip() == "It lies in no block"
    menu = shown.view.menu_for(None)
    action(menu, "Collapse all to depth 1").trigger()
    assert len([id for id in shown.boxes() if id.startswith("block:")]) == 3
    action(shown.view.menu_for(None), "Expand all").trigger()
    assert not [id for id in shown.boxes() if id.startswith("block:")]


def test_the_legend_says_how_a_block_got_its_colour(shown: Shown) -> None:
    shown.folding.close_to(1)
    shown.view.set_overlay("params")
    assert "Collapsed blocks: sum" in shown.canvas.picture.legend.note
    shown.view.set_overlay("knob:weight_bits")
    assert "Collapsed blocks: highest" in shown.canvas.picture.legend.note
    assert shown.view._legend.isVisible()


def test_another_model_begins_open(shown: Shown) -> None:
    shown.folding.close_to(1)
    assert shown.session.state.inspect is not None
    again = shown.session.state.inspect.model_copy(update={"notes": ("another",)})
    shown.document.record(Change.MODEL, inspect=again)
    shown.view.refresh()
    assert shown.folding.closed == frozenset()


def large() -> Drawing:
    drawing = ladder_drawing(1200)
    names = [node.id for node in drawing.nodes]
    scopes = [(f"part{index // 40}",) for index in range(len(names))]
    found = blocks_of(names, scopes)
    nodes = tuple(node.model_copy(update={"block": found.innermost[node.id]}) for node in drawing.nodes)
    return drawing.model_copy(update={"nodes": nodes, "blocks": found.blocks})


@pytest.fixture
def shown_large(qtbot: QtBot, tmp_path: Path) -> Iterator[Shown]:
    made = Shown(qtbot, tmp_path, large())
    yield made
    made.session.jobs.close()


def test_a_large_graph_begins_closed_and_is_placed_elsewhere(shown_large: Shown, qtbot: QtBot) -> None:
    assert len(shown_large.boxes()) == 30 <= MOST_BOXES
    shown_large.folding.open("block:part3")
    assert len(shown_large.boxes()) == 69
    many = frozenset(shown_large.folding.tree.by_id) - {f"block:part{index}" for index in range(20)}  # type: ignore[union-attr]
    for index in range(20):
        shown_large.folding.open(f"block:part{index}")
    spec = shown_large.runner.specs[shown_large.runner.last("draw")]
    assert isinstance(spec, DrawJob)
    assert set(spec.closed) == many
    before = shown_large.boxes()
    shown_large.runner.finish(
        shown_large.runner.last("draw"), collapsed(BlockTree(spec.drawing), spec.closed).model_dump(mode="json")
    )
    qtbot.waitUntil(lambda: shown_large.boxes() != before)
    assert len(shown_large.boxes()) == 20 * 40 + 10


def test_a_drawing_that_fails_leaves_what_was_there(shown_large: Shown, qtbot: QtBot) -> None:
    for index in range(20):
        shown_large.folding.open(f"block:part{index}")
    shown = shown_large.folding.closed
    with qtbot.waitSignal(shown_large.session.failed):
        shown_large.runner.fail(shown_large.runner.last("draw"), WorkbenchError("the worker ended"))
    assert shown_large.folding.closed == shown
    shown_large.folding.close("block:part0")
    assert "block:part0" in shown_large.boxes()
