"""Depth pruning leaves out what the plan says and what a criterion finds least needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, DataError, RecipeError
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import LayerSettings, Plan, resolve
from workbench.engines.contracts import Batch
from workbench.engines.inference_ort import OrtEngine, open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.branches import find_branches
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import coupled_layers, described_layers
from workbench.methods.method import MethodResult, Requirement, Tools
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.loader import load_plugin
from workbench.plugin_host.manifests import find_plugins


@pytest.fixture(scope="session")
def method():
    root = Path(__file__).resolve().parents[3] / "plugins" / "depth"
    (manifest,) = [found for found in find_plugins().manifests if found.folder.resolve() == root]
    (found,) = load_plugin(manifest).methods
    return found


class Labelled:
    """Random samples with the whole network's own answers as labels; implements MethodData."""

    task, metric = "classification", "top1"

    def __init__(self, graph: ModelGraph) -> None:
        rng = np.random.default_rng(3)
        # Every sample has a colour of its own, or all would be of one class.
        self.x = rng.normal(size=(128, 3, 8, 8)).astype(np.float32) + rng.normal(0, 2, (128, 3, 1, 1)).astype(
            np.float32
        )
        self.y = open_session(graph).run({"x": self.x})["y"].argmax(1)

    def calibration(self, samples: int, batch_size: int = 64):
        for start in range(0, min(samples, len(self.x)), batch_size):
            chosen = slice(start, start + batch_size)
            yield Batch({"x": self.x[chosen]}, self.y[chosen])

    def validate(self, graph: ModelGraph) -> float:
        return float((open_session(graph).run({"x": self.x})["y"].argmax(1) == self.y).mean())


def settings(graph: ModelGraph, method, default=None, layers=None) -> LayerSettings:
    registry = MethodRegistry()
    registry.register(method, plugin="depth")
    names = {layer.name: layer.knobs for layer in described_layers(graph, registry)}
    return resolve(Plan(default=default or {}, layers=layers or {}), names, FIRST_PARTY_KNOBS)


def run(method, graph: ModelGraph, plan: LayerSettings, *, data=True, cancel=None, **parameters) -> MethodResult:
    tools = Tools(
        graph,
        Labelled(graph) if data else None,  # type: ignore[arg-type]  # training samples are not needed
        OrtEngine(1),
        TorchEngine(1),
        np.random.default_rng(0),
        0,
        cancel=cancel or CancelToken(),
    )
    return method(method.Parameters(restore_batch_norm=False, **parameters)).apply(graph, plan, tools)


def test_a_setting_on_one_layer_takes_its_branch(method, network):
    result = run(method, network, settings(network, method, layers={"Conv_7": {"keep": "no"}}), data=False)
    assert [branch.id for branch in find_branches(result.graph)] == ["Add_4", "Add_12"]
    assert result.details["removed"] == ["Add_8"]
    assert result.details["plan"]["layers"] == {"Conv_5": {"keep": "no"}, "Conv_7": {"keep": "no"}}
    assert len(network.nodes) == 16


@pytest.mark.parametrize("criterion", ["similarity", "metric", "taylor"])
def test_every_criterion_finds_the_idle_block(method, network, criterion):
    result = run(method, network, settings(network, method), remove=1, criterion=criterion)
    assert result.details["removed"] == ["Add_8"]
    scores = result.details["scores"]
    assert set(scores) == {"Add_4", "Add_8", "Add_12"}
    assert min(scores, key=scores.get) == "Add_8"
    again = run(method, network, settings(network, method), remove=1, criterion=criterion)
    assert again.graph.to_bytes() == result.graph.to_bytes()


@pytest.mark.parametrize("one_by_one", [True, False])
def test_what_the_plan_takes_comes_on_top(method, network, one_by_one):
    plan = settings(network, method, layers={"Conv_1": {"keep": "no"}})
    result = run(method, network, plan, remove=1, one_by_one=one_by_one)
    assert result.details["removed"] == ["Add_4", "Add_8"]
    assert "2 of 3 branches" in result.notes[0]


def test_the_knob_applies_to_layers_of_branches_and_couples_them(method, network):
    registry = MethodRegistry()
    registry.register(method, plugin="depth")
    knobs = {layer.name: layer.knobs for layer in described_layers(network, registry)}
    assert "keep" in knobs["Conv_1"]
    assert "keep" not in knobs["Conv_0"]
    (keep,) = method.knobs
    assert coupled_layers(network, keep)["Conv_3"] == ("Conv_1", "Conv_3")


def test_what_cannot_be_honoured_is_refused_before_the_run(method, network):
    plan = settings(network, method, layers={"Conv_1": {"keep": "no"}, "Conv_3": {"keep": "yes"}})
    with pytest.raises(RecipeError, match="parts of one branch"):
        method(method.Parameters()).check(network, plan)
    with pytest.raises(RecipeError, match="only 3 more"):
        method(method.Parameters(remove=4)).check(network, settings(network, method))
    assert method(method.Parameters()).check(network, settings(network, method))
    with pytest.raises(DataError, match="no data"):
        run(method, network, settings(network, method), data=False, remove=1)
    needs = method(method.Parameters(remove=1, criterion="taylor")).requirements(network)
    assert needs == {Requirement.DATA, Requirement.LABELS, Requirement.GRADIENTS}
    assert method(method.Parameters(criterion="taylor")).requirements(network) == frozenset()


def test_cancel(method, network):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        run(method, network, settings(network, method), remove=1, cancel=cancel)
