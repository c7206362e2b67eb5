"""Movement pruning: zeros come on schedule, scores follow the published rule, and a cut-off training goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.plugins.sparsify.conftest import tools
from workbench.api import RecipeError
from workbench.domain.data_description import DataDescription
from workbench.engines.inference_ort import OrtEngine
from workbench.methods.preparation import RecipeData


@pytest.fixture
def taught(mlp, tmp_path):
    """Return tools with 256 samples that a network like it labelled."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(256, 32)).astype(np.float32)
    y = OrtEngine(threads=1).open(mlp).run({"x": x})["y"].argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"train": split, "folder": str(tmp_path)})
    return tools(mlp, RecipeData(description, mlp.inputs, OrtEngine(threads=1), mlp))


def applied(bench, graph, plan, taught, **parameters):
    kind = bench.methods["prune.movement"]
    values = {"threads": 1, "precision": "float32", "batch_size": 32, "update_steps": 4, **parameters}
    return kind(kind.Parameters(**values)).apply(graph, plan, taught)


@given(observed=st.floats(0, 0.9), settled=st.floats(0, 0.9), wanted=st.floats(0, 1))
def test_the_rise_never_falls_and_ends_at_the_target(module, observed, settled, wanted) -> None:
    rise = module("schedule").Rise(observed, settled)
    target = module("patterns").Target
    shares = [rise.share(done) for done in np.linspace(0, 1, 21)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert rise.target(target("unstructured", wanted), 1.0) == target("unstructured", wanted)
    assert rise.target(target("1:4", 0.75), 1.0) == target("1:4", 0.75)


def test_scores_fall_by_weight_times_gradient_and_the_lowest_go(module) -> None:
    layout = module("layout").Layout("Gemm", (2, 4), turned=True)
    target = module("patterns").Target("unstructured", 0.25)
    subject = module("subjects").Subject("w", (), layout, target)
    hook = module("scores").MovementScores((subject,), module("schedule").Rise(0.0, 0.0), 1)
    weight = torch.nn.Parameter(torch.ones(2, 4))
    weight.grad = torch.zeros(2, 4)
    weight.grad[0, 1], weight.grad[1, 2] = 2.0, 1.0
    with torch.no_grad():
        hook.begin({"w": weight}, epochs=1, steps_per_epoch=2)
        hook.after_backward(0)
        hook.after_step(0)
        hook.after_backward(1)
        hook.after_step(1)
    assert torch.equal(weight == 0, torch.tensor([[False, True, False, False], [False, False, True, False]]))


@pytest.mark.parametrize("wanted", [{"sparsity": 0.7}, {"sparsity_pattern": "2:4"}, {"sparsity_pattern": "1:4"}])
def test_zeros_are_exact_and_the_rest_learned(bench, mlp, taught, wanted) -> None:
    result = applied(bench, mlp, bench.plan(mlp, wanted), taught, epochs=3)
    share = wanted.get("sparsity") or {"2:4": 0.5, "1:4": 0.75}[wanted["sparsity_pattern"]]
    for entry in result.details["layers"].values():
        assert entry["zeros"] == int(share * entry["weights"] + 1e-6)
    assert len(result.details["history"]) == 3
    assert taught.data.validate(result.graph) == result.details["validation"] > 1.5 / 8


def test_it_goes_on_where_it_was_cut_off(bench, mlp, taught, tmp_path) -> None:
    plan = bench.plan(mlp, {"sparsity": 0.5})
    whole = applied(bench, mlp, plan, taught, epochs=3)
    path = tmp_path / "stored"

    class CutError(Exception):
        pass

    def log(text: str) -> None:
        # The line of epoch 2 comes before its checkpoint: only the first epoch is kept.
        if "epoch 2/3" in text:
            raise CutError

    with pytest.raises(CutError):
        applied(bench, mlp, plan, replace(taught, checkpoint=path, log=log), epochs=3)
    resumed = applied(bench, mlp, plan, replace(taught, checkpoint=path), epochs=3)
    assert any("went on after epoch 1" in note for note in resumed.notes)
    assert resumed.graph.to_bytes() == whole.graph.to_bytes()


def test_what_is_missing_is_named(bench, mlp) -> None:
    with pytest.raises(RecipeError, match="needs training data"):
        applied(bench, mlp, bench.plan(mlp, {"sparsity": 0.5}), tools(mlp))
    both = {"sparsity": 0.2, "sparsity_pattern": "2:4"}
    with pytest.raises(RecipeError, match=r"layer 'head'.*contradicts"):
        applied(bench, mlp, bench.plan(mlp, {}, head=both), tools(mlp))
