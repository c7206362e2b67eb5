"""Every strategy against a world whose figures are known: repeatable, never twice the same, and better than chance."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import RecipeError
from workbench.domain.plan import Plan
from workbench.domain.study import StrategyChoice
from workbench.methods.search.forecast import Forecast, Known, Result
from workbench.methods.search.objectives import Figures
from workbench.methods.search.registry import make_strategy, strategies
from workbench.methods.search.space import Dimension, Proposal, Space
from workbench.methods.search.strategy import SearchTask
from workbench.worker.installed_methods import installed_methods

NAMES = ("amc", "greedy", "nsga2", "random", "tpe")
BLOCKS = 8
QUICK = {
    "nsga2": {"population": 12, "generations": 2},
    "tpe": {"drawn": 8},
    "amc": {"episodes": 30},
    "greedy": {"targets": 8},
    "random": {},
}


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    installed_methods()


class World:
    """Eight blocks that may go or lose half of their channels, in float or integers; effects don't quite add up."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        knobs = {f"l{number}": frozenset({"keep", "prune_ratio", "weight_bits"}) for number in range(BLOCKS)}
        dimensions = [
            dimension
            for number in range(BLOCKS)
            for dimension in (
                Dimension(f"keep l{number}", (f"l{number}",), ({}, {"keep": "no"}), knobs),
                Dimension(f"prune_ratio l{number}", (f"l{number}",), ({}, {"prune_ratio": 0.5}), knobs),
            )
        ]
        bits = Dimension("weight_bits *", tuple(knobs), ({}, {"weight_bits": 8}), knobs, True)
        self.space = Space((*dimensions, bits), Plan())
        self.whole, self.half = rng.uniform(0.02, 0.3, BLOCKS), rng.uniform(0.01, 0.1, BLOCKS)
        self.base: Proposal = (*([0] * (2 * BLOCKS)), 1)
        self.savings = {(2 * number, 1): 0.04 for number in range(BLOCKS)}
        # Half of the channels saves nothing in every other block.
        self.savings |= {(2 * number + 1, 1): 0.012 if number % 2 else 0.0 for number in range(BLOCKS)}
        self.savings[2 * BLOCKS, 0] = -0.55
        self.drops = {(2 * number, 1): float(self.whole[number]) for number in range(BLOCKS)}
        self.drops |= {(2 * number + 1, 1): float(self.half[number]) for number in range(BLOCKS)}

    def figures(self, proposal: Proposal) -> Figures:
        """Return what a candidate would measure."""
        settings = self.space.canonical(proposal)
        lost = sum(self.drops[place, 1] for place in range(2 * BLOCKS) if settings[place])
        saved = sum(self.savings[place, 1] for place in range(2 * BLOCKS) if settings[place])
        integers = settings[-1]
        drop = 0.002 * integers + 0.08 * lost * (1 + lost)
        latency = (0.45 if integers else 1.0) - saved * (1 if integers else 2)
        return Figures(drop, 0.004, {"latency": latency}, {"latency": 0.005})

    def task(self, seed: int = 0) -> SearchTask:
        """Return a task at its beginning."""
        known = Known(self.base, {"latency": 0.45}, {"latency": self.savings}, self.drops, True, 0.1)
        task = SearchTask(self.space, ("latency",), (0.1, 1.0), {}, seed, Forecast(self.space, ("latency",), known))
        task.spent.add(self.space.untouched)
        return task


def searched(name: str, count: int, seed: int = 0, resumed_after: int | None = None) -> SearchTask:
    """Return a task after a strategy has run; the strategy itself is made anew after `resumed_after` candidates."""
    world = World()
    task = world.task(seed)
    strategy = make_strategy(StrategyChoice(name=name, parameters=QUICK[name]))
    strategy.begin(task)
    for number in range(count):
        if number == resumed_after:
            strategy = make_strategy(StrategyChoice(name=name, parameters=QUICK[name]))
            strategy.begin(task)
        asked = task.new(list(strategy.ask(4)))
        if not asked:
            break
        task.spent.add(asked[0])
        result = Result(asked[0], world.figures(asked[0]))
        task.finished.append(result)
        task.forecast.learn(task.finished, {}, {})
        strategy.tell(result)
    return task


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_proposes_the_same_also_after_a_restart(name: str) -> None:
    def proposals(**how: int) -> list[Proposal]:
        return [result.proposal for result in searched(name, 6, **how).finished]

    first = proposals()
    assert first == proposals()
    assert first == proposals(resumed_after=3)
    assert len(set(first)) == len(first)


def test_all_first_party_strategies_are_offered() -> None:
    assert {offered.strategy.name for offered in strategies() if offered.plugin == "search"} == set(NAMES)
    with pytest.raises(RecipeError, match="unknown strategy 'annealing'"):
        make_strategy(StrategyChoice(name="annealing"))
    with pytest.raises(RecipeError, match=r"strategy\.parameters \(greedy\).*targets"):
        make_strategy(StrategyChoice(name="greedy", parameters={"targets": 0}))


@pytest.mark.parametrize("name", ["amc", "greedy", "nsga2", "tpe"])
def test_what_knows_sensitivities_beats_chance(name: str) -> None:
    chance = np.mean([searched("random", 8, seed).hypervolume() for seed in range(5)])
    assert searched(name, 8).hypervolume() > 1.02 * chance


@pytest.mark.parametrize("name", ["amc", "greedy", "nsga2", "tpe"])
def test_the_cheapest_precision_alone_comes_first_and_what_saves_nothing_is_left_alone(name: str) -> None:
    task = searched(name, 6)
    assert task.finished[0].proposal == task.base
    for result in task.finished:
        useless = [2 * number + 1 for number in range(0, BLOCKS, 2)]
        assert not any(result.proposal[place] for place in useless)


class Sized:
    """The same world, where files have a budget that the cheapest precision alone does not keep."""

    def __init__(self, limits: dict[str, float]) -> None:
        self.world = World()
        self.sizes = {(place, 1): 0.01 for place in range(2 * BLOCKS)} | {(2 * BLOCKS, 0): -0.7}
        costs = {"latency": 0.45, "size": 0.3}
        savings = {"latency": self.world.savings, "size": self.sizes}
        known = Known(self.world.base, costs, savings, self.world.drops, True, 0.1)
        forecast = Forecast(self.world.space, ("latency", "size"), known)
        drop = limits.get("metric", 0.1)
        self.task = SearchTask(self.world.space, ("latency",), (drop, 1.0), limits, 0, forecast)
        self.strategy = make_strategy(StrategyChoice(name="greedy", parameters=QUICK["greedy"]))
        self.strategy.begin(self.task)
        self.take(self.world.base)

    def take(self, proposal: Proposal) -> float:
        """Finish a candidate and return its size."""
        figures = self.world.figures(proposal)
        size = 0.3 - sum(self.sizes[place, 1] for place in range(2 * BLOCKS) if proposal[place])
        self.task.spent.add(proposal)
        self.task.finished.append(Result(proposal, Figures(figures.drop, 0.004, {**figures.costs, "size": size}, {})))
        self.task.forecast.learn(self.task.finished, {}, {})
        return size


def test_what_has_a_budget_and_is_no_objective_is_kept() -> None:
    sized = Sized({"metric": 0.1, "size": 0.26})
    assert sized.task.measured() == []
    for _ in range(4):
        proposal = sized.strategy.ask(1)[0]
        assert sized.take(proposal) <= 0.26 + 1e-9
    assert len(sized.task.measured()) == 4


def test_where_budgets_leave_nothing_what_comes_closest_is_tried_a_few_times() -> None:
    sized = Sized({"metric": 1e-4})
    tried = 0
    while asked := sized.strategy.ask(1):
        sized.take(asked[0])
        tried += 1
    # With the cheapest precision alone it is three that have missed.
    assert tried == 2
    nearest = min(sized.world.figures(result.proposal).drop for result in sized.task.finished[1:])
    others = (sized.world.figures(sized.task.random(np.random.default_rng(seed))).drop for seed in range(50))
    assert nearest < min(others)


def test_what_surely_breaks_a_budget_promises_nothing_and_the_closest_is_known() -> None:
    sized = Sized({"metric": 0.5, "size": 0.1})
    halves = [(*(int(place == dimension) for place in range(2 * BLOCKS)), 1) for dimension in range(4)]
    more = (1, 1, 1, 1, *([0] * (2 * BLOCKS - 4)), 1)
    assert sized.task.gains([more, *halves]) == [0.0] * 5
    assert sized.task.surely_beyond(more) == ("size", pytest.approx(0.28, abs=0.001))
    assert sized.task.closest([*halves, more])[0] == more


def test_the_forecast_learns_what_training_leaves_of_a_drop() -> None:
    world = World()
    task = world.task()
    rng = np.random.default_rng(3)
    others = [task.random(rng) for _ in range(40)]

    def error() -> float:
        means, _ = task.forecast.points(others)
        return float(np.mean(np.abs(means[:, 0] - [world.figures(proposal).drop for proposal in others])))

    before = error()
    task.finished = [Result(proposal, world.figures(proposal)) for proposal in (task.random(rng) for _ in range(12))]
    task.forecast.learn(task.finished, {}, {})
    assert error() < 0.5 * before


def test_a_foretold_interval_holds_what_comes() -> None:
    world = World()
    task = world.task()
    rng = np.random.default_rng(4)
    task.finished = [Result(proposal, world.figures(proposal)) for proposal in (task.random(rng) for _ in range(10))]
    task.forecast.learn(task.finished, {}, {})
    others = [task.random(rng) for _ in range(60)]
    means, deviations = task.forecast.points(others)
    true = np.array([world.figures(proposal).drop for proposal in others])
    assert np.mean(np.abs(means[:, 0] - true) <= 1.96 * deviations[:, 0]) >= 0.85
