"""What the graph panel draws when blocks are closed: boxes, colours, legend, tooltips and search, without a widget."""

from __future__ import annotations

import pytest

from tests.fakes.drawings import blocked_drawing
from tests.fakes.projects import resnet20_state
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.graph.collapse import BlockTree, collapsed
from workbench.graph.families import FAMILIES
from workbench.project.state import ProjectState
from workbench.ui import colors
from workbench.ui.graph_view import overlays
from workbench.ui.graph_view.folding import landmark
from workbench.ui.graph_view.picture import resolve, tooltip
from workbench.ui.graph_view.structure import Structure, folded_structure, structure_of
from workbench.ui.graph_view.walk import find, step
from workbench.ui.models import numbers


@pytest.fixture(scope="module")
def state() -> ProjectState:
    made = resnet20_state()
    assert made.inspect is not None
    report = made.inspect.model_copy(update={"drawing": blocked_drawing(made.inspect)})
    return made.model_copy(update={"inspect": report})


@pytest.fixture(scope="module")
def tree(state: ProjectState) -> BlockTree:
    assert state.inspect is not None
    assert state.inspect.drawing is not None
    return BlockTree(state.inspect.drawing)


@pytest.fixture(scope="module")
def closed(state: ProjectState, tree: BlockTree) -> Structure:
    """The stages of the net as a box each."""
    assert state.inspect is not None
    ids = tree.to_depth(1)
    return folded_structure(state.inspect, tree, collapsed(tree, ids), ids)


def members(state: ProjectState, stage: str) -> list[str]:
    assert state.inspect is not None
    return [layer.name for layer in state.inspect.layers if layer.name.startswith(f"{stage}.")]


def test_a_block_tells_its_name_layers_and_costs(state: ProjectState, closed: Structure) -> None:
    assert state.inspect is not None
    box = closed.box("block:layer1")
    assert box is not None
    assert (box.title, box.name) == ("layer1", "layer1")
    inside = [layer for layer in state.inspect.layers if layer.name in members(state, "layer1")]
    assert box.note.startswith(f"{len(inside)} layers · ")
    assert box.stripe == colors.family_color("convolution")
    assert set(closed.owner.values()) == {"block:layer1", "block:layer2", "block:layer3"}
    assert closed.shown(members(state, "layer1")) == ("block:layer1",)


@pytest.mark.parametrize(("overlay", "attribute"), [("params", "params"), ("macs", "macs")])
def test_costs_add_up_in_a_block(state: ProjectState, closed: Structure, overlay: str, attribute: str) -> None:
    assert state.inspect is not None
    picture = resolve(state, overlay, None, FIRST_PARTY_KNOBS, closed)
    total = sum(getattr(layer, attribute) for layer in state.inspect.layers if layer.name in members(state, "layer2"))
    fill = picture.fills["block:layer2"]
    assert fill.text == numbers.count_text(total)
    assert "sum" in picture.legend.note
    box = closed.box("block:layer2")
    assert box is not None
    lines = tooltip(state.inspect, box, fill)
    assert f"Sum: {fill.text}" in lines
    assert not set(picture.fills) & set(closed.owner), "what is hidden is not coloured"


def test_of_settings_a_block_shows_the_highest(state: ProjectState, closed: Structure) -> None:
    names = members(state, "layer1")
    settings = {name: {"weight_bits": 4} for name in names} | {name: {"weight_bits": 8} for name in names[:1]}
    picture = resolve(state, "knob:weight_bits", settings, FIRST_PARTY_KNOBS, closed)
    fill = picture.fills["block:layer1"]
    assert (fill.text, fill.title, fill.color) == ("8 bit", "Highest: ", colors.bits_color(8))
    assert "highest" in picture.legend.note
    even = {name: {"weight_bits": 4} for name in names}
    assert resolve(state, "knob:weight_bits", even, FIRST_PARTY_KNOBS, closed).fills["block:layer1"].title == ""


def test_of_sensitivities_a_block_shows_the_largest_drop(state: ProjectState, closed: Structure) -> None:
    choice = next(entry for entry in overlays.choices(state, FIRST_PARTY_KNOBS) if entry.id.startswith("drop:"))
    _, method, knob, value = choice.id.split(":", 3)
    entry = next(entry for entry in state.sensitivities if (entry.method, entry.knob) == (method, knob))
    drops = {point.layer: point.drop for point in entry.points if str(point.value) == value}
    names = [name for name in members(state, "layer1") if name in drops]
    top = max(names, key=lambda name: drops[name])
    single = resolve(state, choice.id, None, FIRST_PARTY_KNOBS, structure_of(state.inspect)).fills[top]
    block = resolve(state, choice.id, None, FIRST_PARTY_KNOBS, closed).fills["block:layer1"]
    assert (block.text, block.color, block.uncertain) == (single.text, single.color, single.uncertain)


def test_without_closed_blocks_nothing_speaks_of_them(state: ProjectState) -> None:
    whole = structure_of(state.inspect)
    for overlay in ("operator", "params", "macs", "knob:weight_bits"):
        settings = {name: {"weight_bits": 4} for name in members(state, "layer1")}
        assert "block" not in resolve(state, overlay, settings, FIRST_PARTY_KNOBS, whole).legend.note


def test_arrows_walk_over_blocks(closed: Structure) -> None:
    first = step(closed, None, "down")
    path = [first]
    while (following := step(closed, path[-1], "down")) is not None:
        path.append(following)
    assert [id for id in path if id.startswith("block:")] == ["block:layer1", "block:layer2", "block:layer3"]
    assert step(closed, "block:layer2", "up") == "block:layer1"


def test_search_knows_what_is_hidden(state: ProjectState, closed: Structure) -> None:
    hits = find(structure_of(state.inspect), "layer1.0.conv1")
    assert hits[0] == "layer1.0.conv1"
    assert closed.shown(hits[:1]) == ("block:layer1",)


def test_a_landmark_is_found_before_and_after(tree: BlockTree) -> None:
    stages = tree.to_depth(1)
    within = stages - {"block:layer1"}
    assert landmark(tree, "block:layer1", stages, within) == ("block:layer1", "block:layer1.0")
    assert landmark(tree, "layer1.0.conv2", within, stages) == ("block:layer1.0", "block:layer1")
    assert landmark(tree, "conv1", stages, frozenset()) == ("conv1", "conv1")


def test_every_family_of_operators_has_a_colour() -> None:
    assert set(FAMILIES) <= set(colors.FAMILIES)
    assert len({color for color, _ in colors.FAMILIES.values()}) == len(colors.FAMILIES)
