"""Zeros at the places of a channel mean what its removal means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.removal import feeds, prunable_groups, random_removal, run
from workbench.graph.channels import coupled_weights, folded_graph
from workbench.graph.model import ModelGraph
from workbench.graph.passes.remove_channels import remove_channels
from workbench.graph.storage import open_model
from workbench.graph.trial_graph import trial_graph

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


def zeroed(graph: ModelGraph, removal: dict[str, list[int]]) -> ModelGraph:
    arrays: dict[str, np.ndarray] = {}
    graph = folded_graph(graph)
    for group, entries in coupled_weights(graph).items():
        for entry in entries:
            array = arrays.setdefault(entry.weight, graph.constant(entry.weight).copy())
            array[(slice(None),) * entry.axis + (np.isin(entry.units, removal.get(group, [])),)] = 0
    return graph.with_initializers(arrays)


def check_equal(graph: ModelGraph, seeds: int) -> None:
    for seed in range(seeds):
        removal = random_removal(prunable_groups(graph), seed)
        inputs = feeds(graph, seed)
        removed = run(remove_channels(graph, removal), inputs) if removal else run(graph, inputs)
        for expected, found in zip(removed, run(zeroed(graph, removal), inputs), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_zeros_are_removal_with_residuals_depthwise_layers_and_biases(small_cnn: ModelGraph) -> None:
    check_equal(small_cnn, 4)
    check_equal(trial_graph(), 4)


@pytest.mark.parametrize("name", ["resnet20_cifar10_folded.onnx", "resnet20_cifar10_bnclean.onnx"])
def test_zeros_are_removal_on_padded_shortcuts(shared: Path, name: str) -> None:
    check_equal(open_model(shared / "data" / "models" / name), 2)


def test_makers_and_readers_are_told_apart(small_cnn: ModelGraph) -> None:
    (entries,) = coupled_weights(small_cnn).values()
    kinds = {(entry.weight, entry.axis): entry.reads for entry in entries}
    expected = {
        ("w1", 0): False,
        ("b1", 0): False,
        ("w2", 0): False,
        ("b2", 0): False,
        ("w2", 1): True,
        ("w3", 1): True,
    }
    assert kinds == expected
    assert {entry.units for entry in entries} == {tuple(range(8))}


def test_divisors_and_weights_that_readers_see_differently_are_left_out(graph_from: Callable[..., ModelGraph]) -> None:
    rng = np.random.default_rng(0)
    graph = graph_from(
        HEADER
        + """net (float[1,3,4,4] x) => (float[1,2,4,4] y) {
            a = Conv (x, w1, b)
            d = Div (a, scale)
            c = Conv (d, w2, b)
            y = Conv (c, w3)
        }""",
        {
            "w1": rng.normal(size=(6, 3, 1, 1)).astype(np.float32),
            "b": rng.normal(size=6).astype(np.float32),
            "scale": np.full((6, 1, 1), 2, np.float32),
            "w2": rng.normal(size=(6, 6, 1, 1)).astype(np.float32),
            "w3": rng.normal(size=(2, 6, 1, 1)).astype(np.float32),
        },
    )
    found = {entry.weight for entries in coupled_weights(graph).values() for entry in entries}
    assert found == {"w1", "w2", "w3"}
    check_equal(graph, 4)
