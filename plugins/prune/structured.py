"""What all channel-pruning criteria share; a criterion says how important each unit of a channel group is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from workbench.api import (
    PRUNE_RATIO,
    ChannelGroup,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Parameters,
    RecipeError,
    Stage,
    Tools,
    folded_graph,
    give_back_normalisation,
    remove_channels,
)

from .selection import choose, group_ratios


class PruningParameters(Parameters):
    """Parameters of every criterion."""

    channel_multiple: int = Field(
        default=1, ge=1, le=256, description="Kept channels are rounded to this multiple; runtimes like 8 or 16."
    )
    restore_batch_norm: bool = Field(
        default=True,
        description="Give convolutions whose batch norm was folded a new one before pruning; networks recover by it.",
    )
    statistics_samples: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Samples that batch-norm statistics are taken anew from; 0 leaves them.",
    )


@dataclass(frozen=True)
class Subject:
    """What a criterion may look at.

    Attributes:
        graph: Holds the weights that the members of groups name, as they came.
        deviations: By layer that was given its normalisation back, the measured deviation of its output (channels,).
        tools: Of the run.
    """

    graph: ModelGraph
    deviations: Mapping[str, np.ndarray]
    tools: Tools


class ChannelPruning(Method):
    """Removes the least important channels of every group that the plan gives a ratio."""

    stage = Stage.PRUNE
    knobs = (PRUNE_RATIO,)
    Parameters = PruningParameters

    @abstractmethod
    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the importance of every unit of `group`, (units,); the least important go first."""

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse settings that can't be honoured; returns notes on default settings that don't apply.

        Raises:
            RecipeError: contradictory settings in one group, or a line for a layer that can't be pruned.
        """
        chosen, notes = group_ratios(graph, plan)
        for entry in chosen:
            _require_float(folded_graph(graph), entry.group)
        return notes

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph without the channels that the plan takes away.

        Raises:
            RecipeError: as `check`.
            CancelledError: tools.cancel was set.
        """
        tools.cancel.raise_if_cancelled()
        chosen, skipped = group_ratios(graph, plan)
        if not chosen:
            return MethodResult(graph, notes=("No layer has a prune ratio above 0.", *skipped))
        weights = folded_graph(graph)
        for entry in chosen:
            _require_float(weights, entry.group)
        notes: list[str] = []
        whole = self._with_normalisation(weights, tools, notes)
        subject = Subject(weights, _deviations(weights, whole), tools)

        def scored(group: ChannelGroup) -> np.ndarray:
            tools.cancel.raise_if_cancelled()
            return self.importance(subject, group)

        tools.progress.update(0.35, "ranking channels")
        removal = choose(chosen, scored, multiple=self.parameters.channel_multiple)
        tools.progress.update(0.4, "removing channels")
        smaller = remove_channels(whole, removal) if removal else whole
        smaller = self._with_new_statistics(smaller, tools, notes)
        before, after = _parameters(weights), _parameters(smaller)
        groups = {
            entry.group.id: {
                "ratio": entry.ratio,
                "channels": entry.group.channels,
                "units": entry.group.units,
                "removed_units": len(removal.get(entry.group.id, ())),
            }
            for entry in chosen
        }
        gone = sum(len(units) for units in removal.values())
        total = sum(entry.group.units for entry in chosen)
        notes.insert(
            0, f"{len(removal)} channel groups lost {gone} of {total} units; parameters {before:,} → {after:,}."
        )
        details: dict[str, Any] = {"groups": groups, "params_before": before, "params_after": after}
        return MethodResult(smaller, notes=(*notes, *skipped), details=details)

    def _with_normalisation(self, graph: ModelGraph, tools: Tools, notes: list[str]) -> ModelGraph:
        """Give folded convolutions their normalisation back; given back after pruning it helps much less."""
        if not self.parameters.restore_batch_norm:
            return graph
        missing = tools.training.unsupported(graph)
        if missing:
            notes.append(f"Batch norm was not given back: can't run {', '.join(missing[:3])} in training.")
            return graph
        measuring = replace(tools, progress=tools.progress.part(0.0, 0.3, "batch-norm statistics"))
        samples = max(self.parameters.statistics_samples, 64)
        restored, added = give_back_normalisation(graph, measuring, samples)
        if added:
            notes.append(f"Batch norm given back to folded convolutions, from up to {samples} samples.")
        elif tools.data is None and not _has_batch_norm(graph):
            notes.append("Batch norm was not given back, since the recipe names no data.")
        return restored

    def _with_new_statistics(self, graph: ModelGraph, tools: Tools, notes: list[str]) -> ModelGraph:
        """Take batch-norm statistics anew: those of the wider network no longer hold behind the removed channels."""
        samples = self.parameters.statistics_samples
        if not samples or not _has_batch_norm(graph):
            return graph
        if tools.data is None:
            notes.append("Batch-norm statistics are those of the original, since the recipe names no data.")
            return graph
        missing = tools.training.unsupported(graph)
        if missing:
            notes.append(
                f"Batch-norm statistics are those of the original: can't run {', '.join(missing[:3])} in training."
            )
            return graph
        fresh = tools.training.reestimate_batch_norm(
            graph,
            tools.data.calibration(samples),
            progress=tools.progress.part(0.5, 1.0, "batch-norm statistics"),
            total=samples,
            cancel=tools.cancel,
        )
        notes.append(f"Batch-norm statistics taken anew from up to {samples} samples.")
        return fresh


def _deviations(before: ModelGraph, after: ModelGraph) -> dict[str, np.ndarray]:
    """Return by layer the scale of the BatchNormalization that was put behind it: the deviation that was measured."""
    found: dict[str, np.ndarray] = {}
    known = {node.name for node in before.nodes}
    for node in after.nodes:
        layer = after.producer(node.inputs[0]) if node.op == "BatchNormalization" else None
        if layer is not None and node.name not in known:
            scale = after.constant(node.inputs[1])
            if scale is not None:
                found[layer.name] = np.abs(scale)
    return found


def _has_batch_norm(graph: ModelGraph) -> bool:
    return any(node.op == "BatchNormalization" for node in graph.nodes)


def _require_float(graph: ModelGraph, group: ChannelGroup) -> None:
    for member in group.out_members:
        array = graph.constant(member.weight) if member.weight else None
        if array is not None and array.dtype.kind in "iu":
            raise RecipeError(
                "its weights are already quantized",
                where=f"layer {member.layer!r}",
                action="Put pruning before quantization in the recipe.",
            )


def _parameters(graph: ModelGraph) -> int:
    return sum(int(np.prod(graph.constant_shape(name) or (1,), dtype=np.int64)) for name in graph.initializers)
