"""Fine-tuning as a recipe step: it recovers accuracy, reports epochs, and refuses what it can't do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from workbench.api import DataError, LayerSettings, RecipeError, Tools, UnsupportedGraphError
from workbench.domain.data_description import DataDescription
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.methods.preparation import RecipeData
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins

PLAN = LayerSettings({})


@pytest.fixture(scope="module")
def method():
    manifest = next(manifest for manifest in find_plugins().manifests if manifest.id == "finetune")
    return next(found for found in load_methods(manifest) if found.id == "train.finetune")


@pytest.fixture
def tools(small_cnn, tmp_path):
    engine = OrtEngine(threads=1)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 3, 8, 8)).astype(np.float32)
    y = engine.open(small_cnn).run({"x": x})["y"].argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"train": split, "folder": str(tmp_path)})
    return Tools(
        reference=small_cnn,
        data=RecipeData(description, small_cnn.inputs, engine, small_cnn),
        inference=engine,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=3,
    )


@pytest.fixture
def damaged(small_cnn):
    return small_cnn.with_initializers({name: -small_cnn.constant(name) for name in ("w3", "b3")})


def build(method, **parameters):
    return method(method.Parameters(**{"batch_size": 32, "threads": 1, "precision": "float32", **parameters}))


def test_it_recovers_and_reports(method, tools, damaged):
    told = []
    result = build(method, epochs=6, learning_rate=0.01).apply(damaged, PLAN, replace(tools, log=told.append))
    assert tools.data.validate(result.graph) > tools.data.validate(damaged) + 0.2
    assert len(told) == len(result.details["history"]) == 6
    assert result.details["history"][0]["epoch"] == 1
    assert f"Epoch {result.details['best_epoch']} of 6 kept, validation" in result.notes[0]


def test_the_same_seed_gives_the_same_bytes(method, tools, damaged):
    runs = [build(method, epochs=1).apply(damaged, PLAN, tools).graph.to_bytes() for _ in range(2)]
    other = build(method, epochs=1).apply(damaged, PLAN, replace(tools, seed=4)).graph.to_bytes()
    assert runs[0] == runs[1]
    assert runs[0] != other


def test_a_limit_on_samples(method, tools, damaged):
    few = build(method, epochs=1, samples=40).apply(damaged, PLAN, tools)
    all_of_them = build(method, epochs=1, samples=10_000).apply(damaged, PLAN, tools)
    assert few.graph.to_bytes() != all_of_them.graph.to_bytes()
    assert all_of_them.graph.to_bytes() == build(method, epochs=1).apply(damaged, PLAN, tools).graph.to_bytes()


def test_settings_without_effect_are_said(method, small_cnn):
    assert "0 epochs" in build(method, epochs=0).check(small_cnn, PLAN)[0]
    assert "Distillation is off" in build(method, distillation=0, feature_distillation=0).check(small_cnn, PLAN)[0]
    assert build(method).check(small_cnn, PLAN) == ()


def test_no_epochs_keep_the_graph(method, tools, damaged):
    assert build(method, epochs=0).apply(damaged, PLAN, tools).graph is damaged


def test_it_needs_data(method, tools, damaged):
    with pytest.raises(RecipeError, match="needs training data"):
        build(method).apply(damaged, PLAN, replace(tools, data=None))


def test_a_teacher_that_torch_cannot_run(method, tools, damaged, graph_from):
    teacher = graph_from(
        '<ir_version: 9, opset_import: ["" : 17]>\nnet (float[n,3,8,8] x) => (float[n,5] y) { y = Mystery (x) }', {}
    )
    with pytest.raises(UnsupportedGraphError, match=r"can't serve as teacher.*Mystery"):
        build(method).apply(damaged, PLAN, replace(tools, reference=teacher))


def test_labels_out_of_range(method, tools, damaged, tmp_path):
    x = np.zeros((64, 3, 8, 8), np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(64) % 7)
    with pytest.raises(DataError, match="since the model has 5 classes"):
        build(method).apply(damaged, PLAN, tools)


@pytest.mark.parametrize(
    "wrong", [{"epochs": -1}, {"learning_rate": 0}, {"distillation": 2}, {"batch_norm": "maybe"}, {"speed": 9}]
)
def test_parameters_are_checked(method, wrong):
    with pytest.raises(ValidationError):
        method.Parameters(**wrong)


def test_every_parameter_has_a_title_and_a_sentence(method):
    for name, entry in method.Parameters.model_json_schema()["properties"].items():
        assert entry.get("title"), name
        assert entry.get("description", "").endswith("."), name
