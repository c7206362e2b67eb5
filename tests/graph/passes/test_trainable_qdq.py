"""The form that is trained is the file that is deployed, before training and after it, normalised or not."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from workbench.engines.training_torch import TorchEngine
from workbench.graph.passes.insert_qdq import Placement, insert_qdq
from workbench.graph.passes.restore_batch_norm import restore_batch_norm
from workbench.graph.passes.trainable_qdq import rescaled_weights, trainable_qdq
from workbench.graph.quantization import ActivationQuantization, WeightQuantization


def run(graph, x):
    """Run as written: no operator is fused with another."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def rounded(weight, bits, axis=0):
    highest = 2 ** (bits - 1) - 1
    scales = (np.abs(weight).reshape(len(weight), -1).max(1) / highest).astype(np.float32)
    shape = (-1,) + (1,) * (weight.ndim - 1)
    integers = np.clip(np.rint(weight / scales.reshape(shape)), -highest - 1, highest).astype(np.int8)
    return WeightQuantization(integers, scales, axis, bits)


@pytest.fixture
def settings(small_cnn):
    bits = {"w1": 8, "w2": 4, "w3": 8}
    weights = {name: rounded(small_cnn.constant(name), count) for name, count in bits.items()}
    activations = {
        "x": ActivationQuantization.from_range(-3.0, 3.0),
        "r1": ActivationQuantization.from_range(0.0, 2.5, 4),
        "c2": ActivationQuantization.from_range(-2.0, 2.0),
        "r2": ActivationQuantization.from_range(0.0, 3.0),
        "p": ActivationQuantization.from_range(0.0, 1.0),
    }
    narrower = {("Gemm_7", 0): ActivationQuantization.from_range(0.0, 1.0, 6)}
    placement = Placement(integer_nodes=("Flatten_6",), narrower=narrower)
    return activations, weights, placement


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(16, 3, 8, 8)).astype(np.float32)


def noise(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_it_computes_what_the_file_computes_in_both_engines(small_cnn, settings, images):
    form = trainable_qdq(small_cnn, *settings)
    expected = run(insert_qdq(small_cnn, *settings), images)
    written = run(form.graph, images)
    assert noise(TorchEngine(1).run(form.graph, {"x": images})["y"], written) < 1e-4
    # The file stores biases in units of both scales.
    assert noise(written, expected) < 0.01


def test_weights_and_biases_stay_float_under_their_names(small_cnn, settings):
    form = trainable_qdq(small_cnn, *settings)
    for name in ("w1", "b1", "w2", "b2", "w3", "b3"):
        np.testing.assert_array_equal(form.graph.constant(name), small_cnn.constant(name))
    assert set(form.weights) == {"w1", "w2", "w3"}
    assert form.weights["w2"].highest == 7
    assert form.weights["w2"].elements == 72
    assert form.activations[settings[0]["r1"]].elements == 8 * 8 * 8
    for quantizer in (*form.weights.values(), *form.activations.values()):
        assert quantizer.scale in form.graph.initializers


def test_untrained_it_gives_back_what_it_was_made_of(small_cnn, settings):
    activations, weights, placement = settings
    form = trainable_qdq(small_cnn, activations, weights, placement)
    learned = form.learned(form.graph)
    for name, quantization in weights.items():
        np.testing.assert_array_equal(learned.weights[name].integers, quantization.integers)
        np.testing.assert_allclose(learned.weights[name].scales, quantization.scales, rtol=1e-6)
    assert all(new == old for old, new in learned.activations.items())


def test_weights_that_are_held_stay_integers(small_cnn, settings):
    form = trainable_qdq(small_cnn, *settings, fixed=("w2",))
    assert "w2" not in form.weights
    assert "w2" not in form.graph.initializers
    assert "w2" not in form.learned(form.graph).weights


def with_normalisation(graph, weights):
    rng = np.random.default_rng(0)
    moments = {name: (rng.normal(size=8), rng.uniform(0.5, 2.0, 8)) for name in ("c1", "c2")}
    restored = restore_batch_norm(graph, moments)
    return restored, rescaled_weights(weights, graph, restored)


def test_normalisation_is_folded_into_the_scales_exactly(small_cnn, settings, images):
    activations, weights, placement = settings
    restored, scaled = with_normalisation(small_cnn, weights)
    form = trainable_qdq(restored, activations, scaled, placement)
    rng = np.random.default_rng(2)
    changed = {
        name: (form.graph.constant(name) * rng.uniform(0.7, 1.3, form.graph.constant_shape(name))).astype(np.float32)
        for name in form.graph.initializers
        if form.graph.value(name).dtype == "float32" and "mean" not in name
    }
    trained = form.graph.with_initializers(changed)
    learned = form.learned(trained)
    assert not any(node.op == "BatchNormalization" for node in learned.graph.nodes)
    narrower = {place: learned.activations[entry] for place, entry in placement.narrower.items()}
    deployed = insert_qdq(
        learned.graph,
        {name: learned.activations[entry] for name, entry in activations.items()},
        learned.weights,
        Placement(placement.integer_nodes, (), narrower),
    )
    # What is left is the rounding of biases, which the file stores in units of both scales.
    assert noise(run(deployed, images), run(trained, images)) < 0.01
    assert np.abs(run(deployed, images) - run(small_cnn, images)).max() > 0.1


def test_a_channel_that_normalisation_turns_over(small_cnn, settings):
    _, weights, _ = settings
    turned = small_cnn.constant("w2").copy()
    turned[3] *= -2.0
    found = rescaled_weights(weights, small_cnn, small_cnn.with_initializers({"w2": turned}))["w2"]
    np.testing.assert_array_equal(found.integers[3], np.clip(-weights["w2"].integers[3], -8, 7))
    np.testing.assert_allclose(found.scales[3], 2 * weights["w2"].scales[3], rtol=1e-5)
    np.testing.assert_array_equal(found.integers[4], weights["w2"].integers[4])


def test_weights_through_a_tanh_begin_as_they_were(small_cnn, settings, images):
    form = trainable_qdq(small_cnn, *settings, bent=True)
    learned = form.learned(form.graph)
    for name in form.weights:
        spread = np.abs(small_cnn.constant(name)).max()
        np.testing.assert_allclose(learned.graph.constant(name), small_cnn.constant(name), atol=0.06 * spread)
    expected = run(insert_qdq(small_cnn, *settings), images)
    assert noise(TorchEngine(1).run(form.graph, {"x": images})["y"], run(form.graph, images)) < 1e-4
    assert noise(run(form.graph, images), expected) < 0.3
