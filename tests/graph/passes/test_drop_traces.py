from __future__ import annotations

from workbench.graph.passes.drop_traces import drop_traces
from workbench.graph.storage import open_model


def test_traces_go_and_layer_paths_stay(shared):
    graph = open_model(shared / "data/models/resnet20_cifar10_folded.onnx")
    before = graph.to_bytes()
    lean = drop_traces(graph)
    assert graph.to_bytes() == before
    assert b"stack_trace" in before
    assert b"stack_trace" not in lean.to_bytes()
    assert [node.path for node in lean.nodes] == [node.path for node in graph.nodes]
    assert any(node.path for node in lean.nodes)
    assert len(before) - len(lean.to_bytes()) > 20_000
