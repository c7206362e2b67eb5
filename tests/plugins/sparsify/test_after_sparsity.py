"""What follows sparsity keeps the zeros: fine-tuning, quantization, pruning of channels, writing and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import registry_of
from workbench.api import sparsity_of
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import RecipeError
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model, save_model
from workbench.graph.trial_graph import CLASSES, INPUT_SHAPE, trial_graph
from workbench.graph.weights import weight_values
from workbench.methods.pipeline import PipelineResult, run_recipe
from workbench.methods.registry import MethodRegistry

SPARSE = {"sparsity_pattern": "2:4"}
TRAINED = Step(
    method="train.finetune",
    parameters={"epochs": 2, "batch_size": 32, "learning_rate": 0.05, "threads": 1, "precision": "float32"},
)
INT8 = Step(method="quantize.ptq", parameters={"calibration_samples": 64})


@pytest.fixture(scope="module")
def registry() -> MethodRegistry:
    return registry_of("sparsify", "prune", "quantize", "finetune", "decompose")


@pytest.fixture
def data(tmp_path: Path) -> DataDescription:
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 1, (128, *INPUT_SHAPE)).astype(np.float32)
    np.savez(tmp_path / "trial.npz", x=x, y=rng.integers(0, CLASSES, 128).astype(np.int64))
    split = Split(reader="npz", path="trial.npz", inputs="x", targets="y")
    return DataDescription(task="classification", metric="top1", train=split, test=split, folder=str(tmp_path))


def ran(registry: MethodRegistry, data: DataDescription, plan: Plan, *steps: Step) -> PipelineResult:
    recipe = Recipe(data=data, plan=plan, steps=steps)
    result = run_recipe(trial_graph(), recipe, registry, OrtEngine(threads=1), TorchEngine(threads=1))
    inputs = {"image": np.random.default_rng(1).standard_normal((4, *INPUT_SHAPE)).astype(np.float32)}
    assert np.isfinite(OrtEngine(threads=1).open(result.graph, threads=1).run(inputs)["scores"]).all()
    return result


def shares(graph: ModelGraph) -> dict[str, float]:
    """Return the share of zeros that each sparse layer's weight has as the layer sees it."""
    return {
        node.name: float((weight_values(graph, weight) == 0).mean())
        for node, weight in layer_nodes(graph)
        if sparsity_of(node) is not None
    }


def test_training_moves_weights_and_keeps_zeros(registry, data) -> None:
    before = ran(registry, data, Plan(default=SPARSE), Step(method="prune.sparsegpt"))
    after = ran(registry, data, Plan(default=SPARSE), Step(method="prune.sparsegpt"), TRAINED)
    assert shares(before.graph) == shares(after.graph)
    assert set(shares(after.graph).values()) == {0.5}
    for node, weight in layer_nodes(after.graph):
        if sparsity_of(node) is not None:
            old, new = before.graph.constant(weight.name), after.graph.constant(weight.name)
            assert ((old == 0) == (new == 0)).all()
            assert (old != new).any()
    assert any("kept the zeros" in note for note in after.steps[1].notes)
    assert any("latency usually stays" in warning for warning in after.warnings)


@pytest.mark.parametrize(
    ("id", "more"),
    [
        ("schedule.agp", {"schedule_epochs": 2}),
        ("schedule.soft", {"schedule_epochs": 2}),
        ("schedule.spp", {"schedule_epochs": 2}),
        ("schedule.increg", {"schedule_epochs": 2}),
        ("schedule.iterative", {"rounds": 2}),
    ],
)
def test_schedules_keep_zeros_in_the_channels_that_stay(registry, data, id, more) -> None:
    plan = Plan(default={"sparsity": 0.5}, layers={"conv4": {"prune_ratio": 0.5}})
    parameters = {**TRAINED.parameters, "epochs": 1, "restore_batch_norm": False, "statistics_samples": 64, **more}
    first = Step(method="prune.magnitude")
    before = ran(registry, data, plan, first).graph
    result = ran(registry, data, plan, first, Step(method=id, parameters=parameters))
    after = result.graph
    for name in ("conv1_weight", "conv2_weight", "conv3_weight"):
        old, new = before.constant(name), after.constant(name)
        assert ((new == 0) == (old == 0)).all()
        assert (old != new).any()
    patterns = [[(row == 0).tolist() for row in graph.constant("conv4_weight")] for graph in (before, after)]
    assert len(patterns[1]) == len(patterns[0]) // 2
    left = iter(patterns[0])
    # Channels keep their order: each that stayed has the zeros of one of the old ones, behind the one before it.
    assert all(any(pattern == old for old in left) for pattern in patterns[1])
    assert any("kept the zeros of" in note for note in result.steps[1].notes)


def test_movement_counts_the_zeros_that_stand(registry, data) -> None:
    plan = Plan(default={"sparsity": 0.5})
    first = Step(method="prune.magnitude")
    before = ran(registry, data, plan, first).graph
    parameters = {**TRAINED.parameters, "observed_share": 0.0, "update_steps": 1}
    after = ran(registry, data, plan, first, Step(method="prune.movement", parameters=parameters)).graph
    assert shares(after) == shares(before)
    for node, weight in layer_nodes(after):
        if sparsity_of(node) is not None:
            old, new = before.constant(weight.name), after.constant(weight.name)
            assert ((old == 0) == (new == 0)).all()
            assert (old != new).any()


def test_dense_models_train_as_before(registry, data) -> None:
    notes = ran(registry, data, Plan(), TRAINED).steps[0].notes
    assert not any("zeros" in note for note in notes)


def test_symmetric_quantization_keeps_zeros(registry, data) -> None:
    plan = Plan(default={"sparsity": 0.6, "weight_bits": 8, "activation_bits": 8})
    dense = ran(registry, data, plan, Step(method="prune.magnitude"))
    result = ran(registry, data, plan, Step(method="prune.magnitude"), TRAINED, INT8)
    kept = shares(result.graph)
    assert kept
    assert set(kept) == set(shares(dense.graph))
    for node, weight in layer_nodes(result.graph):
        if sparsity_of(node) is not None:
            assert weight.quantized
            assert kept[node.name] >= shares(dense.graph)[node.name]


def test_notes_travel_with_the_file(registry, data, tmp_path) -> None:
    result = ran(registry, data, Plan(default={"sparsity": 0.5}), Step(method="prune.wanda"))
    save_model(result.graph, tmp_path / "sparse.onnx")
    assert shares(open_model(tmp_path / "sparse.onnx")) == shares(result.graph)


def test_channels_may_go_afterwards_or_before(registry, data) -> None:
    plan = Plan(default={"prune_ratio": 0.25, "sparsity": 0.5})
    channels, zeros = Step(method="prune.l1", parameters={"statistics_samples": 64}), Step(method="prune.sparsegpt")
    for steps in ((channels, zeros), (zeros, channels)):
        found = shares(ran(registry, data, plan, *steps, TRAINED).graph)
        assert found
        assert min(found.values()) > 0.3


def test_factors_take_their_layers_sparsity(registry, data) -> None:
    plan = Plan(default={"rank_ratio": 0.3, "sparsity": 0.5})
    found = shares(ran(registry, data, plan, Step(method="decompose.svd"), Step(method="prune.magnitude")).graph)
    assert {name for name in found if "~" in name}
    assert min(found.values()) > 0.4


def test_contradictions_are_found_before_the_run(registry, data) -> None:
    plan = Plan(default={"sparsity": 0.9}, layers={"conv2": {"sparsity": 0.9, "sparsity_pattern": "2:4"}})
    with pytest.raises(RecipeError, match=r"layer 'conv2'.*sparsity 0\.9 contradicts sparsity_pattern '2:4'"):
        ran(registry, data, plan, Step(method="prune.magnitude"))
