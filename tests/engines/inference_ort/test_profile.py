from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.engines.inference_ort.profile import LayerJoin, profile_operators
from workbench.graph.storage import open_model


def test_fused_names_lead_back_to_their_layers(small_cnn):
    join = LayerJoin(small_cnn)
    assert join.layer_of("Conv_0", "Conv") == "Conv_0"
    assert join.layer_of("r1_nchwc", "Conv") == "Conv_0"
    assert join.layer_of("c2_nchwc", "Conv") == "Conv_2"
    assert join.layer_of("Conv_2_token_17", "QLinearConv") == "Conv_2"
    assert join.layer_of("Gemm_7", "QGemm") == "Gemm_7"
    assert join.layer_of("Add_3", "Add") is None
    assert join.layer_of("r2_nchwc", "Conv") is None
    assert join.layer_of("ReorderInput_token_3", "ReorderInput") is None
    assert join.layer_of("never heard of", "Conv") is None


@pytest.mark.parametrize("name", ["resnet20_cifar10_folded.onnx", "resnet20_cifar10_bnclean.onnx"])
def test_every_layer_of_resnet20_is_found(shared: Path, name: str):
    path = shared / "data/models" / name
    graph = open_model(path)
    (entry,) = graph.inputs
    inputs = {entry.name: np.zeros((1, 3, 32, 32), np.float32)}
    operators = profile_operators(path, inputs, graph, seconds=0.1)
    found = {operator.layer for operator in operators} - {None}
    assert found == {node.name for node in graph.nodes if node.op in ("Conv", "Gemm")}
