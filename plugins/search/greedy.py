"""The quickest way to a first good front: sensitivities and measured savings, weighed against each other exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from workbench.api import Parameters, Proposal, SearchTask, Strategy

_BISECTIONS = 12


class GreedyParameters(Parameters):
    """Parameters of the greedy strategy."""

    targets: int = Field(
        default=24,
        ge=1,
        le=500,
        title="Targets",
        description="Of every cost, so many levels between what the cheapest precision alone takes and the least that "
        "is possible; for each the least drop is looked for.",
    )


class Greedy(Strategy):
    """Builds the proposal that the forecast promises most of, along the line of least drop for every cost."""

    name = "greedy"
    title = "By sensitivities"
    summary = "Sensitivities and measured savings through an integer program, corrected with every finished candidate."
    source = "HAWQ-V3, Yao et al., 2021 (integer programming); Zitzler and Thiele, 1998 (hypervolume)"
    Parameters = GreedyParameters

    def ask(self, count: int) -> Sequence[Proposal]:
        """Return the cheapest precision first, then what enlarges the front most by the forecast."""
        task = self.task
        # Without training it takes seconds, and much of a front stands on it.
        first = task.new([task.base])
        if first:
            return first
        targets = self.parameters.targets
        # Where nothing is foretold to keep the budgets, what comes closest to them is among the others.
        proposals = least_drops(task, targets) or least_drops(task, targets, within_budgets=False)
        return task.ranked(proposals)[:count]


def least_drops(task: SearchTask, targets: int, *, within_budgets: bool = True) -> list[Proposal]:
    """Return the proposals of least foretold drop for levels of every cost between the base and the least possible."""
    found: dict[Proposal, None] = {}
    forecast = task.forecast
    for place, name in enumerate(task.costs):
        highest = float(forecast.points([task.base])[0][0, 1 + place])
        lowest = _lowest(task, place, highest, within_budgets=within_budgets)
        for level in np.linspace(highest, lowest, targets + 1)[1:]:
            proposal = task.least_loss({name: float(level)}, within_budgets=within_budgets)
            if proposal is not None:
                found[proposal] = None
    return list(found)


def _lowest(task: SearchTask, place: int, highest: float, *, within_budgets: bool) -> float:
    """Return the lowest level of a cost that some proposal reaches, by bisection."""
    name = task.costs[place]
    low, high = 0.0, highest
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if task.least_loss({name: middle}, within_budgets=within_budgets) is None:
            low = middle
        else:
            high = middle
    return high
