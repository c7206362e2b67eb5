"""Learns which choices stand in good candidates from measured ones, and asks for more of them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from workbench.api import Proposal

from .greedy import least_drops
from .nsga2 import named, optuna_module, suggested
from .shared_study import SharingStrategy, StorageParameters


class TpeParameters(StorageParameters):
    """Parameters of TPE."""

    startup: int = Field(
        default=4,
        ge=1,
        le=1000,
        title="First candidates",
        description="So many finished candidates before the estimator is asked; until then the greedy proposals are "
        "built.",
    )
    drawn: int = Field(
        default=24,
        ge=1,
        le=10_000,
        title="Draws",
        description="Suggestions that are drawn, of which the best are built.",
    )


class Tpe(SharingStrategy):
    """Multi-objective tree-structured Parzen estimator over measured candidates, begun with the greedy proposals."""

    name = "tpe"
    title = "Parzen estimator (TPE)"
    summary = "Draws choices that stand in good measured candidates; begun with the greedy strategy's proposals."
    source = "Bergstra et al., 2011; Ozaki et al., 2020"
    Parameters = TpeParameters

    def ask(self, count: int) -> Sequence[Proposal]:
        """Return the greedy proposals first, then what the estimator suggests."""
        task, optuna = self.task, optuna_module()
        finished = self.with_others(optuna)
        first = task.new([task.base])
        if first:
            return first
        if len(finished) < self.parameters.startup:
            begin = task.ranked(least_drops(task, 12))[:count]
            if begin:
                return begin
        sampler = optuna.samplers.TPESampler(
            seed=task.seed + len(task.finished), n_startup_trials=1, multivariate=True, constant_liar=True
        )
        study = optuna.create_study(directions=["minimize"] * (1 + len(task.costs)), sampler=sampler)
        choices = task.choices()
        distributions = {
            f"d{place}": optuna.distributions.CategoricalDistribution(list(offered))
            for place, offered in enumerate(choices)
        }
        for proposal, values in finished:
            if all(choice in offered for choice, offered in zip(proposal, choices, strict=True)):
                study.add_trial(
                    optuna.trial.create_trial(params=named(proposal), distributions=distributions, values=list(values))
                )
        drawn = [suggested(study.ask(), task) for _ in range(self.parameters.drawn)]
        fresh = task.new(drawn)
        # What the forecast thinks little of may still be worth a try to an estimator of its own.
        promising = task.ranked(fresh)
        return [*promising, *(proposal for proposal in fresh if proposal not in promising)][:count]
