"""Weights and activations of 1 bit: trained as they are deployed, by every estimator, with the ends left finer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.api import RecipeError, Sparsity, Tools, note_sparsity, trainable_qdq
from workbench.data.dataset import open_split
from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.binary import binarized
from workbench.graph.diff import layer_states
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.graph.passes.insert_qdq import insert_qdq
from workbench.graph.quantization import ActivationQuantization
from workbench.graph.storage import open_model
from workbench.methods.preparation import RecipeData
from workbench.methods.truth_ladder import Ladder
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins

FAST = {"batch_size": 32, "threads": 1, "precision": "float32", "calibration_samples": 128, "feature_distillation": 0}
IMAGES = np.random.default_rng(5).normal(size=(400, 3, 8, 8)).astype(np.float32)
ESTIMATORS = ["xnor", "irnet", "recu"]


@pytest.fixture(scope="module")
def methods():
    root = Path(__file__).resolve().parents[3] / "plugins" / "quantize"
    (manifest,) = [found for found in find_plugins().manifests if found.folder.resolve() == root]
    return {method.id: method for method in load_methods(manifest)}


@pytest.fixture(scope="module")
def network(small_cnn):
    """A network whose classes are about equally frequent, so that rounding costs something."""
    logits = OrtEngine(threads=1).open(small_cnn).run({"x": IMAGES})["y"]
    spread = logits.std(axis=0)
    weight, bias = small_cnn.constant("w3") / spread[:, None], (small_cnn.constant("b3") - logits.mean(axis=0)) / spread
    return small_cnn.with_initializers({"w3": weight, "b3": bias.astype(np.float32)})


@pytest.fixture
def tools(network, tmp_path):
    engine = OrtEngine(threads=1)
    y = engine.open(network).run({"x": IMAGES})["y"].argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=IMAGES, y=y)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"train": split, "folder": str(tmp_path)})
    return Tools(
        reference=network,
        data=RecipeData(description, network.inputs, engine, network),
        inference=engine,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=3,
    )


def settings(graph, weight_bits=1, activation_bits=8, layers=None):
    bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    names = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    return resolve(Plan(default=bits, layers=layers or {}), names, FIRST_PARTY_KNOBS)


@pytest.fixture
def train(methods, network, tools):
    def run(weight_bits=1, activation_bits=8, **parameters):
        method = methods["quantize.qat"]
        chosen = method.Parameters(**{**FAST, "epochs": 4, "learning_rate": 0.01, "ends": "plan", **parameters})
        return method(chosen).apply(network, settings(network, weight_bits, activation_bits), tools)

    return run


def levels(graph, weight):
    return np.unique(graph.constant(f"{weight}_quantized")).tolist()


def deployed_run(graph):
    return OrtEngine(threads=1).open(graph).run({"x": IMAGES})["y"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_beats_rounding_alone_and_reports_the_file_s_score(methods, train, tools, network, estimator):
    ptq = methods["quantize.ptq"]
    alone = (
        ptq(ptq.Parameters(calibration_samples=128, bias_correction=False))
        .apply(network, settings(network), tools)
        .graph
    )
    # Patchworks of noise teach nothing in so few steps.
    result = train(binary=estimator, epochs=12, mixing=0.0)
    (stage,) = result.details["stages"]
    best = max(entry["score"] for entry in stage["history"])
    assert tools.data.validate(result.graph) == best
    assert best > tools.data.validate(alone)
    assert all(levels(result.graph, name) == [-1, 1] for name in ("w1", "w2", "w3"))
    assert f"3 weights of 1 bit, trained as {estimator} does." in result.notes


@pytest.mark.parametrize("slope", ["clip", "polynomial"])
def test_activations_of_one_bit_have_two_levels_in_the_file(train, tools, network, slope):
    result = train(1, 1, binary_slope=slope, epochs=6)
    (stage,) = result.details["stages"]
    assert tools.data.validate(result.graph) == max(entry["score"] for entry in stage["history"])
    (layer,) = [node.name for node, found in layer_nodes(network) if found.name == "w2"]
    read = result.graph.node(layer).inputs[0]
    values = np.unique(TorchEngine(threads=1).run(result.graph, {"x": IMAGES[:50]}, [read])[read])
    assert len(values) == 2
    assert values[0] == 0


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_batch_norm_may_stay_folded(train, tools, estimator):
    result = train(binary=estimator, restore_batch_norm=False, learning_rate=0.001, epochs=1)
    assert np.isfinite(deployed_run(result.graph)).all()
    assert levels(result.graph, "w2") == [-1, 1]


def test_pictures_are_mixed_for_weights_of_one_bit_unless_told_otherwise(train):
    def mixed(result):
        return any("pasted pictures into each other in 50 %" in note for note in result.notes)

    assert mixed(train(epochs=1))
    assert not mixed(train(epochs=1, mixing=0.0))
    assert not mixed(train(2, epochs=1))
    assert mixed(train(2, epochs=1, mixing=0.5))


def test_activations_are_trained_before_weights(train):
    result = train(1, 2, stages="w8", epochs=4)
    stages = result.details["stages"]
    assert [(stage["least_bits"], stage["weights_only"]) for stage in stages] == [(8, True), (0, False)]
    assert [len(stage["history"]) for stage in stages] == [2, 2]
    assert levels(result.graph, "w2") == [-64, 64]


def test_first_and_last_layer_are_finer_unless_the_plan_names_them(methods, network, tools):
    method = methods["quantize.qat"]
    (first, _, last) = [node.name for node, _ in layer_nodes(network)]
    parameters = method.Parameters(**FAST, epochs=0)
    result = method(parameters).apply(network, settings(network), tools)
    assert len(levels(result.graph, "w1")) > 2
    assert levels(result.graph, "w2") == [-1, 1]
    assert len(levels(result.graph, "w3")) > 2
    (said,) = [text for text in method(parameters).check(network, settings(network)) if "in place of 1 bit" in text]
    assert first in said
    assert last in said
    # Eight bits can saturate where one bit cannot, and that is to be said of the two alone.
    assert method(parameters).saturating(network, settings(network)) == (first, last)
    named = settings(network, layers={first: {"weight_bits": 1}})
    assert method(parameters).saturating(network, named) == (last,)
    assert levels(method(parameters).apply(network, named, tools).graph, "w1") == [-1, 1]
    assert len(levels(method(parameters).outline(network, settings(network), tools), "w1")) > 2
    floating = method.Parameters(**FAST, epochs=0, ends="float")
    assert method(floating).saturating(network, settings(network)) == ()
    assert not any("float weights" in text for text in method(floating).check(network, settings(network)))
    graph = method(floating).apply(network, settings(network), tools).graph
    for weight in ("w1", "w3"):
        (reader,) = graph.consumers(weight)
        source = graph.producer(reader.inputs[0])
        # The runtime would round a weight between integers by itself.
        assert source is None or source.op != "DequantizeLinear"


def test_the_same_seed_gives_the_same_bytes(train):
    runs = [train(epochs=1, binary="recu").graph.to_bytes() for _ in range(2)]
    assert runs[0] == runs[1]


def test_sparse_weights_are_refused_before_the_run(methods, network):
    (layer,) = [node.name for node, found in layer_nodes(network) if found.name == "w2"]
    sparse = note_sparsity(network, {layer: Sparsity("unstructured", 0.5)})
    method = methods["quantize.qat"]
    with pytest.raises(RecipeError, match="signs have no zero"):
        method(method.Parameters()).check(sparse, settings(sparse))


@pytest.mark.parametrize("balanced", [False, True])
def test_the_form_computes_what_the_file_computes(network, balanced):
    weights = {"w2": binarized(network.constant("w2"), 0, balanced=balanced)}
    activations = {"r1": ActivationQuantization.from_range(0.0, 2.5, 1)}
    form = trainable_qdq(network, activations, weights, balanced=balanced, binary_slope="polynomial")
    learned = form.learned(form.graph)
    signs = learned.weights["w2"]
    # As what reads few bits is stored: the bias is an integer in units of the scales.
    finer = {"w2": replace(signs, integers=signs.integers * np.int8(64), scales=signs.scales / np.float32(64))}
    file = insert_qdq(learned.graph, activations, finer)
    x = IMAGES[:8]
    trained = TorchEngine(threads=1).run(form.graph, {"x": x}, ["y"])["y"]
    np.testing.assert_allclose(trained, OrtEngine(threads=1).open(file, optimize=False).run({"x": x})["y"], atol=0.05)


def test_channels_of_zeros_stay_silent(methods, network, tools):
    weight = network.constant("w2").copy()
    weight[1] = 0
    method = methods["quantize.qat"]
    chosen = method.Parameters(**FAST, epochs=1, ends="plan")
    empty = network.with_initializers({"w2": weight})
    assert np.isfinite(deployed_run(method(chosen).apply(empty, settings(empty), tools).graph)).all()


def test_signs_have_the_mean_magnitude_of_their_channel():
    weight = np.array([[1.0, -3.0], [0.0, 0.0], [5.0, 7.0]], np.float32)
    plain, balanced = binarized(weight, 0), binarized(weight, 0, balanced=True)
    np.testing.assert_array_equal(plain.integers, [[1, -1], [1, 1], [1, 1]])
    np.testing.assert_allclose(plain.scales, [2.0, 0.0, 6.0], atol=1e-6)
    np.testing.assert_array_equal(balanced.integers, [[1, -1], [1, 1], [-1, 1]])
    np.testing.assert_allclose(balanced.scales, [2.0, 0.0, 1.0], atol=1e-6)
    assert binarized(weight, None).scales == pytest.approx(16 / 6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("branches", [2, 3])
def test_bases_add_up_to_odd_levels_of_one_weight(train, tools, estimator, branches):
    result = train(binary=estimator, binary_branches=branches, epochs=3, mixing=0.0)
    (stage,) = result.details["stages"]
    assert tools.data.validate(result.graph) == max(entry["score"] for entry in stage["history"])
    highest = 2**branches - 1
    for name in ("w1", "w2", "w3"):
        assert set(levels(result.graph, name)) <= set(range(-highest, highest + 1, 2))
    assert len(levels(result.graph, "w2")) == 2**branches
    assert f"3 weights of 1 bit on {branches} bases, trained as {estimator} does." in result.notes
    assert {state.bits for state in layer_states(result.graph).values()} == {branches}


def test_each_base_takes_most_of_the_error_that_is_left(train, network):
    def error(many):
        file, exact = train(epochs=0, binary_branches=many).graph, network.constant("w2")
        integers, scales = (file.constant(f"w2_{part}") for part in ("quantized", "scale"))
        return np.square(integers * scales.reshape(-1, 1, 1, 1) - exact).sum() / np.square(exact).sum()

    errors = [error(many) for many in (1, 2, 3)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("branches", [1, 2, 3])
@pytest.mark.parametrize("bits", [8, 2])
def test_all_rungs_of_the_ladder_agree(train, tools, tmp_path, branches, bits):
    path = tmp_path / "candidate.onnx"
    trained = train(1, bits, epochs=1, binary_branches=branches).graph
    path.write_bytes(trained.to_bytes())
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"test": split, "folder": str(tmp_path)})
    dataset = open_split(description, "test", trained.inputs)
    report = Ladder(OrtEngine(threads=1), TorchEngine(threads=1)).climb(path, dataset, compared_samples=40)
    assert (report.parts_literal, report.parts_deployed) == (None, None)
    scores = [rung.metric.value for rung in report.rungs if rung.metric is not None]
    assert len(scores) == 3
    assert max(scores) - min(scores) <= 0.01
    again = OrtEngine(threads=1).open(open_model(path)).run({"x": IMAGES})["y"]
    np.testing.assert_array_equal(again, deployed_run(trained))


def test_stages_ends_and_small_files_know_bases(train, methods, network, tools):
    staged = train(1, 2, stages="w2", epochs=2, binary_branches=2)
    # Of layers that read few bits, finer by 16.
    assert set(levels(staged.graph, "w2")) <= {-48, -16, 16, 48}
    method = methods["quantize.qat"]
    parameters = method.Parameters(**FAST, epochs=0, binary_branches=2)
    ended = method(parameters).outline(network, settings(network), tools)
    assert len(levels(ended, "w1")) > 4
    assert set(levels(ended, "w2")) <= {-3, -1, 1, 3}
    assert np.abs(levels(train(1, 2, epochs=1, binary_branches=3).graph, "w2")).max() == 56
    small, wide = (train(epochs=1, binary_branches=2, storage=storage).graph for storage in ("small", "fast"))
    np.testing.assert_array_equal(deployed_run(small), deployed_run(wide))
    assert len(small.to_bytes()) < len(wide.to_bytes())


def test_bases_give_the_same_bytes_again(train):
    runs = [train(epochs=1, binary="irnet", binary_branches=2).graph.to_bytes() for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("branches", [0, 4, 1.5, "two"])
def test_other_numbers_of_bases_are_refused(methods, branches):
    with pytest.raises(ValueError, match="binary_branches"):
        methods["quantize.qat"].Parameters(binary_branches=branches)


def test_bases_without_layers_of_one_bit_are_warned_of(methods, network):
    method = methods["quantize.qat"]
    warned = method(method.Parameters(binary_branches=2)).check(network, settings(network, weight_bits=2))
    assert any("binary_branches is for layers with weight_bits 1" in text for text in warned)
