"""Hidden units of recurrent layers: all gates, both directions and whoever reads them lose the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.removal import random_removal, removed_against_masked
from workbench.graph.channels import blocked_layers, channel_groups
from workbench.graph.layers import knobs_of
from workbench.graph.model import ModelGraph
from workbench.graph.passes.remove_channels import remove_channels
from workbench.graph.storage import open_model

Build = Callable[..., ModelGraph]
HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) / 2


@pytest.mark.parametrize("kind", GATES)
def test_hidden_units_go_with_gates_states_and_readers(graph_from: Build, kind: str) -> None:
    gates = GATES[kind]
    states = "h, c, p" if kind == "LSTM" else "h"
    graph = graph_from(
        HEADER
        + f"""net (float[7,1,3] x) => (float[7,1,2] y) {{
            all, last = {kind} <hidden_size = 5, direction = "bidirectional"> (x, w, r, b, , {states})
            turned = Transpose <perm = [0,2,1,3]> (all)
            flat = Reshape (turned, target)
            y = MatMul (flat, wy)
        }}""",
        {
            "w": weight(2, 5 * gates, 3),
            "r": weight(2, 5 * gates, 5, seed=1),
            "b": weight(2, 10 * gates, seed=2),
            "h": weight(2, 1, 5, seed=3),
            "c": weight(2, 1, 5, seed=4),
            "p": weight(2, 15, seed=5),
            "target": np.asarray([0, 0, -1], dtype=np.int64),
            "wy": weight(10, 2, seed=6),
        },
    )
    hidden, _ = channel_groups(graph)
    assert (hidden.id, hidden.units, hidden.unit) == (f"{kind}_0", 5, gates)
    assert {(member.layer, member.axis) for member in hidden.members} == {
        (f"{kind}_0", "out"),
        (f"{kind}_0", "in"),
        ("MatMul_3", "in"),
    }
    smaller = remove_channels(graph, {hidden.id: [1, 4]})
    node = smaller.node(f"{kind}_0")
    assert node.attribute("hidden_size") == 3
    assert smaller.constant(node.inputs[2]).shape == (2, 3 * gates, 3)
    assert smaller.constant("wy").shape == (6, 2)
    for seed in range(4):
        assert removed_against_masked(graph, random_removal([hidden], seed), seed) < 1e-5
    assert "prune_ratio" in knobs_of(kind)


def test_a_state_that_the_caller_keeps_pins_hidden_units(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[7,1,3] x, float[1,1,5] h) => (float[7,1,2] y, float[1,1,5] next) {
            all, next = GRU <hidden_size = 5> (x, w, r, , , h)
            flat = Squeeze (all, one)
            y = MatMul (flat, wy)
        }""",
        {"w": weight(1, 15, 3), "r": weight(1, 15, 5), "one": np.asarray([1], dtype=np.int64), "wy": weight(5, 2)},
    )
    assert blocked_layers(graph)["GRU_0"] == "reaches graph input 'h'"


@pytest.mark.parametrize("name", ["byte_sb_bidi_lstm.onnx", "stock_lstm.onnx"])
def test_recurrent_layers_of_the_zoo_are_prunable(shared: Path, name: str) -> None:
    graph = open_model(shared / "data" / "zoo" / name)
    blocked = blocked_layers(graph)
    assert [node.op for node in graph.nodes if node.op == "LSTM" and node.name in blocked] == []
