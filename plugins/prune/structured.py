"""What all channel-pruning criteria share; a criterion says how important each unit of a channel group is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from workbench.api import (
    PRUNE_RATIO,
    ChannelGroup,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Origin,
    RecipeError,
    Requirement,
    Stage,
    Tools,
    folded_graph,
    normalised,
    remove_channels,
    with_new_statistics,
)

from .advice import odd_counts, ranking_notes
from .allocation import Budget, allocate, as_plan, check_reachable
from .latency import PruningTrials
from .moments import observe_moments
from .parameters import PruningParameters
from .reconstruction import RECONSTRUCTION_SAMPLES, reconstructed
from .report import group_details, parameter_count, taken_over
from .scores import combined
from .selection import GroupRatio, choose, group_ratios
from .subject import Subject

Removal = Mapping[str, tuple[int, ...]]


class ChannelPruning(Method):
    """Removes the least important channels of every group that the plan gives a ratio, or that a target asks for.

    Attributes:
        comparable: Whether a score means the same in every layer, so that all layers can be ranked as they are.
    """

    stage = Stage.PRUNE
    knobs = (PRUNE_RATIO,)
    version = 3
    Parameters = PruningParameters
    comparable: ClassVar[bool] = False

    @abstractmethod
    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the importance of every unit of `group`, (units,); the least important go first."""

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why this criterion can't rank a prunable group, naming the layer; None if it can."""
        for member in group.out_members:
            array = graph.constant(member.weight) if member.weight else None
            if array is not None and array.dtype.kind in "iu":
                return (
                    f"the weights of {member.layer} are already quantized; put pruning before quantization, or "
                    "quantize.to_float before both"
                )
        return None

    def gather(self, subject: Subject, groups: Sequence[ChannelGroup]) -> Mapping[str, Any]:
        """Return what `importance` will find in `subject.evidence`, from one pass over samples for all groups."""
        return {}

    def reduced(self, layers: Sequence[tuple[np.ndarray, np.ndarray]], group: ChannelGroup) -> np.ndarray:
        """Return one score per unit (u,) from the scores (u,) of several layers and which units each holds (u,)."""
        return combined(layers, group.units, self.parameters.reduction, self.decided().normalisation)

    def decided(self) -> PruningParameters:
        """Return the parameters with what normalisation "auto" stands for."""
        chosen: PruningParameters = self.parameters
        if chosen.normalisation != "auto":
            return chosen
        normalisation = "mean" if chosen.scope == "global" and not self.comparable else "none"
        return chosen.model_copy(update={"normalisation": normalisation})

    def refusal(self, group: ChannelGroup, reason: str) -> RecipeError:
        """Return the error that this criterion can't rank a group."""
        return RecipeError(
            f"{self.id} can't rank its channels: {reason}",
            where=f"channel group {group.id!r}",
            action=f"Choose another criterion, or set {PRUNE_RATIO.name} of these layers to 0.",
        )

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return what reconstruction and a measured target need, beside what the criterion needs."""
        needed = super().requirements(graph)
        if self.parameters.target == "latency":
            needed |= {Requirement.LATENCY}
        return needed | {Requirement.DATA} if self.parameters.reconstruct else needed

    def sweep_obstacle(self) -> str | None:
        """Return that a target would change other layers too."""
        target = self.parameters.target
        if target == "none":
            return None
        return f"its target {target} prunes every layer that the point leaves alone; set target to none"

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse settings that can't be honoured; returns notes on default settings that don't apply.

        Raises:
            RecipeError: contradictory settings in one group, a line for a layer that can't be pruned, nothing that
                this criterion can rank, or a target that can't be met.
        """
        chosen, notes = self._chosen(graph, plan)
        budget = Budget.of(self.parameters, graph)
        if budget is not None:
            check_reachable(folded_graph(graph), chosen, self.parameters, budget, _held(plan))
        return (*notes, *self._ranking_notes(chosen))

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return the graph with as many channels as the plan leaves; None where a ranking says how many."""
        return outlined(graph, self._chosen(graph, plan)[0], plan, self.parameters, tools.reference)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph without the channels that the plan, or the target, takes away.

        Raises:
            RecipeError: as `check`.
            DataError: samples that the criterion needs are missing.
            JobError: latency can't be measured, or a measured target can't be met.
            CancelledError: tools.cancel was set.
        """
        tools.cancel.raise_if_cancelled()
        chosen, skipped = self._chosen(graph, plan)
        budget = Budget.of(self.parameters, tools.reference)
        timing = replace(tools, progress=tools.progress.part(0.6, 0.66, "choosing channels"))
        trials = PruningTrials.of(self.parameters.target, timing, self.id)
        if not chosen:
            if budget is not None:
                check_reachable(graph, chosen, self.parameters, budget, _held(plan))
            if trials is not None:
                allocate(graph, chosen, {}, self.parameters, budget, _held(plan), trials=trials)
            return MethodResult(graph, notes=("No layer has a prune ratio above 0.", *skipped))
        notes: list[str] = []
        subject = self._subject(folded_graph(graph), [entry.group for entry in chosen], tools, notes)
        scores: dict[str, np.ndarray] = {}
        for entry in chosen:
            tools.cancel.raise_if_cancelled()
            scores[entry.group.id] = np.nan_to_num(self.importance(subject, entry.group).astype(np.float64))
        tools.progress.update(0.6, "choosing channels")
        poll = tools.cancel.raise_if_cancelled
        ratios = allocate(subject.graph, chosen, scores, self.decided(), budget, _held(plan), poll, trials)
        removal = choose(ratios, lambda group: scores[group.id], multiple=self.parameters.channel_multiple)
        tools.progress.update(0.68, "removing channels")
        whole = self._reconstructed(subject, [entry.group for entry in ratios], removal, tools, notes)
        smaller = remove_channels(whole, removal) if removal else whole
        measuring = replace(tools, progress=tools.progress.part(0.7, 1.0, "batch-norm statistics"))
        smaller = with_new_statistics(smaller, measuring, self.parameters.statistics_samples, notes)
        before, after = parameter_count(subject.graph), parameter_count(smaller)
        gone, total = sum(map(len, removal.values())), sum(entry.group.units for entry in ratios)
        notes.insert(
            0, f"{len(removal)} channel groups lost {gone} of {total} units; parameters {before:,} → {after:,}."
        )
        notes.extend(odd_counts(ratios, removal, self.parameters))
        if trials is not None and budget is not None:
            notes.extend(trials.notes(budget.allowed))
        details: dict[str, Any] = {
            "groups": group_details(ratios, removal, scores),
            "plan": as_plan(ratios, list(plan), removal).model_dump(mode="json"),
            **taken_over(self.parameters),
            "params_before": before,
            "params_after": after,
        }
        if trials is not None and budget is not None:
            details |= trials.details(budget.allowed)
        return MethodResult(smaller, notes=(*notes, *self._ranking_notes(chosen), *skipped), details=details)

    def _ranking_notes(self, chosen: Sequence[GroupRatio]) -> tuple[str, ...]:
        return ranking_notes(self.parameters, chosen, comparable=self.comparable, method=self.id)

    def _chosen(self, graph: ModelGraph, plan: LayerSettings) -> tuple[tuple[GroupRatio, ...], tuple[str, ...]]:
        weights, found = folded_graph(graph), []

        def obstacle(group: ChannelGroup) -> str | None:
            reason = self.obstacle(weights, group)
            if reason is not None:
                found.append((group, reason))
            return reason

        chosen, notes = group_ratios(graph, plan, obstacle, untouched_too=self.parameters.target != "none")
        if found and not chosen:
            raise self.refusal(*found[0])
        return chosen, notes

    def _subject(self, weights: ModelGraph, groups: Sequence[ChannelGroup], tools: Tools, notes: list[str]) -> Subject:
        whole = self._with_normalisation(weights, tools, notes)
        gathering = replace(tools, progress=tools.progress.part(0.2, 0.6, "ranking channels"))
        gathering.progress.update(0.0)
        subject = Subject(weights, whole, gathering)
        return replace(subject, evidence=self.gather(subject, groups))

    def _with_normalisation(self, graph: ModelGraph, tools: Tools, notes: list[str]) -> ModelGraph:
        """Give folded convolutions their normalisation back; given back after pruning it helps much less."""
        if not self.parameters.restore_batch_norm:
            return graph
        measuring = replace(tools, progress=tools.progress.part(0.0, 0.2, "batch-norm statistics"))
        return normalised(graph, measuring, self.parameters.statistics_samples, notes)

    def _reconstructed(
        self, subject: Subject, groups: Sequence[ChannelGroup], removal: Removal, tools: Tools, notes: list[str]
    ) -> ModelGraph:
        """Let the layers that read removed channels make up for them, where that is asked for."""
        if not removal or not self.parameters.reconstruct:
            return subject.normalised
        moments = subject.evidence.get("moments")
        if moments is None:
            measuring = replace(tools, progress=tools.progress.part(0.6, 0.68, "least squares"))
            cut = [group for group in groups if group.id in removal]
            moments = observe_moments(subject.graph, cut, measuring, RECONSTRUCTION_SAMPLES, self.id)
        graph, count = reconstructed(subject.graph, subject.normalised, groups, removal, moments)
        notes.append(f"{count} layers reconstructed by least squares.")
        return graph


def outlined(
    graph: ModelGraph,
    chosen: Sequence[GroupRatio],
    plan: LayerSettings,
    parameters: PruningParameters,
    reference: ModelGraph,
) -> ModelGraph | None:
    """Return the graph with the right numbers of channels, whichever; None where they come from a ranking of layers.

    Raises:
        RecipeError: a target that can't be met.
    """
    if parameters.scope == "global" or parameters.target == "latency":
        return None
    if not chosen:
        return graph
    whole = folded_graph(graph)
    scores = {entry.group.id: np.arange(entry.group.units, dtype=np.float64) for entry in chosen}
    decided = parameters.model_copy(update={"normalisation": "none"})
    ratios = allocate(whole, tuple(chosen), scores, decided, Budget.of(parameters, reference), _held(plan))
    removal = choose(ratios, lambda group: scores[group.id], multiple=parameters.channel_multiple)
    return remove_channels(whole, removal) if removal else whole


def _held(plan: LayerSettings) -> list[str]:
    """Return the layers whose ratio a line or glob of the plan gives."""
    return [layer for layer in plan if plan.origin(layer, PRUNE_RATIO) is not Origin.DEFAULT]
