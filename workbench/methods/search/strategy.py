"""What a strategy is, and what it is given: the whole world of an author who brings a new way to search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from workbench.domain.study import Cost
from workbench.methods.method import Parameters
from workbench.methods.search.forecast import Forecast, Result
from workbench.methods.search.front import gain, hypervolume
from workbench.methods.search.knapsack import least_loss
from workbench.methods.search.objectives import Figures, beyond, excess
from workbench.methods.search.space import Proposal, Space

# Hope for this share of a standard deviation: what is uncertain may turn out well, and is then learned of.
_HOPE = 0.3
# A budget is surely broken where even so many standard deviations less would break it.
_SURELY = 2.0
# So many candidates are built that are foretold to break a budget, to see whether they do.
_MOST_MISSES = 3


class SearchTask:
    """What a strategy knows; finished candidates and the forecast grow as the study goes on.

    Attributes:
        space: What can be chosen.
        costs: Objectives besides the drop of the metric.
        reference: (d,) worst drop and cost shares that count.
        limits: Budgets by objective ("metric" as a drop, costs as shares).
        seed: Of the study.
        forecast: Of any proposal, corrected with every finished candidate.
        finished: In their order.
        spent: Proposals that will not be built again: finished, failed, under way, or found to break a budget.
    """

    def __init__(
        self,
        space: Space,
        costs: Sequence[Cost],
        reference: Sequence[float],
        limits: dict[str, float],
        seed: int,
        forecast: Forecast,
    ) -> None:
        self.space, self.costs = space, tuple(costs)
        self.reference = tuple(reference)
        self.limits = dict(limits)
        self.seed = seed
        self.forecast = forecast
        self.finished: list[Result] = []
        self.spent: set[Proposal] = set()

    @property
    def base(self) -> Proposal:
        """The proposal with the cheapest precision and nothing else changed."""
        return self.forecast.known.base

    def choices(self) -> tuple[tuple[int, ...], ...]:
        """Return for every dimension the choices that pay, for an objective or for what else has a budget."""
        return self.forecast.useful((*self.costs, *self._bounded))

    def new(self, proposals: Collection[Proposal]) -> list[Proposal]:
        """Return those that are not spent, each once, in their order."""
        canonical = dict.fromkeys(self.space.canonical(proposal) for proposal in proposals)
        return [proposal for proposal in canonical if proposal not in self.spent]

    def measured(self) -> list[tuple[float, ...]]:
        """Return drop and costs of all finished candidates that keep the budgets of what is no objective."""
        bounded: dict[str, float] = {name: self.limits[name] for name in self._bounded}
        return [
            (result.figures.drop, *(result.figures.costs[name] for name in self.costs))
            for result in self.finished
            if not beyond(result.figures, bounded)
        ]

    def hypervolume(self) -> float:
        """Return what the finished candidates cover."""
        return hypervolume(self.measured(), self.reference)

    def gains(self, proposals: Sequence[Proposal]) -> list[float]:
        """Return by how much each proposal would enlarge the hypervolume if it came out a bit better than foretold."""
        if not proposals:
            return []
        means, deviations = self.forecast.points(proposals)
        hoped = means[:, : 1 + len(self.costs)].copy()
        hoped[:, 0] -= _HOPE * deviations[:, 0]
        known = self.measured()
        limits = np.array([self.limits.get(name, np.inf) for name in self.forecast.costs])
        broken = np.any(means[:, 1:] - _SURELY * deviations[:, 1:] > limits, axis=1).tolist()
        return [
            0.0 if beyond_it else gain(tuple(map(float, point)), known, self.reference)
            for point, beyond_it in zip(hoped, broken, strict=True)
        ]

    def surely_beyond(self, proposal: Proposal) -> tuple[Cost, float] | None:
        """Return a cost whose budget a proposal surely breaks, and its foretold share; None if it may keep them all."""
        means, deviations = self.forecast.points([proposal])
        for place, name in enumerate(self.forecast.costs, 1):
            if means[0, place] - _SURELY * deviations[0, place] > self.limits.get(name, np.inf):
                return name, float(means[0, place])
        return None

    def ranked(self, proposals: Collection[Proposal]) -> list[Proposal]:
        """Return new proposals with a foretold gain, the greatest first.

        Where budgets leave none and no finished candidate keeps them, those that are foretold to miss them least: a
        forecast may be wrong, and somebody who sets a budget wants to see what comes closest.
        """
        fresh = self.new(proposals)
        scored = sorted(zip(self.gains(fresh), fresh, strict=True), key=lambda pair: (-pair[0], pair[1]))
        gaining = [proposal for value, proposal in scored if value > 0]
        if gaining or not self.limits or not fresh:
            return gaining
        return self.closest(fresh)

    def closest(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the proposals, those first that are foretold to miss the budgets least.

        None where a finished candidate keeps them, or enough were built that don't.
        """
        missing = [bool(beyond(result.figures, self.limits)) for result in self.finished]
        if not proposals or not all(missing) or len(missing) >= _MOST_MISSES:
            return []
        means, _ = self.forecast.points(proposals)
        foretold = [
            Figures(float(row[0]), 0.0, dict(zip(self.forecast.costs, map(float, row[1:]), strict=True)), {})
            for row in means
        ]
        missed = [excess(figures, self.limits, self.reference) for figures in foretold]
        return [proposal for _, proposal in sorted(zip(missed, proposals, strict=True))]

    @property
    def _bounded(self) -> tuple[Cost, ...]:
        """Costs that have a budget and are no objective."""
        return tuple(name for name in self.forecast.costs if name in self.limits and name not in self.costs)

    def least_loss(self, shares: Mapping[Cost, float], *, within_budgets: bool = True) -> Proposal | None:
        """Return the proposal with the least foretold drop whose costs are at most these shares; None if none is.

        Args:
            shares: Of the original's costs.
            within_budgets: Whether the costs that the study has budgets for must keep them, too.
        """
        forecast = self.forecast
        budgets = {name: self.limits[name] for name in forecast.costs if within_budgets and name in self.limits}
        shares = budgets | {name: min(share, budgets.get(name, share)) for name, share in shares.items()}
        names = [name for name in forecast.costs if name in shares]
        savings = np.stack([forecast.savings(name) for name in names])
        needed = [forecast.known.costs.get(name, 1.0) - shares[name] for name in names]
        losses = np.maximum(forecast.drop_effects(), 0.0)
        return least_loss(self.space, self.base, forecast.columns, losses, savings, needed, self.choices())

    def random(self, rng: np.random.Generator) -> Proposal:
        """Return a proposal of choices that pay, each with equal probability."""
        return self.space.canonical([int(rng.choice(choices)) for choices in self.choices()])


class Strategy(ABC):
    """A way to search.

    Attributes:
        name: Its word in STUDY.yaml, unique among all plugins.
        title: In lists.
        summary: One sentence.
        source: The paper (authors, year), or "".
        screened: Of several proposals the loop builds the one that promises most, after it has timed its structure; a
            strategy that wants all of its proposals built sets this to False.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    screened: ClassVar[bool] = True
    Parameters: ClassVar[type[BaseModel]] = Parameters

    def __init__(self, parameters: BaseModel) -> None:
        self.parameters: Any = parameters

    def begin(self, task: SearchTask) -> None:
        """Take the task; `task.finished` may hold candidates of an earlier run already."""
        self.task = task

    @abstractmethod
    def ask(self, count: int) -> Sequence[Proposal]:
        """Return up to `count` proposals, the most promising first; none ends the search.

        The same proposals for the same seed and the same finished candidates.
        """

    def tell(self, result: Result) -> None:  # noqa: B027 (most strategies read task.finished)
        """Take a finished candidate; `task.finished` holds it already."""
