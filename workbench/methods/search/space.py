"""What a search chooses from: one dimension for all that can only be set together, a few choices on each.

A *proposal* is one index of a choice for every dimension. Choice 0 leaves the layers as the study's plan has them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from workbench.domain.knobs import ACTIVATION_BITS, KEEP, WEIGHT_BITS, Setting
from workbench.domain.plan import Plan

Proposal = tuple[int, ...]
LayerLines = dict[str, dict[str, Setting]]

PRECISION_KNOBS = frozenset({WEIGHT_BITS.name, ACTIVATION_BITS.name})


@dataclass(frozen=True)
class Dimension:
    """What is chosen in one go.

    Attributes:
        id: Its knobs and its first layer.
        layers: That get the same settings, in graph order.
        choices: Settings by knob; the first is {} unless leaving the layers as they are is no choice.
        knobs: By layer, those of the choices' knobs that can be turned on it.
        whole: Whether all layers that have these knobs are in it.
    """

    id: str
    layers: tuple[str, ...]
    choices: tuple[Mapping[str, Setting], ...]
    knobs: Mapping[str, frozenset[str]]
    whole: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Names of its knobs."""
        return frozenset().union(*(choice.keys() for choice in self.choices))

    @property
    def precision(self) -> bool:
        """Whether it chooses bits."""
        return bool(self.names) and self.names <= PRECISION_KNOBS

    @property
    def depth(self) -> bool:
        """Whether it leaves layers out."""
        return KEEP.name in self.names

    def lines(self, choice: int) -> LayerLines:
        """Return the settings of a choice by layer."""
        settings = self.choices[choice]
        found = {
            layer: {knob: value for knob, value in settings.items() if knob in self.knobs[layer]}
            for layer in self.layers
        }
        return {layer: line for layer, line in found.items() if line}

    def label(self, choice: int) -> str:
        """Return a choice in words."""
        settings = self.choices[choice]
        where = "all layers" if self.whole else self.layers[0]
        return f"{where}: " + (", ".join(f"{k} {v}" for k, v in settings.items()) if settings else "as it is")


@dataclass(frozen=True)
class Space:
    """All dimensions of a study.

    Attributes:
        dimensions: In play.
        plan: What all proposals share: the study's plan, then its pins.
        pinned: Dimensions that pins keep out of play, for what they cost.
        notes: What was left out, in words.
    """

    dimensions: tuple[Dimension, ...]
    plan: Plan
    pinned: tuple[Dimension, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def untouched(self) -> Proposal:
        """The proposal that takes every dimension's first choice."""
        return (0,) * len(self.dimensions)

    @property
    def size(self) -> float:
        """The number of proposals."""
        found = 1.0
        for dimension in self.dimensions:
            found *= len(dimension.choices)
        return found

    @cached_property
    def exclusive(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) where leaving out the layers of dimension i leaves none of dimension j's."""
        return tuple(
            (i, j)
            for i, gone in enumerate(self.dimensions)
            if gone.depth
            for j, other in enumerate(self.dimensions)
            if j != i and set(other.layers) <= set(gone.layers)
        )

    def canonical(self, proposal: Sequence[int]) -> Proposal:
        """Return the proposal without settings of layers that it leaves out."""
        found = list(proposal)
        for gone, other in self.exclusive:
            if self.dimensions[gone].choices[proposal[gone]].get(KEEP.name) == "no":
                found[other] = 0
        return tuple(found)

    def settings(self, proposal: Sequence[int]) -> LayerLines:
        """Return what a proposal turns, by layer and knob."""
        merged: LayerLines = {}
        for dimension, choice in zip(self.dimensions, self.canonical(proposal), strict=True):
            for layer, line in dimension.lines(choice).items():
                merged.setdefault(layer, {}).update(line)
        return merged

    def plan_of(self, proposal: Sequence[int]) -> Plan:
        """Return the plan of a proposal; what all layers share stands in its default."""
        canonical = self.canonical(proposal)
        default = dict(self.plan.default)
        for dimension, choice in zip(self.dimensions, canonical, strict=True):
            if dimension.whole:
                default.update(dimension.choices[choice])
        plan = Plan(default=default, layers=self.plan.layers)
        for dimension, choice in zip(self.dimensions, canonical, strict=True):
            if not dimension.whole:
                for layer, line in dimension.lines(choice).items():
                    for knob, value in line.items():
                        plan = plan.with_settings([layer], knob, value)
        return plan

    def key(self, proposal: Sequence[int]) -> str:
        """Return a hash by which a proposal is known again in another run."""
        return key_of(self.settings(proposal))

    def proposal_of(self, settings: Mapping[str, Mapping[str, Setting]]) -> Proposal | None:
        """Return the proposal that turns exactly this; None where the space has none."""
        found = []
        for dimension in self.dimensions:
            here = [
                index
                for index in range(len(dimension.choices))
                if all(
                    dict(settings.get(layer, {})).get(knob) == dimension.lines(index).get(layer, {}).get(knob)
                    for layer in dimension.layers
                    for knob in dimension.names
                    if knob in dimension.knobs[layer]
                )
            ]
            if not here:
                return None
            found.append(here[0])
        proposal = tuple(found)
        return proposal if self.key(proposal) == key_of(settings) else None

    def neighbours(self, proposal: Proposal) -> tuple[Proposal, ...]:
        """Return the proposals that differ in one dimension."""
        return tuple(
            (*proposal[:place], choice, *proposal[place + 1 :])
            for place, dimension in enumerate(self.dimensions)
            for choice in range(len(dimension.choices))
            if choice != proposal[place]
        )


def key_of(settings: Mapping[str, Mapping[str, Setting]]) -> str:
    """Return the hash of settings by layer and knob."""
    text = json.dumps({layer: dict(line) for layer, line in settings.items() if line}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
