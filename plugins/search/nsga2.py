"""Evolution on the forecast: hundreds of generations cost nothing there, and only what promises most is built."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from workbench.api import JobError, Proposal, SearchTask

from .greedy import least_drops
from .shared_study import SharingStrategy, StorageParameters


class Nsga2Parameters(StorageParameters):
    """Parameters of NSGA-II."""

    population: int = Field(default=40, ge=4, le=1000, title="Population", description="Proposals of a generation.")
    generations: int = Field(
        default=8,
        ge=1,
        le=1000,
        title="Generations",
        description="On the forecast, before each candidate that is built.",
    )
    seeds: int = Field(
        default=12,
        ge=0,
        le=500,
        title="Seeds",
        description="So many levels of each cost at which the integer program's proposals begin the evolution.",
    )


class Nsga2(SharingStrategy):
    """Evolves proposals on the forecast, which every finished candidate corrects, and builds what promises most."""

    name = "nsga2"
    title = "Evolution (NSGA-II)"
    summary = "Non-dominated sorting evolution on the forecast, begun with the greedy strategy's proposals."
    source = "Deb et al., 2002"
    Parameters = Nsga2Parameters

    def ask(self, count: int) -> Sequence[Proposal]:
        """Return the most promising proposals of the last generation."""
        task, optuna = self.task, optuna_module()
        finished = self.with_others(optuna)
        first = task.new([task.base])
        if first:
            return first
        population = self.parameters.population
        sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=task.seed + len(task.finished))
        study = optuna.create_study(directions=["minimize"] * (1 + len(task.costs)), sampler=sampler)
        begin = [proposal for proposal, _ in finished]
        if self.parameters.seeds:
            begin += least_drops(task, self.parameters.seeds)
        for proposal in dict.fromkeys(begin[:population]):
            study.enqueue_trial(named(proposal))
        seen: dict[Proposal, None] = dict.fromkeys(begin)
        for _ in range(population * self.parameters.generations):
            trial = study.ask()
            proposal = task.space.canonical(suggested(trial, task))
            seen[proposal] = None
            means, _ = task.forecast.points([proposal])
            study.tell(trial, [float(value) for value in means[0, : 1 + len(task.costs)]])
        return task.ranked(list(seen))[:count]


def optuna_module() -> Any:
    """Return Optuna, quiet.

    Raises:
        JobError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise JobError(
            "this strategy needs Optuna, which is not installed",
            where="strategy",
            action="Install optuna, or choose the strategy greedy.",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def suggested(trial: Any, task: SearchTask) -> Proposal:
    """Return what a trial of Optuna suggests, among the choices that pay."""
    return tuple(
        int(trial.suggest_categorical(f"d{place}", list(choices))) for place, choices in enumerate(task.choices())
    )


def named(proposal: Proposal) -> dict[str, int]:
    """Return a proposal as Optuna's parameters."""
    return {f"d{place}": choice for place, choice in enumerate(proposal)}
