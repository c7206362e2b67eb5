"""What sets each schedule apart: how much is masked when, who is pulled, what may come back."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.fakes.removal import feeds, run
from workbench.api import ChannelGroup, Method, ModelGraph, channel_groups, coupled_weights, remove_channels
from workbench.graph.storage import open_model


@pytest.fixture(scope="module")
def part(methods: dict[str, type[Method]]) -> Callable[[str], ModuleType]:
    """Return a function name -> module of the plugin."""
    package = methods["schedule.agp"].__module__.rsplit(".", 1)[0]
    return lambda name: importlib.import_module(f"{package}.{name}")


@dataclass
class Bench:
    """A hook on the weights of `small_cnn`, which has one group of 8 units.

    Attributes:
        hook: Begun with 4 epochs of 10 steps.
        weights: As a training would hold them; all gradients are zero.
        group: The group.
    """

    hook: Any
    weights: dict[str, torch.nn.Parameter]
    group: ChannelGroup

    def step(self, number: int, rate: float = 0.1) -> None:
        """Let the hook take part in a plain gradient step."""
        for weight in self.weights.values():
            weight.grad = torch.zeros_like(weight)
        with torch.no_grad():
            self.hook.after_backward(number)
            for weight in self.weights.values():
                weight -= rate * weight.grad
            self.hook.after_step(number)

    def epoch(self, number: int) -> None:
        """Take the ten steps of an epoch and end it."""
        for step in range(number * 10, number * 10 + 10):
            self.step(step)
        with torch.no_grad():
            self.hook.after_epoch(number)

    def lengths(self) -> np.ndarray:
        """Return the lengths of all units."""
        return self.hook.live.norms(self.group.id)


@pytest.fixture
def bench(
    methods: dict[str, type[Method]], part: Callable[[str], ModuleType], small_cnn: ModelGraph
) -> Callable[..., Bench]:
    """Return a function (schedule, **parameters) -> bench that removes half of the units by L1."""

    def make(name: str, **parameters: Any) -> Bench:
        kind = methods[f"schedule.{name}"]
        method = kind(kind.Parameters(**parameters))
        group = next(group for group in channel_groups(small_cnn) if group.prunable)
        ranking = part("schedule_ranking").Ranking(method.parameters, frozenset())
        tools = SimpleNamespace(seed=0)
        scores = ranking.scores(small_cnn, [group], tools)
        ratio = part("selection").GroupRatio(group, 0.5)
        ground = part("schedule_base").Ground(
            small_cnn, (ratio,), scores, ranking, SimpleNamespace(parameters=method.parameters), tools, 1
        )
        hook = method.hook(ground)
        weights = {
            name: torch.nn.Parameter(torch.from_numpy(small_cnn.constant(name).copy()))
            for name in small_cnn.initializers
        }
        hook.begin(weights, 4, 10)
        return Bench(hook, weights, group)

    return make


def smallest(graph: ModelGraph) -> tuple[int, ...]:
    norms = sum(np.abs(graph.constant(name)).sum(axis=(1, 2, 3)) for name in ("w1", "w2"))
    return tuple(sorted(np.argsort(norms)[:4].tolist()))


def test_units_are_reached_in_all_their_weights(part: Callable[[str], ModuleType], small_cnn: ModelGraph) -> None:
    group = next(group for group in channel_groups(small_cnn) if group.prunable)
    weights = {name: torch.from_numpy(small_cnn.constant(name).copy()) for name in small_cnn.initializers}
    live = part("schedule_units").LiveUnits(coupled_weights(small_cnn), {group.id: 8}, weights)
    array = small_cnn.constant
    squares = sum(np.square(array(name)).sum(axis=(1, 2, 3)) for name in ("w1", "w2"))
    squares = squares + np.square(array("b1")) + np.square(array("b2"))
    squares = squares + np.square(array("w2")).sum(axis=(0, 2, 3)) + np.square(array("w3")).sum(axis=0)
    np.testing.assert_allclose(live.norms(group.id), np.sqrt(squares), rtol=1e-5)
    before = {name: tensor.clone() for name, tensor in weights.items()}
    live.hide({group.id: (2, 5)}, "reads")
    assert not weights["w3"][:, [2, 5]].any()
    assert not weights["w2"][:, [2, 5]].any()
    assert weights["w1"][2].any()
    live.show()
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    live.zero({group.id: (1,)})
    assert not weights["w1"][1].any()
    assert not weights["b2"][1]
    assert torch.equal(weights["b3"], before["b3"])


def test_slopes_are_those_of_a_factor_on_the_unit(part: Callable[[str], ModuleType], small_cnn: ModelGraph) -> None:
    group = next(group for group in channel_groups(small_cnn) if group.prunable)
    weights = {name: torch.nn.Parameter(torch.from_numpy(small_cnn.constant(name).copy())) for name in ("w2", "w3")}
    for weight in weights.values():
        weight.grad = torch.ones_like(weight)
    live = part("schedule_units").LiveUnits(coupled_weights(small_cnn), {group.id: 8}, weights)
    expected = small_cnn.constant("w2").sum(axis=(0, 2, 3)) + small_cnn.constant("w3").sum(axis=0)
    np.testing.assert_allclose(live.slopes(group.id), expected, rtol=1e-4, atol=1e-4)


def test_gradual_pruning_follows_the_cubic_curve_and_never_lets_go(bench: Callable[..., Bench]) -> None:
    at = bench("agp", examinations=40)
    before: set[int] = set()
    for step in range(40):
        at.step(step)
        masked = set(at.hook.removal.get(at.group.id, ()))
        share = 1 - (1 - (step + 1) / 40) ** 3
        assert len(masked) == int(8 * 0.5 * share + 1e-9)
        assert before <= masked
        assert not at.weights["w1"][sorted(masked)].any()
        before = masked


def test_soft_pruning_lets_filters_grow_back(bench: Callable[..., Bench], small_cnn: ModelGraph) -> None:
    at = bench("soft")
    at.epoch(0)
    gone = at.hook.removal[at.group.id]
    assert gone == smallest(small_cnn)
    assert not at.weights["w3"][:, list(gone)].any()
    at.step(10)
    assert torch.equal(at.weights["w3"].detach(), torch.from_numpy(small_cnn.constant("w3").copy()))
    assert not at.weights["w1"][list(gone)].any()
    with torch.no_grad():
        at.weights["w1"][gone[0]] += 5.0
        at.hook.after_epoch(1)
    assert gone[0] not in at.hook.removal[at.group.id]
    assert at.hook.record[-1]["grown_back"] == 1


def test_probabilities_rise_for_those_that_are_to_go_and_fall_for_the_others(part: Callable[[str], ModuleType]) -> None:
    added = part("schedule_probabilistic").increments(np.arange(20.0), 8, 0.05, 0.25)
    assert added[0] == pytest.approx(0.05)
    assert added[8] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(added) < 0).all()
    assert (added[9:] < 0).all()


def test_probabilistic_pruning_masks_by_chance_until_it_is_certain(
    bench: Callable[..., Bench], small_cnn: ModelGraph
) -> None:
    at = bench("spp", examinations=40, increment=0.2)
    at.epoch(0)
    middle = at.hook.state()["probabilities"][at.group.id]
    assert any(0 < value < 1 for value in middle)
    readers = torch.from_numpy(small_cnn.constant("w3").copy())
    kept = [unit for unit in range(8) if unit not in at.hook.removal[at.group.id]]
    assert torch.equal(at.weights["w3"].detach()[:, kept], readers[:, kept]), "an epoch ends without chance masks"
    for number in (1, 2, 3):
        at.epoch(number)
    assert at.hook.removal[at.group.id] == smallest(small_cnn)
    assert at.hook.record[-1]["settled_units"] == 4
    assert "4 of 4 channels reached probability 1" in at.hook.notes()[0]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("greg1", {}), ("greg2", {"picking_penalty": 0.05}), ("increg", {"examinations": 40})],
)
def test_growing_penalties_shrink_the_unimportant_only(
    name: str, parameters: dict[str, Any], bench: Callable[..., Bench], small_cnn: ModelGraph
) -> None:
    at = bench(name, penalty=4.0, **parameters)
    first = at.lengths()
    for number in range(3):
        at.epoch(number)
    ratio = at.lengths() / first
    gone = list(smallest(small_cnn))
    kept = [unit for unit in range(8) if unit not in gone]
    # What keeps a unit also reads the others', so that it loses a little with them.
    assert ratio[gone].max() < 0.7 < 0.75 < ratio[kept].min()
    at.epoch(3)
    assert at.hook.removal[at.group.id] == tuple(gone)
    assert not at.lengths()[gone].any()
    left = [entry["length_left"] for entry in at.hook.record]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.6


def pulled_alone(at: Bench, rate: float) -> np.ndarray:
    """Train with nothing but the penalty along half a cosine; returns what is left of each unit's first filter."""
    before = at.weights["w1"].detach().flatten(1).norm(dim=1)
    for number in range(40):
        at.step(number, rate * 0.5 * (1 + math.cos(math.pi * (number + 0.5) / 40)))
    return (at.weights["w1"].detach().flatten(1).norm(dim=1) / before).numpy()


@pytest.mark.parametrize("name", ["greg1", "greg2"])
def test_the_usual_penalty_leaves_a_hundredth(name: str, bench: Callable[..., Bench], small_cnn: ModelGraph) -> None:
    left = pulled_alone(bench(name, learning_rate=0.1, momentum=0.0), 0.1)
    gone = list(smallest(small_cnn))
    assert 0.002 < left[gone].max() < 0.05
    assert np.delete(left, gone).min() > 0.3


def test_the_usual_force_of_group_lasso_takes_a_tenth_off(bench: Callable[..., Bench]) -> None:
    at = bench("group_lasso", learning_rate=0.1, momentum=0.0)
    before = np.median(at.lengths())
    pulled_alone(at, 0.1)
    # What two units share is pulled by both.
    assert 0.8 < np.median(at.lengths()) / before < 0.95


def test_group_lasso_pulls_every_unit_with_the_same_force(bench: Callable[..., Bench]) -> None:
    at = bench("group_lasso", penalty=0.5)
    before = at.lengths()
    weights = {name: weight.detach().clone() for name, weight in at.weights.items()}
    at.step(0)
    assert (at.lengths() < before).all()
    # Numbers that no other unit shares move by rate times penalty along the unit's direction.
    moved = (weights["w1"] - at.weights["w1"].detach())[3]
    expected = 0.1 * 0.5 * weights["w1"][3] / before[3]
    torch.testing.assert_close(moved, expected.float(), rtol=1e-4, atol=1e-6)


def test_slimming_pulls_scales_alone(
    graph_from: Callable[..., ModelGraph], methods: dict[str, type[Method]], part: Callable[[str], ModuleType]
) -> None:
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,4,4] x) => (float[batch,2,4,4] y) {
            c = Conv (x, w1)
            n = BatchNormalization (c, scale, shift, mean, var)
            y = Conv (n, w2)
        }""",
        {
            "w1": rng.normal(size=(6, 3, 1, 1)).astype(np.float32),
            "scale": np.linspace(-1, 1, 6).astype(np.float32),
            "shift": np.ones(6, np.float32),
            "mean": np.zeros(6, np.float32),
            "var": np.ones(6, np.float32),
            "w2": rng.normal(size=(2, 6, 1, 1)).astype(np.float32),
        },
    )
    group = next(group for group in channel_groups(graph) if group.prunable)
    kind = methods["schedule.slimming"]
    method = kind(kind.Parameters(penalty=0.5))
    ranking = part("schedule_ranking").Ranking(method.parameters, frozenset())
    tools = SimpleNamespace(seed=0)
    ground = part("schedule_base").Ground(
        graph,
        (part("selection").GroupRatio(group, 0.5),),
        ranking.scores(graph, [group], tools),
        ranking,
        None,
        tools,
        1,
    )
    hook = method.hook(ground)
    weights = {
        name: torch.nn.Parameter(torch.from_numpy(graph.constant(name).copy()))
        for name in ("w1", "scale", "shift", "w2")
    }
    for weight in weights.values():
        weight.grad = torch.zeros_like(weight)
    with torch.no_grad():
        hook.begin(weights, 1, 2)
        hook.after_backward(0)
        torch.testing.assert_close(weights["scale"].grad, 0.5 * weights["scale"].sign())
        assert not any(weights[name].grad.any() for name in ("w1", "shift", "w2"))
        hook.after_epoch(0)
    assert hook.removal == {group.id: (1, 2, 3)} or hook.removal == {group.id: (2, 3, 4)}


def test_iterative_rounds_keep_track_of_units_on_padded_shortcuts(
    part: Callable[[str], ModuleType], shared: Path
) -> None:
    cut = part("schedule_iterative")._cut
    full = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    groups = {group.id: group for group in channel_groups(full) if group.prunable}
    graph, now, origins = full, groups, {name: np.arange(group.units) for name, group in groups.items()}
    gone: dict[str, set[int]] = {name: set() for name in groups}
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        for name, left in origins.items():
            gone[name] |= set(rng.permutation(left)[: len(left) // 4].tolist())
        wanted = {name: tuple(sorted(units)) for name, units in gone.items()}
        graph, origins = cut(graph, now, wanted, origins)
        now = {group.id: group for group in channel_groups(graph) if group.id in groups}
        for name, group in groups.items():
            assert sorted(origins[name].tolist()) == sorted(set(range(group.units)) - gone[name])
    at_once = remove_channels(full, wanted)
    inputs = feeds(full, 0)
    np.testing.assert_allclose(run(graph, inputs)[0], run(at_once, inputs)[0], rtol=1e-4, atol=1e-4)
