"""Closing blocks: nothing is lost, what is hidden has an owner, and the picture left is as sound as the whole one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.domain.reports import Drawing, DrawnBlock, DrawnEdge, DrawnNode
from workbench.graph.collapse import BlockTree, collapsed
from workbench.graph.layout import layout
from workbench.graph.storage import open_model

_PARENTS = {"A": None, "B": None, "A1": "A", "A2": "A", "A1x": "A1"}
_BLOCKS = tuple(DrawnBlock(id=id, title=id, name=id, parent=parent) for id, parent in _PARENTS.items())


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """Draw graphs whose nodes lie anywhere in the blocks, so that blocks feed each other in circles."""
    count = draw(st.integers(1, 16))
    nodes = tuple(
        DrawnNode(
            id=f"n{index}", op="Relu", family="activation", x=0, y=index * 58.0, width=100, height=28,
            block=draw(st.sampled_from([None, *_PARENTS])),
        )
        for index in range(count)
    )  # fmt: skip
    pairs = draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30))
    edges = tuple(
        DrawnEdge(source=f"n{source}", target=f"n{target}", value=f"v{source}")
        for source, target in sorted(pairs)
        if source < target
    )
    return Drawing(nodes=nodes, edges=edges, width=100, height=58.0 * count, blocks=_BLOCKS)


def check_whole(drawing: Drawing, closed: frozenset[str]) -> None:
    tree = BlockTree(drawing)
    owners = tree.owners(closed)
    shown = collapsed(tree, closed)
    boxes = {node.id: node for node in shown.nodes}
    assert len(boxes) == len(shown.nodes) == tree.boxes(closed)
    assert {owners.get(node.id, node.id) for node in drawing.nodes} == set(boxes)
    joined = {(owners.get(edge.source, edge.source), owners.get(edge.target, edge.target)) for edge in drawing.edges}
    assert {(edge.source, edge.target) for edge in shown.edges} == {pair for pair in joined if pair[0] != pair[1]}
    if not owners:
        return
    rows: dict[float, list[tuple[float, float]]] = {}
    for node in shown.nodes:
        rows.setdefault(node.y, []).append((node.x - node.width / 2, node.x + node.width / 2))
        assert node.x - node.width / 2 >= -0.1
        assert node.x + node.width / 2 <= shown.width + 0.1
        assert node.y + node.height / 2 <= shown.height + 0.1
    for row in rows.values():
        ordered = sorted(row)
        assert all(left[1] <= right[0] + 0.2 for left, right in pairwise(ordered))


@given(drawings(), st.sets(st.sampled_from(list(_PARENTS))))
def test_any_closed_blocks_leave_a_sound_picture(drawing: Drawing, closed: set[str]) -> None:
    check_whole(drawing, frozenset(closed))


def test_nothing_closed_is_the_drawing_itself(shared: Path) -> None:
    drawing = layout(open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx"))
    assert collapsed(BlockTree(drawing), ()) is drawing


@pytest.mark.parametrize("name", ["models/resnet20_cifar10_folded", "zoo/bert_toy_optimized", "zoo/yolox_nano"])
def test_real_graphs_close_at_every_depth(name: str, shared: Path) -> None:
    drawing = layout(open_model(shared / "data" / f"{name}.onnx"))
    tree = BlockTree(drawing)
    counts = [tree.boxes(tree.to_depth(depth)) for depth in range(1, max(tree.depth.values()) + 1)]
    assert counts == sorted(counts)
    assert counts[0] < len(drawing.nodes) / 3
    for depth in range(1, max(tree.depth.values()) + 1):
        check_whole(drawing, tree.to_depth(depth))


def test_the_residual_stages_stand_in_a_row(shared: Path) -> None:
    drawing = layout(open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx"))
    shown = collapsed(BlockTree(drawing), BlockTree(drawing).to_depth(1))
    stages = {node.op: node.y for node in shown.nodes if node.family == "block"}
    assert list(stages) == ["layer1", "layer2", "layer3"]
    assert sorted(stages.values()) == list(stages.values())


def test_a_block_within_a_closed_one_keeps_its_state(shared: Path) -> None:
    drawing = layout(open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx"))
    tree = BlockTree(drawing)
    closed = tree.to_depth(1)
    hidden = next(node.id for node in drawing.nodes if node.block == "block:layer1.1")
    assert tree.owners(closed)[hidden] == "block:layer1"
    assert tree.owners(closed - {"block:layer1"})[hidden] == "block:layer1.1"
    assert tree.around(hidden) == ("block:layer1.1", "block:layer1")


def test_a_large_graph_begins_closed_and_a_small_one_open(shared: Path) -> None:
    small = BlockTree(layout(open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")))
    assert small.at_first(300) == frozenset()
    large = BlockTree(layout(open_model(shared / "data" / "zoo" / "gpt2_past.onnx")))
    assert large.boxes(large.at_first(300)) <= 300
