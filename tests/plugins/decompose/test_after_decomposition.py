"""What follows a decomposition still finds its layers: pruning, quantization and the candidate's table of layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import registry_of
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.diff import layer_states
from workbench.graph.model import ModelGraph
from workbench.graph.trial_graph import CLASSES, INPUT_SHAPE, trial_graph
from workbench.methods.pipeline import run_recipe
from workbench.methods.registry import MethodRegistry


@pytest.fixture(scope="module")
def registry() -> MethodRegistry:
    return registry_of("decompose", "prune", "quantize", "finetune")


@pytest.fixture
def data(tmp_path: Path) -> DataDescription:
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 1, (128, *INPUT_SHAPE)).astype(np.float32)
    np.savez(tmp_path / "trial.npz", x=x, y=rng.integers(0, CLASSES, 128).astype(np.int64))
    split = Split(reader="npz", path="trial.npz", inputs="x", targets="y")
    return DataDescription(task="classification", metric="top1", train=split, test=split, folder=str(tmp_path))


def ran(registry: MethodRegistry, data: DataDescription, plan: Plan, *steps: Step) -> tuple[ModelGraph, list[str]]:
    recipe = Recipe(data=data, plan=plan, steps=steps)
    result = run_recipe(trial_graph(), recipe, registry, OrtEngine(threads=1), TorchEngine(threads=1))
    inputs = {"image": np.random.default_rng(1).standard_normal((4, *INPUT_SHAPE)).astype(np.float32)}
    found = OrtEngine(threads=1).open(result.graph, threads=1).run(inputs)["scores"]
    assert found.shape == (4, CLASSES)
    assert np.isfinite(found).all()
    return result.graph, [note for step in result.steps for note in step.notes]


def test_factors_are_quantized_like_their_layer(registry: MethodRegistry, data: DataDescription) -> None:
    plan = Plan(
        default={"rank_ratio": 0.4, "weight_bits": 8, "activation_bits": 8}, layers={"conv1": {"weight_bits": 4}}
    )
    graph, _ = ran(
        registry,
        data,
        plan,
        Step(method="decompose.channel_svd"),
        Step(method="decompose.asvd"),
        Step(method="quantize.ptq", parameters={"calibration_samples": 64}),
    )
    bits = {name: state.bits for name, state in layer_states(graph).items()}
    assert {"conv1", "conv1~1", "conv2", "conv2~1", "fc", "fc~1"} <= set(bits)
    assert bits["conv1"] == bits["conv1~1"] == 4
    assert bits["conv2"] == bits["conv2~1"] == bits["fc~1"] == 8


def test_pruning_leaves_the_rank_and_takes_the_layers_channels(registry: MethodRegistry, data: DataDescription) -> None:
    plan = Plan(default={"rank_ratio": 0.4}, layers={"conv4": {"prune_ratio": 0.5}})
    graph, _ = ran(
        registry,
        data,
        plan,
        Step(method="decompose.channel_svd"),
        Step(method="prune.l1", parameters={"statistics_samples": 64}),
    )
    shapes = {name: state.weight_shape for name, state in layer_states(graph).items()}
    assert shapes["conv4~1"] == (6, 16, 1, 1)
    assert shapes["conv4"] == (12, 6, 1, 1)
    assert shapes["fc"][1] == 12


def test_training_follows(registry: MethodRegistry, data: DataDescription) -> None:
    graph, notes = ran(
        registry,
        data,
        Plan(default={"rank_ratio": 0.3}),
        Step(method="decompose.tucker2"),
        Step(method="decompose.asvd"),
        Step(method="train.finetune", parameters={"epochs": 1, "batch_size": 32}),
    )
    names = {node.name for node in graph.nodes}
    assert {"conv2", "conv2~1", "conv2~2", "fc", "fc~1"} <= names
    assert notes
