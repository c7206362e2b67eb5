"""Says what of a pruning may disappoint: odd counts, rounding that undoes it, scores that no scale joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .allocation import largest_ratio
from .parameters import PruningParameters
from .selection import GroupRatio, choose

_BLOCK = 8
_NAMED = 6


def ranking_notes(
    parameters: PruningParameters, chosen: Sequence[GroupRatio], *, comparable: bool, method: str
) -> tuple[str, ...]:
    """Return notes on one ranking of all layers.

    Args:
        parameters: Of the pruning.
        chosen: Groups with the plan's ratios.
        comparable: Whether the criterion's scores mean the same in every layer.
        method: The criterion, as the user knows it.
    """
    ranked = parameters.scope == "global"
    free = [entry for entry in chosen if not entry.fixed]
    notes = []
    if ranked and chosen and not free and parameters.target == "none":
        notes.append("Scope global has no effect: the plan gives every layer a ratio of its own.")
    if ranked and len(free) > 1 and parameters.normalisation == "none" and not comparable:
        notes.append(
            f"Scope global compares scores of {method} across layers without normalisation, and these have no common "
            "scale: layers with small weights or activations lose most. Set normalisation to auto, mean or max."
        )
    if parameters.per_cost and not ranked:
        notes.append("Per cost has no effect: it ranks channels across layers, which needs scope global.")
    return (*notes, *_left_whole(parameters, chosen))


def _left_whole(parameters: PruningParameters, chosen: Sequence[GroupRatio]) -> tuple[str, ...]:
    """Return a note that names layers of which rounding to the channel multiple leaves nothing to remove."""
    multiple = parameters.channel_multiple
    decided = parameters.target != "none" or parameters.scope == "global"
    most = [
        replace(entry, ratio=largest_ratio(parameters)) if decided and not entry.fixed else entry for entry in chosen
    ]

    def losing(rounded_to: int) -> set[str]:
        return set(choose(most, lambda group: np.zeros(group.units), multiple=rounded_to))

    stopped = losing(1) - losing(multiple) if multiple > 1 else set()
    layers = [entry.group.out_members[0].layer for entry in chosen if entry.group.id in stopped]
    if not layers:
        return ()
    named = ", ".join(layers[:_NAMED]) + (f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else "")
    whole = "Nothing will be removed at all" if len(layers) == len(losing(1)) else "Nothing will be removed"
    return (
        f"{whole} from {named}: rounded to a multiple of {multiple} channels (channel_multiple), what stays is all "
        "that there is. Lower channel_multiple, or raise the ratio.",
    )


def odd_counts(
    ratios: Sequence[GroupRatio], removal: Mapping[str, Sequence[int]], parameters: PruningParameters
) -> tuple[str, ...]:
    """Return a note that names layers left with channels that are no multiple of 8, where a multiple was possible."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for entry in ratios:
        gone = frozenset(removal.get(entry.group.id, ()))
        for member in entry.group.out_members:
            sizes = [len(places) for places in member.positions]
            before[member.layer] = before.get(member.layer, 0) + sum(sizes)
            kept = sum(size for unit, size in enumerate(sizes) if unit not in gone)
            after[member.layer] = after.get(member.layer, 0) + kept
    odd = [name for name, count in after.items() if count < before[name] and count % _BLOCK and before[name] > _BLOCK]
    if not odd:
        return ()
    named = ", ".join(f"{name} ({after[name]} of {before[name]})" for name in odd[:_NAMED])
    rest = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
    layers = "1 layer keeps" if len(odd) == 1 else f"{len(odd)} layers keep"
    other = " or 16" if parameters.channel_multiple != _BLOCK else ""
    return (
        f"{layers} a number of channels that is no multiple of {_BLOCK}: {named}{rest}. Runtimes compute in blocks of "
        f"channels, so this may not be faster at all; set channel_multiple to {_BLOCK}{other}.",
    )
