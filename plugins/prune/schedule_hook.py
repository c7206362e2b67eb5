"""What schedules share that prune within one training: masks, rankings from live weights, what a crash must not lose.

At the end of the last epoch zeros stand wherever removed channels are, so that removing them changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.api import ModelGraph, Progress, coupled_weights, training_history

from .schedule_base import Ground, ScheduledPruning, Sparse, removed
from .schedule_parameters import HookedParameters
from .schedule_ranking import Scores
from .schedule_units import LiveUnits

# Share of the past that is kept in the moving average of slopes with every step.
_MEMORY = 0.98
_COMPARED_SAMPLES = 8


class PruningHook(ABC):
    """Prunes while a training runs; implements TrainingHook.

    Attributes:
        removal: By group the units that are gone so far.
        live: The units in the weights of the training, from `begin` on.
        steps: Steps of the whole training.
        last_scores: The latest ranking.
        record: Entries for the report.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.removal: dict[str, tuple[int, ...]] = {}
        self.last_scores: Scores = ground.scores
        self.record: list[dict[str, Any]] = []
        self.live: LiveUnits
        self.steps = self.epochs = 0
        self._slopes = {group.id: np.zeros(group.units) for group in ground.groups}
        self._needed = ground.ranking.needed(ground.graph, ground.groups)

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Find the units in the weights."""
        units = {group.id: group.units for group in self.ground.groups}
        self.live = LiveUnits(coupled_weights(self.ground.graph), units, weights)
        self.epochs, self.steps = epochs, epochs * steps_per_epoch

    def after_backward(self, step: int) -> None:
        """Learn what the loss says of channels, where the criterion asks it."""
        if self.ground.ranking.by_slopes:
            for group, average in self._slopes.items():
                self._slopes[group] = _MEMORY * average + (1 - _MEMORY) * np.abs(self.live.slopes(group))

    def after_step(self, step: int) -> None:
        """Keep at zero what is gone."""
        self.live.zero(self.removal)

    def after_epoch(self, epoch: int) -> None:
        """Put zeros where channels are gone, and decide for good after the last epoch."""
        if epoch + 1 == self.epochs:
            self.removal = self.decided()
            self.live.zero(self.removal)

    @abstractmethod
    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the units that go in the end."""

    def notes(self) -> tuple[str, ...]:
        """Return what the report should say."""
        return ()

    def ranked(self) -> Scores:
        """Return the present importance of every unit (u,), by group."""
        if self.ground.ranking.by_slopes:
            self.last_scores = {group: average.copy() for group, average in self._slopes.items()}
        else:
            graph = self.ground.graph.with_initializers(self.live.arrays(self._needed))
            self.last_scores = self.ground.ranking.scores(graph, self.ground.groups, self.ground.tools)
        return self.last_scores

    def chosen_anew(self, share: float = 1.0) -> dict[str, tuple[int, ...]]:
        """Return the least important units by the present ranking; those that are gone stay gone."""
        scores = {group: values.copy() for group, values in self.ranked().items()}
        for group, gone in self.removal.items():
            scores[group][list(gone)] = -np.inf
        return self.ground.chosen(scores, share)

    def state(self) -> dict[str, Any]:
        """Return all that is not in the weights."""
        return {
            "removal": {group: list(gone) for group, gone in self.removal.items()},
            "scores": {group: values.tolist() for group, values in self.last_scores.items()},
            "slopes": {group: values.tolist() for group, values in self._slopes.items()},
            "record": self.record,
            "hidden": self.live.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.removal = {group: tuple(gone) for group, gone in state["removal"].items()}
        self.last_scores = {group: np.asarray(values) for group, values in state["scores"].items()}
        self._slopes = {group: np.asarray(values) for group, values in state["slopes"].items()}
        self.record = list(state["record"])
        self.live.restore(state["hidden"])


class HookedPruning(ScheduledPruning):
    """A schedule that consists of one training with a hook, the removal, and the recovery."""

    Parameters = HookedParameters

    @abstractmethod
    def hook(self, ground: Ground) -> PruningHook:
        """Return what prunes during the training."""

    @property
    def epochs_before(self) -> int:
        """Epochs at full size."""
        return int(self.parameters.schedule_epochs)

    def sparsify(self, ground: Ground, progress: Progress) -> Sparse:
        """Train with the hook, then remove what it decided on."""
        hook = self.hook(ground)
        epochs = self.epochs_before
        result = ground.trained(ground.graph, epochs, "schedule", progress, hook)
        smaller = removed(result.graph, hook.removal)
        difference = _difference(ground, result.graph, smaller)
        notes = (*hook.notes(), *(note for note in result.notes if note.startswith("went on")))
        details = {
            "schedule": {"history": training_history(result), "record": hook.record},
            "removed_against_masked": difference,
        }
        return Sparse(smaller, hook.removal, hook.last_scores, notes, details)


def _difference(ground: Ground, masked: ModelGraph, smaller: ModelGraph) -> float:
    """Return how far outputs differ by the removal itself, relative to the largest one, on a few samples."""
    batch = next(iter(ground.training.data.calibration(_COMPARED_SAMPLES, _COMPARED_SAMPLES)))
    full, cut = (
        ground.tools.inference.open(graph, cancel=ground.tools.cancel).run(batch.inputs) for graph in (masked, smaller)
    )
    scale = max((float(np.abs(full[name]).max(initial=0.0)) for name in full), default=0.0)
    worst = max((float(np.abs(full[name] - cut[name]).max(initial=0.0)) for name in full), default=0.0)
    return worst / max(scale, 1e-12)
