"""What all pruning schedules share: what goes is decided and trained away step by step, then removed, then recovered.

The channels leave the file physically in the end. Only epochs after that are compared for the best one, so that no
epoch with more channels than the plan allows can win.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.api import (
    PRUNE_RATIO,
    ChannelGroup,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Origin,
    Progress,
    RecipeError,
    Requirement,
    Stage,
    Tools,
    Training,
    TrainingHook,
    TrainingResult,
    folded_graph,
    normalised,
    remove_channels,
    training_history,
    with_new_statistics,
)

from .advice import odd_counts, ranking_notes
from .allocation import Budget, allocate, as_plan, check_reachable
from .latency import PruningTrials
from .report import group_details, parameter_count, taken_over
from .schedule_parameters import ScheduleParameters
from .schedule_ranking import Ranking, Scores, criterion_of
from .selection import GroupRatio, choose, group_ratios
from .structured import outlined
from .subject import Subject

Removal = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Ground:
    """What a schedule starts from.

    Attributes:
        graph: The model at full size, batch norm given back where that is asked for.
        ratios: Groups that lose channels, and the share of each that is gone in the end.
        scores: Importance of every unit before any training (u,), by group.
        ranking: Ranks them again.
        training: Runs trainings.
        tools: Of the run, without its progress.
        multiple: That kept channels are rounded to.
        timed: For the report, what was measured to find the ratios.
    """

    graph: ModelGraph
    ratios: tuple[GroupRatio, ...]
    scores: Scores
    ranking: Ranking
    training: Training
    tools: Tools
    multiple: int
    timed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """The groups that lose channels."""
        return tuple(entry.group for entry in self.ratios)

    def trained(
        self, graph: ModelGraph, epochs: int, name: str, progress: Progress, hook: TrainingHook | None = None
    ) -> TrainingResult:
        """Train a part of the schedule to its last epoch.

        Raises:
            CancelledError: cancelled: half a schedule has no result at the plan's ratio. Its epochs are stored.
            JobError: the training diverged.
        """
        result = self.training.fit(graph, epochs=epochs, name=name, progress=progress, hook=hook, keep_best=False)
        if result.stopped_early:
            self.tools.cancel.raise_if_cancelled()
        return result

    def chosen(
        self, scores: Mapping[str, np.ndarray], share: float = 1.0, *, geometric: bool = False
    ) -> dict[str, tuple[int, ...]]:
        """Return by group the least important units, at a share (0-1) of the way to the final ratio.

        Half the way to a ratio of 0.75 is 0.375, or geometrically 0.5: half of the units, of which half go again.
        """

        def part(ratio: float) -> float:
            return 1 - (1 - ratio) ** share if geometric else ratio * share

        ratios = [replace(entry, ratio=part(entry.ratio)) for entry in self.ratios]
        return choose(ratios, lambda group: scores[group.id], multiple=self.multiple)


@dataclass(frozen=True)
class Sparse:
    """What a schedule's first part ends with.

    Attributes:
        graph: Without the channels.
        removal: By group the units of the ground that are gone.
        scores: That decided last, by group.
        notes: For the report.
        details: For the report.
    """

    graph: ModelGraph
    removal: Removal
    scores: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class ScheduledPruning(Method):
    """Removes the channels that the plan, or a target, takes away, not at once but along a training."""

    stage = Stage.TRAIN
    knobs = (PRUNE_RATIO,)
    needs_data = True
    version = 2
    Parameters = ScheduleParameters

    @abstractmethod
    def sparsify(self, ground: Ground, progress: Progress) -> Sparse:
        """Train and remove the channels.

        Raises:
            CancelledError: cancelled before all of them were gone.
        """

    @property
    @abstractmethod
    def epochs_before(self) -> int:
        """Epochs of all trainings that `sparsify` runs."""

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return that samples and gradients are needed, and what the criterion needs."""
        needed = super().requirements(graph) | {Requirement.GRADIENTS}
        return needed | criterion_of(self.parameters).requirements(graph)

    def sweep_obstacle(self) -> str | None:
        """Return that a target would change other layers too."""
        return criterion_of(self.parameters).sweep_obstacle()

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse settings that can't be honoured; returns notes on default settings that don't apply.

        Raises:
            RecipeError: contradictory settings in one group, a line for a layer that can't be pruned, nothing that
                the criterion can rank, or a target that can't be met.
        """
        chosen, notes = self._chosen(graph, plan)
        budget = Budget.of(self.parameters.ranking(), graph)
        if budget is not None:
            check_reachable(folded_graph(graph), chosen, self.parameters.ranking(), budget, _held(plan))
        notes = (*notes, *self._ranking_notes(chosen))
        if not self.parameters.epochs:
            notes = (*notes, "There are 0 epochs behind the removal: what was lost is not trained back.")
        return notes

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return the graph with as many channels as the plan leaves; None where a ranking says how many."""
        chosen, _ = self._chosen(graph, plan)
        return outlined(graph, chosen, plan, self.parameters.ranking(), tools.reference)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the smaller graph, of the best epoch after the last channel was removed.

        Raises:
            RecipeError: as `check`, or the recipe names no data.
            UnsupportedGraphError: the graph or the original has an operator that can't be trained.
            DataError: the labels don't fit the model, or the criterion needs labels.
            JobError: the training diverged, latency can't be measured, or a measured target can't be met.
            CancelledError: cancelled before one epoch at the final ratio was complete.
        """
        tools.cancel.raise_if_cancelled()
        training = Training.of(self.parameters, tools, self.id)
        notes: list[str] = []
        found, skipped = self._chosen(graph, plan)
        if not found:
            self.check(graph, plan)
            ranking = self.parameters.ranking()
            trials = PruningTrials.of(ranking.target, tools, self.id)
            if trials is not None:
                allocate(graph, (), {}, ranking, Budget.of(ranking, tools.reference), _held(plan), trials=trials)
            return MethodResult(graph, notes=("No layer has a prune ratio above 0; nothing was trained.", *skipped))
        ground = self._ground(graph, plan, training, notes)
        ahead, behind = self.epochs_before, self.parameters.epochs
        removed_at = 0.1 + 0.85 * ahead / max(ahead + behind, 1)
        sparse = self.sparsify(ground, tools.progress.part(0.1, removed_at))
        measuring = replace(tools, progress=tools.progress.part(removed_at, removed_at + 0.05, "statistics"))
        smaller = with_new_statistics(sparse.graph, measuring, self.parameters.statistics_samples, notes)
        before = training.data.validate(smaller)
        tools.log(f"channels removed: validation {before:.4f}")
        details = {
            **self._details(ground, sparse, smaller, list(plan)),
            "score_removed": before,
            "history": [],
            "best_epoch": None,
            "stopped_early": False,
        }
        odd = odd_counts(ground.ratios, sparse.removal, self.parameters.ranking())
        notes = [*self._summary(ground, sparse, smaller), *sparse.notes, *notes, *odd]
        notes += [*self._ranking_notes(found), *skipped]
        if not behind:
            return MethodResult(smaller, notes=tuple(notes), details=details)
        recovering = tools.progress.part(removed_at + 0.05, 1.0, "recovering")
        result = training.fit(smaller, epochs=behind, name="recovery", progress=recovering)
        details |= {
            "history": training_history(result),
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped_early,
        }
        best = next((record for record in result.history if record.epoch == result.best_epoch), None)
        score = "" if best is None or best.score is None else f", validation {best.score:.4f} (before: {before:.4f})"
        notes.insert(1, f"Epoch {result.best_epoch} of {len(result.history)} after the removal kept{score}.")
        return MethodResult(result.graph, notes=(*notes, *result.notes), details=details)

    def _chosen(self, graph: ModelGraph, plan: LayerSettings) -> tuple[tuple[GroupRatio, ...], tuple[str, ...]]:
        criterion, found = criterion_of(self.parameters), []
        weights = folded_graph(graph)

        def obstacle(group: ChannelGroup) -> str | None:
            reason = self.obstacle(weights, group) or criterion.obstacle(weights, group)
            if reason is not None:
                found.append((group, reason))
            return reason

        chosen, notes = group_ratios(graph, plan, obstacle, untouched_too=self.parameters.target != "none")
        if found and not chosen:
            group, reason = found[0]
            raise RecipeError(
                f"{self.id} can't prune its channels: {reason}",
                where=f"channel group {group.id!r}",
                action=f"Choose another criterion or schedule, or set {PRUNE_RATIO.name} of these layers to 0.",
            )
        return chosen, notes

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why this schedule can't treat a prunable group, naming the layer; None if it can."""
        return None

    def _ground(self, graph: ModelGraph, plan: LayerSettings, training: Training, notes: list[str]) -> Ground:
        tools, chosen = training.tools, self.parameters
        timing = replace(tools, progress=tools.progress.part(0.09, 0.1, "choosing channels"))
        trials = PruningTrials.of(chosen.target, timing, self.id)
        bare = folded_graph(graph)
        full = bare
        if chosen.restore_batch_norm:
            measuring = replace(tools, progress=tools.progress.part(0.0, 0.05, "batch-norm statistics"))
            full = folded_graph(normalised(bare, measuring, chosen.statistics_samples, notes))
        ratios, _ = self._chosen(full, plan)
        ranking = Ranking(chosen, frozenset(Subject(bare, full, tools).deviations()))
        judging = replace(tools, progress=tools.progress.part(0.05, 0.09, "ranking channels"))
        judging.progress.update(0.0)
        scores = ranking.scores(full, [entry.group for entry in ratios], judging)
        budget = Budget.of(chosen.ranking(), tools.reference)
        poll = tools.cancel.raise_if_cancelled
        final = allocate(full, ratios, scores, criterion_of(chosen).decided(), budget, _held(plan), poll, trials)
        timed: dict[str, Any] = {}
        if trials is not None and budget is not None:
            notes.extend(trials.notes(budget.allowed))
            timed = trials.details(budget.allowed)
        silent = replace(tools, progress=Progress())
        return Ground(full, final, scores, ranking, training, silent, chosen.channel_multiple, timed)

    def _ranking_notes(self, chosen: tuple[GroupRatio, ...]) -> tuple[str, ...]:
        criterion = criterion_of(self.parameters)
        ranking = self.parameters.ranking()
        return ranking_notes(ranking, chosen, comparable=criterion.comparable, method=self.parameters.criterion)

    def _summary(self, ground: Ground, sparse: Sparse, smaller: ModelGraph) -> list[str]:
        gone, total = sum(map(len, sparse.removal.values())), sum(group.units for group in ground.groups)
        before, after = parameter_count(ground.graph), parameter_count(smaller)
        text = f"{len(sparse.removal)} channel groups lost {gone} of {total} units; parameters {before:,} → {after:,}."
        return [text]

    def _details(self, ground: Ground, sparse: Sparse, smaller: ModelGraph, layers: list[str]) -> dict[str, Any]:
        return {
            "groups": group_details(ground.ratios, sparse.removal, sparse.scores),
            "plan": as_plan(ground.ratios, layers, sparse.removal).model_dump(mode="json"),
            **taken_over(self.parameters.ranking()),
            **ground.timed,
            "params_before": parameter_count(ground.graph),
            "params_after": parameter_count(smaller),
            **sparse.details,
        }


def _held(plan: LayerSettings) -> tuple[str, ...]:
    """Return the layers that a line or glob of the plan holds at their ratio."""
    return tuple(layer for layer in plan if plan.origin(layer, PRUNE_RATIO) is not Origin.DEFAULT)


def removed(graph: ModelGraph, removal: Removal) -> ModelGraph:
    """Return the graph without the units; the graph itself where nothing goes."""
    return remove_channels(graph, removal) if removal else graph
