"""Writes finished candidates into an Optuna storage and reads those of others, so that several searches learn together.

The storage is a journal file on a shared folder, or a database that Optuna knows by its URL; Optuna's own tools, such
as its dashboard, open it too. What others finished is learned from and not built again; it does not enter one's own
front, whose every file lies in one's own folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from workbench.api import BadInputError, FinishedTrial, JobError, Parameters, Proposal, SearchTask, Strategy

_KEY, _SETTINGS = "key", "settings"


class StorageParameters(Parameters):
    """Where candidates are shared."""

    storage: str = Field(
        default="",
        title="Shared storage",
        description="File of an Optuna journal, or URL of a database that Optuna knows, which searches of the same "
        "model and choices share: each learns from what the others finished. Empty shares nothing.",
    )


@dataclass(frozen=True)
class Shared:
    """A candidate in the storage: the choices, and drop and costs."""

    proposal: Proposal
    values: tuple[float, ...]


class SharedStudy:
    """One study in a storage.

    Args:
        optuna: The module.
        storage: File or URL.
        task: Says which studies can learn from each other: those with the same dimensions and objectives.

    Raises:
        BadInputError: the storage can't be opened.
    """

    def __init__(self, optuna: Any, storage: str, task: SearchTask) -> None:
        self._optuna, self._task, self._where = optuna, task, storage
        dimensions = [[one.id, [dict(choice) for choice in one.choices]] for one in task.space.dimensions]
        told = json.dumps([dimensions, list(task.costs)], sort_keys=True)
        name = f"workbench-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        try:
            backend: Any = storage
            if "://" not in storage:
                backend = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(storage))
            self._study = optuna.create_study(
                study_name=name,
                storage=backend,
                directions=["minimize"] * (1 + len(task.costs)),
                load_if_exists=True,
            )
            self._study.set_metric_names(["drop", *task.costs])
        except Exception as error:  # databases raise classes of their own, and so do damaged files
            raise BadInputError(
                "the shared storage can't be opened",
                where=f"strategy.parameters.storage ({storage})",
                expected="a journal file in a folder that can be written, or the URL of a database",
                found=f"{type(error).__name__}: {error}".splitlines()[0],
            ) from error

    def publish(self, results: Sequence[FinishedTrial]) -> None:
        """Write finished candidates that are not there yet.

        Raises:
            JobError: the storage can't be written.
        """
        there = {trial.user_attrs.get(_KEY) for trial in self._trials()}
        create, space = self._optuna.trial.create_trial, self._task.space
        distribution = self._optuna.distributions.CategoricalDistribution
        for result in results:
            key = space.key(result.proposal)
            if key in there:
                continue
            self._call(
                self._study.add_trial,
                create(
                    params={one.id: choice for one, choice in zip(space.dimensions, result.proposal, strict=True)},
                    distributions={one.id: distribution(list(range(len(one.choices)))) for one in space.dimensions},
                    values=[result.figures.drop, *(result.figures.costs[name] for name in self._task.costs)],
                    user_attrs={_KEY: key, _SETTINGS: space.settings(result.proposal)},
                ),
            )

    def others(self) -> tuple[Shared, ...]:
        """Return what other searches finished.

        Raises:
            JobError: the storage can't be read.
        """
        space, own = self._task.space, {self._task.space.key(result.proposal) for result in self._task.finished}
        found: dict[str, Shared] = {}
        for trial in self._trials():
            key = trial.user_attrs.get(_KEY)
            if not isinstance(key, str) or key in own or not trial.values:
                continue
            proposal = tuple(int(trial.params[one.id]) for one in space.dimensions)
            found[key] = Shared(proposal, tuple(trial.values))
        return tuple(found.values())

    def _trials(self) -> list[Any]:
        state = self._optuna.trial.TrialState.COMPLETE
        return list(self._call(self._study.get_trials, deepcopy=False, states=(state,)))

    def _call(self, what: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return what(*arguments, **options)
        except Exception as error:  # as above
            raise JobError(
                f"the shared storage failed: {type(error).__name__}: {error}".splitlines()[0],
                where=self._where,
                action="Make it reachable and start the search again: it goes on where it was.",
            ) from error


class SharingStrategy(Strategy):
    """A strategy that learns from what others wrote into its storage, which stays open while it is at work."""

    _shared: SharedStudy | None = None

    def begin(self, task: SearchTask) -> None:
        """Take the task; the storage is opened when it is first asked."""
        super().begin(task)
        self._shared = None

    def with_others(self, optuna: Any) -> list[tuple[Proposal, tuple[float, ...]]]:
        """Return finished candidates with drop and costs, those of searches that share the storage included.

        Own ones are written there; those of others will not be built again.

        Raises:
            BadInputError: the storage can't be opened.
            JobError: it can't be read or written.
        """
        task = self.task
        own = [
            (result.proposal, (result.figures.drop, *(result.figures.costs[name] for name in task.costs)))
            for result in task.finished
        ]
        storage: str = self.parameters.storage
        if not storage:
            return own
        if self._shared is None:
            self._shared = SharedStudy(optuna, storage, task)
        self._shared.publish(task.finished)
        others = self._shared.others()
        task.spent.update(entry.proposal for entry in others)
        return [*own, *((entry.proposal, entry.values) for entry in others)]
