"""Tries a search strategy on a small made-up world, where every proposal's figures are known at once."""

from __future__ import annotations

from workbench.domain.plan import Plan
from workbench.methods.search.forecast import Forecast, Known, Result
from workbench.methods.search.objectives import Figures
from workbench.methods.search.space import Dimension, Proposal, Space
from workbench.methods.search.strategy import SearchTask, Strategy
from workbench.plugin_host.trial import Rejected

_LAYERS = 4
_CANDIDATES = 5


class StrategyTrial:
    """A strategy that is asked for a few candidates.

    Args:
        strategy: With parameters that all have defaults.
    """

    def __init__(self, strategy: type[Strategy]) -> None:
        self._strategy = strategy

    def proposes(self) -> str:
        """Check that every proposal is one of the space's and none comes twice; returns how many came."""
        found = self._searched()
        if not found:
            raise Rejected("`ask` proposes nothing at the beginning of a search")
        return f"{len(found)} candidates"

    def repeats(self) -> str:
        """Check that the proposals depend on the seed and on what is finished only."""
        first, second, restarted = self._searched(), self._searched(), self._searched(restart=2)
        if first != second:
            raise Rejected("two searches with the same seed differ; draw from np.random.default_rng(task.seed)")
        if first != restarted:
            raise Rejected(
                "a search that is gone on with proposes otherwise; decide by `task.finished`, not by what is remembered"
            )
        return ""

    def _searched(self, restart: int | None = None) -> list[Proposal]:
        task, world = _task()
        strategy = self._begun(task)
        found: list[Proposal] = []
        for number in range(_CANDIDATES):
            if number == restart:
                strategy = self._begun(task)
            asked = list(strategy.ask(2))
            for proposal in asked:
                if len(proposal) != len(task.space.dimensions) or not all(
                    0 <= choice < len(dimension.choices)
                    for choice, dimension in zip(proposal, task.space.dimensions, strict=True)
                ):
                    raise Rejected(f"`ask` proposes {proposal!r}, which the space does not have")
            fresh = task.new(asked)
            if not fresh:
                break
            task.spent.add(fresh[0])
            result = Result(fresh[0], world(fresh[0]))
            task.finished.append(result)
            task.forecast.learn(task.finished, {}, {})
            strategy.tell(result)
            found.append(fresh[0])
        return found

    def _begun(self, task: SearchTask) -> Strategy:
        strategy = self._strategy(self._strategy.Parameters())
        strategy.begin(task)
        return strategy


class _World:
    """Layers that may lose half of their channels, in float or in integers."""

    def __call__(self, proposal: Proposal) -> Figures:
        pruned = [place for place in range(_LAYERS) if proposal[place]]
        integers = proposal[_LAYERS] == 1
        latency = (0.5 if integers else 1.0) - 0.08 * len(pruned)
        return Figures(0.01 * integers + sum(0.01 * (place + 1) for place in pruned), 0.002, {"latency": latency}, {})


def _task() -> tuple[SearchTask, _World]:
    knobs = {f"layer{number}": frozenset({"prune_ratio", "weight_bits"}) for number in range(_LAYERS)}
    prune = tuple(Dimension(f"prune_ratio {name}", (name,), ({}, {"prune_ratio": 0.5}), knobs) for name in knobs)
    space = Space((*prune, Dimension("weight_bits *", tuple(knobs), ({}, {"weight_bits": 8}), knobs, True)), Plan())
    base = (*([0] * _LAYERS), 1)
    savings = {(place, 1): 0.08 for place in range(_LAYERS)} | {(_LAYERS, 0): -0.5}
    drops = {(place, 1): 0.1 * (place + 1) for place in range(_LAYERS)}
    known = Known(base, {"latency": 0.5}, {"latency": savings}, drops, True, 0.1)
    forecast = Forecast(space, ("latency",), known)
    task = SearchTask(space, ("latency",), (0.2, 1.0), {}, 0, forecast)
    task.spent.add(space.untouched)
    return task, _World()
