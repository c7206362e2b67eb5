"""A stand-in has the operators, sizes and number formats of what a recipe really makes, without its work."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.fakes.method_tools import registry_of
from workbench.api import ModelGraph
from workbench.domain.data_description import DataDescription
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.methods.outline import Outline, outline
from workbench.methods.pipeline import run_recipe

PLUGINS = ("prune", "quantize", "finetune", "sparsify", "merge", "depth")
EIGHT: dict[str, Any] = {"weight_bits": 8, "activation_bits": 8}


def structure(graph: ModelGraph) -> Counter[tuple[Any, ...]]:
    """Return every node with the shapes and types of the constants it reads, however they are called."""

    def constant(name: str) -> Any:
        array = graph.constant(name) if name else None
        return None if array is None else (array.shape, str(array.dtype))

    return Counter((node.op, *map(constant, node.inputs)) for node in graph.nodes)


def foretold(graph: ModelGraph, engine: OrtEngine, recipe: Recipe) -> Outline:
    return outline(graph, recipe, registry_of(*PLUGINS), engine, TorchEngine(threads=1))


@pytest.mark.parametrize(
    ("plan", "steps"),
    [
        (EIGHT, [("quantize.ptq", {})]),
        (EIGHT, [("quantize.ptq", {"activation_type": "int8", "bias_correction": True})]),
        ({"weight_bits": 4, "activation_bits": 8}, [("quantize.equalize", {}), ("quantize.gptq", {})]),
        (EIGHT, [("quantize.reconstruct", {"iterations": 4, "warmup": 0.1})]),
        ({"weight_bits": 4}, [("quantize.weight_only", {"rounding": "gptq"})]),
        ({"prune_ratio": 0.5}, [("prune.obs", {"statistics_samples": 0, "restore_batch_norm": False})]),
        ({"prune_ratio": 0.5, **EIGHT}, [("prune.l1", {}), ("train.finetune", {"epochs": 1}), ("quantize.ptq", {})]),
        ({"sparsity": 0.5}, [("prune.magnitude", {})]),
        ({}, [("merge.layers", {})]),
    ],
)
def test_a_stand_in_is_built_like_the_result(
    small_cnn: ModelGraph,
    engine: OrtEngine,
    labelled: DataDescription,
    plan: dict[str, Any],
    steps: list[tuple[str, dict[str, Any]]],
) -> None:
    named = tuple(Step(method=method, parameters=parameters) for method, parameters in steps)
    recipe = Recipe(data=labelled, plan=Plan(default=plan), steps=named)
    made = foretold(small_cnn, engine, recipe)
    result = run_recipe(small_cnn, recipe, registry_of(*PLUGINS), engine, TorchEngine(threads=1))
    assert made.left_out == ()
    assert structure(made.graph) == structure(result.graph)


def test_branches_that_the_plan_names_are_left_out(small_cnn: ModelGraph, engine: OrtEngine) -> None:
    layer = next(node.name for node in small_cnn.nodes if node.outputs[0] == "c2")
    recipe = Recipe(plan=Plan(layers={layer: {"keep": "no"}}), steps=(Step(method="prune.depth"),))
    made = foretold(small_cnn, engine, recipe)
    assert made.left_out == ()
    assert Counter(node.op for node in made.graph.nodes)["Conv"] == 1


def test_layers_that_time_will_leave_in_float_are_not_foretold(small_cnn: ModelGraph, engine: OrtEngine) -> None:
    for budget, left in (("average_bits", 0), ("latency", 1)):
        step = Step(method="quantize.mixed", parameters={"budget": budget})
        assert len(foretold(small_cnn, engine, Recipe(plan=Plan(default=EIGHT), steps=(step,))).left_out) == left


def test_what_only_the_run_can_tell_is_said(small_cnn: ModelGraph, engine: OrtEngine) -> None:
    ranked = Step(method="prune.l1", parameters={"scope": "global", "target": "macs", "target_ratio": 0.6})
    recipe = Recipe(plan=Plan(default=EIGHT), steps=(ranked, Step(method="quantize.ptq")))
    made = foretold(small_cnn, engine, recipe)
    (left,) = made.left_out
    assert left.startswith("L1-norm channel pruning: ")
    assert made.unquantized is small_cnn
    assert "QuantizeLinear" in {node.op for node in made.graph.nodes}


def test_data_is_not_needed_and_not_read(small_cnn: ModelGraph, engine: OrtEngine) -> None:
    nowhere = {"reader": "npz", "path": "nowhere.npz", "inputs": "x", "targets": "y"}
    data = DataDescription.model_validate({"train": nowhere, "test": nowhere})
    recipe = Recipe(data=data, plan=Plan(default=EIGHT), steps=(Step(method="quantize.ptq"),))
    assert foretold(small_cnn, engine, recipe).left_out == ()
