"""What became of each layer in a candidate, in one word and a figure: what the graph's overlay colours by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.domain.reports import LayerChange
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers

FATES = ("unchanged", "fewer bits", "smaller", "factorised", "left out")
"""From mild to harsh; a layer of several has the harshest."""

_LATEST = 3


@dataclass(frozen=True)
class LayerFate:
    """One of FATES, all of it in words, and what a box of the graph has room for."""

    fate: str
    text: str
    short: str = ""


def shown_candidates(state: ProjectState, current: str = "") -> tuple[Candidate, ...]:
    """Return the candidates whose changes the graph offers: the current one by its id, starred ones, the latest three.

    A candidate whose changes are shown must not drop out because others were made meanwhile.
    """
    there = [entry for entry in state.candidates if not entry.deleted]
    latest = there[-_LATEST:]
    return tuple(entry for entry in there if entry.star or entry.id == current or entry in latest)


def layer_fates(candidate: Candidate) -> dict[str, LayerFate]:
    """Return what became of every layer of the original."""
    return {change.name: _fate(change) for change in candidate.report.layers}


def _fate(change: LayerChange) -> LayerFate:
    before, after = change.before, change.after
    if after is None:
        return LayerFate(FATES[4], FATES[4] if change.branch is None else f"left out with {change.branch}", FATES[4])
    said: dict[str, str] = {}
    short = ""
    if change.factors:
        said[FATES[3]] = f"factorised into {len(change.factors) + 1} layers"
        short = f"{len(change.factors) + 1} layers"
    elif math.prod(after.weight_shape) < math.prod(before.weight_shape):
        shapes = (numbers.shape_text(before.weight_shape), numbers.shape_text(after.weight_shape))
        said[FATES[2]] = f"weight {shapes[0]} \N{RIGHTWARDS ARROW} {shapes[1]}"
        short = _channels(change, before.weight_shape, after.weight_shape)
    if after.bits < before.bits or after.activation_bits < before.activation_bits:
        said[FATES[1]] = f"{after.bits:g} / {after.activation_bits:g} bits"
    return LayerFate(next(iter(said)), ", ".join(said.values()), short) if said else LayerFate(FATES[0], FATES[0])


def _channels(change: LayerChange, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """Return what fewer channels were made of a weight, e.g. "16→8 out"; where both sides lost some, what is left."""
    moved = [(old, new) for old, new in zip(before, after, strict=False) if old != new]
    if len(before) == len(after) and len(moved) == 1:
        # A weight's axes mean different things by layer: which side it is, the list of output channels tells.
        side = " out" if change.removed_channels else ""
        return f"{moved[0][0]}\N{RIGHTWARDS ARROW}{moved[0][1]}{side}"
    return f"{math.prod(after) / math.prod(before):.0%} left"
