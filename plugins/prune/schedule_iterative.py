"""Iterative pruning: a little at a time, with a short fine-tuning after each cut, so that no cut is too deep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from workbench.api import (
    ChannelGroup,
    JobError,
    ModelGraph,
    Progress,
    channel_groups,
    folded_graph,
    remove_channels,
    training_history,
)

from .schedule_base import Ground, ScheduledPruning, Sparse
from .schedule_parameters import ScheduleParameters


class IterativeParameters(ScheduleParameters):
    """Parameters of iterative pruning."""

    rounds: int = Field(
        3,
        ge=1,
        le=100,
        title="Rounds",
        description="In how many cuts the final ratio is reached.",
        json_schema_extra={"unit": "cuts"},
    )
    growth: Literal["geometric", "linear"] = Field(
        "geometric",
        title="Growth",
        description="Every round takes the same share of what is left (geometric), or the same number of channels "
        "(linear).",
    )
    round_epochs: int = Field(
        1,
        ge=1,
        le=1000,
        title="Round epochs",
        description="Fine-tuning after every cut but the last, which the epochs of the recovery follow.",
        json_schema_extra={"unit": "epochs"},
    )


class IterativePruning(ScheduledPruning):
    """Removes channels in rounds; each round ranks what is left and trains it for a short while."""

    id = "schedule.iterative"
    title = "Iterative pruning"
    summary = "Removes the channels in several rounds of pruning and short fine-tuning instead of at once."
    source = (
        "Han et al., 2015, Learning Both Weights and Connections for Efficient Neural Networks; Molchanov et al., 2017"
    )
    Parameters = IterativeParameters

    @property
    def epochs_before(self) -> int:
        """Epochs of all rounds but the last."""
        return int((self.parameters.rounds - 1) * self.parameters.round_epochs)

    def sparsify(self, ground: Ground, progress: Progress) -> Sparse:
        """Prune and fine-tune in rounds; the last cut is left to the recovery."""
        chosen: IterativeParameters = self.parameters
        graph, scores = ground.graph, ground.scores
        # Which unit of the ground each unit is that is left, by group.
        origins = {group.id: np.arange(group.units) for group in ground.groups}
        gone: dict[str, tuple[int, ...]] = {}
        record: list[dict[str, Any]] = []
        for number in range(1, chosen.rounds + 1):
            part = progress.part((number - 1) / chosen.rounds, number / chosen.rounds, f"round {number}")
            groups = _present(graph, ground.groups)
            if number > 1:
                scores = ground.ranking.scores(graph, list(groups.values()), ground.tools)
            full = {group: _expanded(scores[group], origins[group], len(ground.scores[group])) for group in origins}
            share = number / chosen.rounds
            removal = {
                group: units
                for group, units in ground.chosen(full, share, geometric=chosen.growth == "geometric").items()
                if units
            }
            graph, origins = _cut(graph, groups, removal, origins)
            gone = {**gone, **removal}
            entry: dict[str, Any] = {"round": number, "units_removed": sum(map(len, gone.values())), "share": share}
            record.append(entry)
            if number == chosen.rounds:
                break
            result = ground.trained(graph, chosen.round_epochs, f"round{number}", part)
            graph = folded_graph(result.graph)
            entry |= {"history": training_history(result), "score": ground.training.data.validate(graph)}
            ground.tools.log(f"round {number} of {chosen.rounds}: validation {entry['score']:.4f}")
        last = {group: np.where(np.isfinite(values), values, np.nan) for group, values in full.items()}
        final = {group: np.nan_to_num(values, nan=float(np.nanmin(values))) for group, values in last.items()}
        return Sparse(graph, gone, final, details={"rounds": record})


def _present(graph: ModelGraph, wanted: Sequence[ChannelGroup]) -> dict[str, ChannelGroup]:
    known = {group.id: group for group in channel_groups(graph)}
    lost = [group.id for group in wanted if group.id not in known]
    if lost:
        raise JobError("a channel group fell apart when some of its channels were removed", where=lost[0])
    return {group.id: known[group.id] for group in wanted}


def _expanded(scores: np.ndarray, origin: np.ndarray, units: int) -> np.ndarray:
    """Return scores (left,) at their units of the ground (u,); what is gone ranks below everything."""
    full = np.full(units, -np.inf)
    full[origin] = scores
    return full


def _cut(
    graph: ModelGraph,
    groups: Mapping[str, ChannelGroup],
    removal: Mapping[str, tuple[int, ...]],
    origins: Mapping[str, np.ndarray],
) -> tuple[ModelGraph, dict[str, np.ndarray]]:
    """Remove the units of the ground that are still there; returns the graph and which units are left."""
    new = {group: tuple(np.flatnonzero(np.isin(origins[group], units)).tolist()) for group, units in removal.items()}
    new = {group: units for group, units in new.items() if units}
    if not new:
        return graph, dict(origins)
    smaller = folded_graph(remove_channels(graph, new))
    after = _present(smaller, list(groups.values()))
    left = {}
    for name, group in groups.items():
        before = _survivors(group, new.get(name, ()), after[name])
        left[name] = origins[name][before]
    return smaller, left


def _survivors(before: ChannelGroup, gone: Sequence[int], after: ChannelGroup) -> np.ndarray:
    """Return for every unit that is left which one it was, by the places that both have in the layers."""
    lost = set(gone)
    found = np.full(after.units, -1)
    later = {(member.layer, member.weight_axis): member for member in after.out_members if member.own}
    for member in before.out_members:
        now = later.get((member.layer, member.weight_axis))
        if not member.own or now is None:
            continue
        kept = sorted(place for unit, places in enumerate(member.positions) if unit not in lost for place in places)
        owner = {place: unit for unit, places in enumerate(member.positions) for place in places}
        for unit, places in enumerate(now.positions):
            if places:
                found[unit] = owner[kept[places[0]]]
    if len(found) != before.units - len(lost) or (found < 0).any():
        raise JobError("a channel group changed when some of its channels were removed", where=before.id)
    return found
