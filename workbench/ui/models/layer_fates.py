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
    """One of FATES, and all of it in words."""

    fate: str
    text: str


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
        return LayerFate(FATES[4], "left out" if change.branch is None else f"left out with {change.branch}")
    said: dict[str, str] = {}
    if change.factors:
        said[FATES[3]] = f"factorised into {len(change.factors) + 1} layers"
    elif math.prod(after.weight_shape) < math.prod(before.weight_shape):
        shapes = (numbers.shape_text(before.weight_shape), numbers.shape_text(after.weight_shape))
        said[FATES[2]] = f"weight {shapes[0]} \N{RIGHTWARDS ARROW} {shapes[1]}"
    if after.bits < before.bits or after.activation_bits < before.activation_bits:
        said[FATES[1]] = f"{after.bits:g} / {after.activation_bits:g} bits"
    return LayerFate(next(iter(said)), ", ".join(said.values())) if said else LayerFate(FATES[0], FATES[0])
