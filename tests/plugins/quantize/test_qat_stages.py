"""Stages of fewer and fewer bits: each goes on with the network that the one before had trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.api import Tools
from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.methods.preparation import RecipeData
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins

IMAGES = np.random.default_rng(5).normal(size=(400, 3, 8, 8)).astype(np.float32)
FAST = {"batch_size": 32, "threads": 1, "precision": "float32", "calibration_samples": 128, "ends": "plan"}


@pytest.fixture(scope="module")
def network(graph_from):
    """A residual network whose shortcut takes every other pixel and pads the channels."""
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,5] y)
        <int64[2] starts = {0, 0}, int64[2] ends = {8, 8}, int64[2] axes = {2, 3}, int64[2] steps = {2, 2},
         int64[8] pads = {0, 8, 0, 0, 0, 8, 0, 0}> {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1], strides = [2,2]> (r1, w2, b2)
            s = Slice (r1, starts, ends, axes, steps)
            q = Pad (s, pads)
            a = Add (c2, q)
            r2 = Relu (a)
            p = GlobalAveragePool (r2)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w3, b3)
        }""",
        {
            "w1": rng.normal(size=(16, 3, 3, 3)).astype(np.float32) * 0.3,
            "b1": rng.normal(size=16).astype(np.float32) * 0.1,
            "w2": rng.normal(size=(32, 16, 3, 3)).astype(np.float32) * 0.2,
            "b2": rng.normal(size=32).astype(np.float32) * 0.1,
            "w3": rng.normal(size=(5, 32)).astype(np.float32),
            "b3": rng.normal(size=5).astype(np.float32),
        },
    )
    logits = OrtEngine(threads=1).open(graph).run({"x": IMAGES})["y"]
    spread = logits.std(axis=0)
    weight, bias = graph.constant("w3") / spread[:, None], (graph.constant("b3") - logits.mean(axis=0)) / spread
    return graph.with_initializers({"w3": weight, "b3": bias.astype(np.float32)})


@pytest.fixture
def train(network, tmp_path):
    engine = OrtEngine(threads=1)
    y = engine.open(network).run({"x": IMAGES})["y"].argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=IMAGES, y=y)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"train": split, "folder": str(tmp_path)})
    tools = Tools(
        reference=network,
        data=RecipeData(description, network.inputs, engine, network),
        inference=engine,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=3,
    )
    root = Path(__file__).resolve().parents[3] / "plugins" / "quantize"
    (manifest,) = [found for found in find_plugins().manifests if found.folder.resolve() == root]
    (method,) = [found for found in load_methods(manifest) if found.id == "quantize.qat"]
    names = {node.name: knobs_of(node.op) for node, _ in layer_nodes(network)}

    def run(weight_bits, activation_bits=8, **parameters):
        bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
        chosen = method.Parameters(**{**FAST, "learning_rate": 0.01, **parameters})
        return method(chosen).apply(network, resolve(Plan(default=bits), names, FIRST_PARTY_KNOBS), tools)

    return run


def stored(graph):
    """Return the shapes of the integers in a file, by name."""
    return {name: graph.constant(name).shape for name in graph.initializers if graph.value(name).dtype == "int8"}


@pytest.mark.parametrize(("bits", "stages"), [(1, "2"), (2, "4"), (2, "8, 2"), (1, "w2")])
def test_stages_change_nothing_but_the_bits(train, bits, stages):
    once = train(bits, epochs=1)
    staged = train(bits, epochs=6, stages=stages)
    assert stored(staged.graph) == stored(once.graph)
    assert [node.op for node in staged.graph.nodes] == [node.op for node in once.graph.nodes]
    shortcut = next(name for name, shape in stored(staged.graph).items() if shape == (32, 16, 1, 1))
    assert np.count_nonzero(staged.graph.constant(shortcut)) == 16


@pytest.mark.parametrize("folded", [False, True])
def test_a_stage_goes_on_with_what_the_one_before_reached(train, folded):
    rate = 0.001 if folded else 0.01
    result = train(2, epochs=12, stages="2", learning_rate=rate, restore_batch_norm=not folded)
    first, second = (stage["history"] for stage in result.details["stages"])
    # It begins again with the full learning rate, so that the loss rises a little at first.
    assert second[0]["loss"] < 1.25 * first[-1]["loss"]
    assert second[0]["loss"] < 0.9 * first[0]["loss"]


def test_the_sign_of_two_bits_is_a_good_start_for_one(train):
    alone = train(1, epochs=1).details["stages"][0]["history"]
    _, then = (stage["history"] for stage in train(1, epochs=7, stages="2", last_stage=0.1).details["stages"])
    assert then[0]["loss"] < alone[0]["loss"]


def test_ranges_of_values_that_keep_their_bits_are_kept(train):
    result = train(2, 4, epochs=4, stages="w8", scale_rate=0.0)
    second = result.details["scales"]
    assert all(before == pytest.approx(after) for before, after in second.values())
    learned = train(2, 4, epochs=4, stages="w8", scale_rate=50.0).details["scales"]
    assert any(entry[0] != second[name][0] for name, entry in learned.items())
