"""What a strategy is, and what it is given: the whole world of an author who brings a new way to search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from workbench.domain.study import Cost
from workbench.methods.method import Parameters
from workbench.methods.search.forecast import Forecast, Result
from workbench.methods.search.front import gain, hypervolume
from workbench.methods.search.knapsack import least_loss
from workbench.methods.search.space import Proposal, Space

# Hope for this share of a standard deviation: what is uncertain may turn out well, and is then learned of.
_HOPE = 0.3


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
        """Return for every dimension the choices that pay."""
        return self.forecast.useful(self.costs)

    def new(self, proposals: Collection[Proposal]) -> list[Proposal]:
        """Return those that are not spent, each once, in their order."""
        canonical = dict.fromkeys(self.space.canonical(proposal) for proposal in proposals)
        return [proposal for proposal in canonical if proposal not in self.spent]

    def measured(self) -> list[tuple[float, ...]]:
        """Return drop and costs of all finished candidates."""
        return [(result.figures.drop, *(result.figures.costs[name] for name in self.costs)) for result in self.finished]

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
        return [gain(tuple(map(float, point)), known, self.reference) for point in hoped]

    def ranked(self, proposals: Collection[Proposal]) -> list[Proposal]:
        """Return new proposals with a foretold gain, the greatest first."""
        fresh = self.new(proposals)
        scored = sorted(zip(self.gains(fresh), fresh, strict=True), key=lambda pair: (-pair[0], pair[1]))
        return [proposal for value, proposal in scored if value > 0]

    def least_loss(self, shares: dict[Cost, float]) -> Proposal | None:
        """Return the proposal with the least foretold drop whose costs are at most these shares; None if none is."""
        forecast = self.forecast
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
