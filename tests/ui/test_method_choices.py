"""Menus of many methods: those of one knob go one deeper, the recommended one stands first and papers are named."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QMenu, QWidget

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.jobs.specs import SweepJob
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.method_choices import method_tip, stage_choices
from workbench.ui.panels.layer_menu import sweep_menu
from workbench.ui.panels.recipe import RecipePanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme


def many():
    """A third criterion that comes before the others by name, and one that turns another knob."""
    one = methods()[0]
    first = one.model_copy(update={"id": "prune.a", "title": "A first one", "source": "Somebody, 2020"})
    depth = one.model_copy(update={"id": "prune.depth", "title": "Depth", "knobs": ("keep",)})
    return (first, depth, *methods())


@pytest.fixture
def session(qapp, tmp_path):
    bridge = JobsBridge(FakeRunner)
    session = Session(Document(resnet20_state()), bridge, Theme("light"), tmp_path)
    session.methods = many()
    yield session
    bridge.close()


def entries(menu: QMenu) -> list[str]:
    return [action.text() for action in menu.actions()]


def below(menu: QMenu) -> QMenu:
    return next(action.menu() for action in menu.actions() if action.menu() is not None)


def test_a_stage_lists_its_methods_by_what_they_turn():
    stages = dict(stage_choices(FIRST_PARTY_KNOBS, many()))
    channels, depth = stages["prune"]
    assert channels.own_menu
    assert channels.title == "Prune (3 methods)"
    assert channels.methods[0].id == "prune.l1"
    assert not depth.own_menu
    assert not stages["train"][0].own_menu


def test_the_tip_names_the_paper_and_what_to_begin_with():
    first, _, l1, *_ = many()
    assert "Somebody, 2020" in method_tip(first)
    assert "Recommended" not in method_tip(first)
    assert "Recommended" in method_tip(l1)


def test_measuring_offers_a_knob_of_many_methods_one_deeper(session, qtbot):
    owner = QWidget()
    qtbot.addWidget(owner)
    menu = sweep_menu(session, ("conv1",), owner)
    deeper = below(menu)
    assert deeper.title() == "Prune: 25 %, 50 %, 75 %".replace(" %", "\N{NO-BREAK SPACE}%")
    assert entries(deeper) == ["L1-norm channel pruning", "A first one", "Random channel pruning"]
    assert "Somebody, 2020" in deeper.actions()[1].toolTip()
    assert any(text.startswith("W bits by Post-training quantization") for text in entries(menu))
    deeper.actions()[1].trigger()
    spec = session.jobs.spec(session.jobs.active[0].id)
    assert isinstance(spec, SweepJob)
    assert (spec.method, spec.knob, spec.layers) == ("prune.a", "prune_ratio", ("conv1",))


def test_steps_are_added_from_the_deeper_menu_too(session, qtbot):
    panel = RecipePanel(session)
    qtbot.addWidget(panel)
    menu = below(panel.add.menu())
    next(action for action in menu.actions() if action.text() == "A first one").trigger()
    assert session.state.steps[-1].method == "prune.a"
    session.methodsChanged.emit()
    assert entries(below(panel.add.menu()))[0] == "L1-norm channel pruning"
