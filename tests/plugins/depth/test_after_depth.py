"""Steps after depth pruning take plans with lines for layers that a ranking left out: who writes them can't know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import registry_of
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.methods.pipeline import run_recipe
from workbench.methods.registry import MethodRegistry

SHORT = {"epochs": 1, "batch_size": 32, "threads": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def registry() -> MethodRegistry:
    return registry_of("depth", "prune", "sparsify", "decompose", "quantize")


@pytest.fixture
def data(tmp_path: Path) -> DataDescription:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(96, 3, 8, 8)).astype(np.float32), y=rng.integers(0, 4, 96))
    split = Split(reader="npz", path="d.npz", inputs="x", targets="y")
    return DataDescription(task="classification", metric="top1", train=split, test=split, folder=str(tmp_path))


@pytest.mark.parametrize(
    ("method", "parameters", "setting"),
    [
        ("prune.l1", {}, {"prune_ratio": 0.5}),
        ("prune.obs", {}, {"prune_ratio": 0.5}),
        ("schedule.iterative", SHORT, {"prune_ratio": 0.5}),
        ("prune.magnitude", {}, {"sparsity": 0.5}),
        ("prune.sparsegpt", {}, {"sparsity": 0.5}),
        ("decompose.channel_svd", {}, {"rank_ratio": 0.5}),
        ("quantize.ptq", {"calibration_samples": 32}, {"weight_bits": 8, "activation_bits": 8}),
    ],
)
def test_lines_of_layers_that_went_are_no_error(
    registry: MethodRegistry,
    network: ModelGraph,
    data: DataDescription,
    method: str,
    parameters: Mapping[str, object],
    setting: Mapping[str, float],
) -> None:
    # The first convolution of a block is the one whose channels are its own.
    first = [node.name for node, _ in layer_nodes(network) if node.outputs[0].startswith("p")]
    assert len(first) == 3
    plan = Plan(layers={name: dict(setting) for name in first})
    steps = (
        Step(method="prune.depth", parameters={"remove": 1, "samples": 32}),
        Step(method=method, parameters={**parameters}),
    )
    recipe = Recipe(data=data, plan=plan, steps=steps)
    result = run_recipe(network, recipe, registry, OrtEngine(threads=1), TorchEngine(threads=1))
    left = {node.name for node, _ in layer_nodes(result.graph)}
    (gone,) = [name for name in first if not any(other.startswith(name) for other in left)]
    notes = " ".join(note for step in result.steps for note in step.notes)
    assert ("prune_ratio" in setting) == (f"Left out by an earlier step: {gone}" in notes)
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    assert np.isfinite(OrtEngine(threads=1).open(result.graph, threads=1).run({"x": x})["y"]).all()
