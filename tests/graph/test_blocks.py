"""Blocks: modules are read from metadata and names, the rest from the data flow, and none of them is empty words."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.domain.reports import Drawing
from workbench.graph.blocks import blocks_of
from workbench.graph.collapse import BlockTree
from workbench.graph.layout import layout
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model


def chain(names: list[str], metadata: dict[str, dict[str, str]] | None = None) -> ModelGraph:
    """Return a chain of Relus of these names."""
    value = feed = ir.Value(name="x", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
    nodes = []
    for index, name in enumerate(names):
        node = ir.node("Relu", [value], name=name)
        node.metadata_props.update((metadata or {}).get(name, {}))
        value = node.outputs[0]
        value.name = f"v{index}"
        nodes.append(node)
    return ModelGraph(ir.Model(ir.Graph([feed], [value], nodes=nodes, opset_imports={"": 17}, name="g"), ir_version=8))


def of(drawing: Drawing) -> dict[str, tuple[str, ...]]:
    """Return the names of the blocks around every operator, outermost first."""
    tree = BlockTree(drawing)
    return {
        node.id: tuple(tree.by_id[id].name for id in reversed(tree.around(node.id)))
        for node in drawing.nodes
        if ":" not in node.id
    }


def test_metadata_of_the_newer_exporter_names_modules() -> None:
    key = "pkg.torch.onnx.name_scopes"
    scopes = {
        "a": {key: "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'convolution']"},
        "b": {key: "['', 'layer1', 'layer1.0', 'relu']"},
        "c": {key: "['', 'layer1', 'layer1.1', 'relu_1']"},
        "d": {key: "['', 'layer1', 'layer1.1', 'relu_2']"},
        "e": {key: "['', 'flatten']"},
    }
    blocks = of(layout(chain(list("abcde"), scopes)))
    assert blocks == {
        "a": ("layer1", "layer1.0"),
        "b": ("layer1", "layer1.0"),
        "c": ("layer1", "layer1.1"),
        "d": ("layer1", "layer1.1"),
        "e": (),
    }


def test_namespaces_name_modules_where_scopes_are_missing() -> None:
    made = {
        name: {"namespace": f": net.Net/{module}: torch.nn.modules.container.Sequential/relu: aten.relu.default"}
        for name, module in (("a", "stem"), ("b", "stem"), ("c", "head"), ("d", "head"))
    }
    assert of(layout(chain(list("abcd"), made))) == {"a": ("stem",), "b": ("stem",), "c": ("head",), "d": ("head",)}


def test_names_of_the_older_exporter_and_of_tensorflow_name_modules() -> None:
    torch = of(layout(chain(["/layer1/layer1.0/r/Relu", "/layer1/layer1.0/Relu", "/layer2/a/Relu", "/layer2/Relu"])))
    assert list(torch.values()) == [("layer1",), ("layer1",), ("layer2",), ("layer2",)]
    flow = of(layout(chain(["net/a/b/Relu;net/c/Relu", "net/a/b/Relu_1", "net/a/Relu", "net/z/Relu", "net/z/Relu_1"])))
    assert list(flow.values()) == [("net/a", "net/a/b")] * 2 + [("net/a",)] + [("net/z",)] * 2


@pytest.mark.parametrize("name", ["resnet20_cifar10_folded", "resnet20_cifar10_bnclean", "resnet56_cifar10_folded"])
def test_resnets_have_their_stages_and_residual_blocks(name: str, shared: Path) -> None:
    tree = BlockTree(layout(open_model(shared / "data" / "models" / f"{name}.onnx")))
    titles = {
        depth: [block.title for block in tree.by_id.values() if tree.depth[block.id] == depth] for depth in (1, 2)
    }
    assert titles[1] == ["layer1", "layer2", "layer3"]
    count = 9 if "56" in name else 3
    assert titles[2] == [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(count)]


def test_names_of_weights_tell_a_transformers_modules(shared: Path) -> None:
    """The file's operators are called Gather_10 and the like; only weights carry names."""
    drawing = layout(open_model(shared / "data" / "zoo" / "bert_toy_optimized.onnx"))
    tree = BlockTree(drawing)
    names = {block.name for block in drawing.blocks}
    assert {f"bert.encoder.layer.{index}.attention.self" for index in range(5)} <= names
    first = tree.members["block:bert.encoder.layer.0.attention.self"]
    ops = {node.id: node.op for node in drawing.nodes}
    assert "Softmax" in {ops[id] for id in first}, "what has no weight belongs to the module around it"


def test_a_graph_without_names_has_sections_and_runs(shared: Path) -> None:
    drawing = layout(open_model(shared / "data" / "zoo" / "style_candy_op7.onnx"))
    titles = [block.title for block in drawing.blocks if block.parent is None]
    assert "Conv + InstanceNormalization + Relu" in titles
    assert "Section 1" in titles
    inner = {block.title for block in drawing.blocks if block.parent == "block:Section 1"}
    assert inner == {"Conv + InstanceNormalization + Relu", "Conv + InstanceNormalization"}


SCOPES = st.lists(
    st.lists(st.sampled_from("abc"), max_size=3).map(
        lambda parts: tuple(".".join(parts[: i + 1]) for i in range(len(parts)))
    ),
    min_size=1,
    max_size=30,
)


@given(SCOPES)
def test_blocks_hold_some_but_not_all_and_differ_from_what_is_around(scopes: list[tuple[str, ...]]) -> None:
    names = [f"n{index}" for index in range(len(scopes))]
    found = blocks_of(names, scopes)
    by_id = {block.id: block for block in found.blocks}
    members: dict[str, int] = dict.fromkeys(by_id, 0)
    for name in names:
        id = found.innermost.get(name)
        while id is not None:
            members[id] += 1
            id = by_id[id].parent
    seen: set[str] = set()
    for block in found.blocks:
        assert 2 <= members[block.id] <= 0.85 * len(names)
        assert block.parent is None or (block.parent in seen and members[block.parent] > members[block.id])
        seen.add(block.id)
