"""Quantization-aware training: better than rounding alone, scored as deployed, resumed and cancelled by epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from workbench.api import (
    CancelledError,
    CancelToken,
    DataError,
    Progress,
    RecipeError,
    Sparsity,
    Tools,
    note_sparsity,
)
from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.methods.preparation import RecipeData
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins

FAST = {"batch_size": 32, "threads": 1, "precision": "float32", "calibration_samples": 128, "feature_distillation": 0}


@pytest.fixture(scope="module")
def methods():
    root = Path(__file__).resolve().parents[3] / "plugins" / "quantize"
    (manifest,) = [found for found in find_plugins().manifests if found.folder.resolve() == root]
    return {method.id: method for method in load_methods(manifest)}


IMAGES = np.random.default_rng(5).normal(size=(400, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def network(small_cnn):
    """A network whose classes are about equally frequent, so that rounding costs something."""
    logits = OrtEngine(threads=1).open(small_cnn).run({"x": IMAGES})["y"]
    spread = logits.std(axis=0)
    weight, bias = small_cnn.constant("w3") / spread[:, None], (small_cnn.constant("b3") - logits.mean(axis=0)) / spread
    return small_cnn.with_initializers({"w3": weight, "b3": bias.astype(np.float32)})


@pytest.fixture
def tools(network, tmp_path):
    engine, x = OrtEngine(threads=1), IMAGES
    y = engine.open(network).run({"x": x})["y"].argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=x, y=y)
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


def settings(graph, weight_bits, activation_bits=None):
    bits = {"weight_bits": weight_bits, "activation_bits": activation_bits or weight_bits}
    names = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    return resolve(Plan(default=bits), names, FIRST_PARTY_KNOBS)


@pytest.fixture
def train(methods, network, tools):
    def run(weight_bits=3, activation_bits=None, using=tools, **parameters):
        method = methods["quantize.qat"]
        chosen = method.Parameters(**{**FAST, "epochs": 4, "learning_rate": 0.003, **parameters})
        return method(chosen).apply(network, settings(network, weight_bits, activation_bits), using)

    return run


def rounded_alone(methods, graph, tools, bits):
    method = methods["quantize.ptq"]
    return (
        method(method.Parameters(calibration_samples=128, bias_correction=False))
        .apply(graph, settings(graph, bits), tools)
        .graph
    )


def test_it_beats_rounding_alone(methods, train, tools, network):
    alone = tools.data.validate(rounded_alone(methods, network, tools, 3))
    trained = tools.data.validate(train(epochs=10).graph)
    assert trained > alone + 0.1


def test_the_score_it_reports_is_that_of_the_file(train, tools):
    result = train()
    (stage,) = result.details["stages"]
    best = max(entry["score"] for entry in stage["history"])
    assert tools.data.validate(result.graph) == best
    assert any(f"validation {best:.4f}" in note for note in result.notes)


def test_the_file_has_the_bits_of_the_plan(train):
    graph = train(weight_bits=3).graph
    stored = [name for name in graph.initializers if graph.value(name).dtype == "int8" and name.startswith("w")]
    levels = [graph.constant(name) for name in stored if name.endswith("_quantized")]
    assert len(levels) == 3
    assert all(array.min() >= -4 and array.max() <= 3 for array in levels)
    assert not any(node.op == "BatchNormalization" for node in graph.nodes)
    scales = [graph.constant(name) for name in graph.initializers if name.endswith("_scale")]
    assert all((array > 0).all() for array in scales)


@pytest.mark.parametrize("estimator", ["lsq", "lsq+", "pact", "dorefa", "fixed"])
def test_every_estimator_learns(methods, train, tools, network, estimator):
    alone = tools.data.validate(rounded_alone(methods, network, tools, 4))
    result = train(weight_bits=4, epochs=6, estimator=estimator)
    assert tools.data.validate(result.graph) >= alone
    moved = [after != pytest.approx(before) for before, after in result.details["scales"].values()]
    assert any(moved) == (estimator in ("lsq", "lsq+", "pact"))


def test_without_batch_norm_the_weights_themselves_learn(methods, train, tools, network):
    alone = tools.data.validate(rounded_alone(methods, network, tools, 3))
    result = train(restore_batch_norm=False, epochs=8)
    assert tools.data.validate(result.graph) > alone
    assert not any("Batch norm given back" in note for note in result.notes)


def test_bits_are_lowered_stage_by_stage(train, tools):
    result = train(weight_bits=2, epochs=6, stages="8, 4", last_stage=0.5)
    assert [entry["least_bits"] for entry in result.details["stages"]] == [8, 4, 0]
    assert [len(entry["history"]) for entry in result.details["stages"]] == [2, 1, 3]
    assert tools.data.validate(result.graph) == max(entry["score"] for entry in result.details["stages"][-1]["history"])


def test_zeros_of_an_earlier_step_stay(methods, tools, network):
    weight = network.constant("w2").copy()
    weight[np.abs(weight) < np.median(np.abs(weight))] = 0.0
    (layer,) = [node.name for node, found in layer_nodes(network) if found.name == "w2"]
    sparse = network.with_initializers({"w2": weight})
    sparse = note_sparsity(sparse, {layer: Sparsity("unstructured", 0.5)})
    method = methods["quantize.qat"]
    chosen = method.Parameters(**FAST, epochs=1, learning_rate=0.01)
    result = method(chosen).apply(sparse, settings(sparse, 4), tools)
    integers = result.graph.constant("w2_quantized")
    assert (integers[weight == 0] == 0).all()
    assert "kept the zeros of 1 sparse weights" in result.notes


def test_weights_alone_can_be_trained(train, tools):
    graph = train(weight_bits=2, activation_bits=32).graph
    assert not any(node.op == "QuantizeLinear" for node in graph.nodes)
    assert any(node.op == "DequantizeLinear" for node in graph.nodes)


def test_the_same_seed_gives_the_same_bytes(train, tools):
    runs = [train(epochs=1).graph.to_bytes() for _ in range(2)]
    assert runs[0] == runs[1]
    assert train(epochs=1, using=replace(tools, seed=4)).graph.to_bytes() != runs[0]


class InterruptedHereError(Exception):
    """Stands for whatever ends a process between two epochs."""


def test_it_goes_on_after_a_crash_with_the_same_bytes(train, tools, tmp_path):
    whole = train(epochs=3)

    def crash(text):
        if text.startswith("epoch 2/3"):
            raise InterruptedHereError

    kept = replace(tools, checkpoint=tmp_path / "training")
    with pytest.raises(InterruptedHereError):
        train(epochs=3, using=replace(kept, log=crash))
    told = []
    resumed = train(epochs=3, using=replace(kept, log=told.append))
    assert resumed.graph.to_bytes() == whole.graph.to_bytes()
    assert any("went on after epoch 1" in note for note in resumed.notes)
    assert len(told) == 2


def test_a_cancel_before_the_first_epoch(train, tools):
    token = CancelToken()

    def cancel(fraction, text):
        if "epoch 1" in text:
            token.cancel()

    with pytest.raises(CancelledError):
        train(using=replace(tools, cancel=token, progress=Progress(cancel)))


def test_a_cancel_after_an_epoch_keeps_it(train, tools):
    token = CancelToken()
    result = train(epochs=50, using=replace(tools, cancel=token, log=lambda text: token.cancel()))
    (stage,) = result.details["stages"]
    assert stage["stopped_early"]
    assert len(stage["history"]) < 50


def test_no_epochs_are_rounding_alone(methods, train, tools, network):
    assert train(epochs=0).graph.to_bytes() == rounded_alone(methods, network, tools, 3).to_bytes()


def test_it_needs_data(train, tools):
    with pytest.raises(RecipeError, match="needs training data"):
        train(using=replace(tools, data=None))


def test_labels_out_of_range(train, tools, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.ones((64, 3, 8, 8), np.float32), y=np.arange(64) % 7)
    with pytest.raises(DataError, match="since the model has 5 classes"):
        train()


def test_what_has_no_effect_is_said(methods, network):
    method = methods["quantize.qat"]
    plan = settings(network, 4)
    assert any("0 epochs" in note for note in method(method.Parameters(epochs=0)).check(network, plan))
    off = method.Parameters(distillation=0, feature_distillation=0)
    assert any("Distillation is off" in note for note in method(off).check(network, plan))
    untouched = settings(network, 32)
    assert any("nothing is quantized" in note for note in method(method.Parameters()).check(network, untouched))


@pytest.mark.parametrize(
    "wrong",
    [
        {"estimator": "magic"},
        {"stages": "9"},
        {"stages": "4,"},
        {"stages": "8,6,4", "epochs": 2},
        {"scale_rate": -1},
        {"damping": -0.1},
        {"last_stage": 0},
    ],
)
def test_parameters_are_checked(methods, wrong):
    with pytest.raises(ValidationError):
        methods["quantize.qat"].Parameters(**wrong)


def test_every_parameter_has_a_title_and_a_sentence(methods):
    for name, entry in methods["quantize.qat"].Parameters.model_json_schema()["properties"].items():
        assert entry.get("title"), name
        assert entry.get("description", "").endswith("."), name


def test_one_scale_for_a_whole_weight_needs_batch_norm_folded(methods):
    with pytest.raises(ValueError, match="set restore_batch_norm to false"):
        methods["quantize.qat"].Parameters(weight_scales="tensor")
