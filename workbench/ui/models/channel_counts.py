"""How many channels of a layer a prune ratio leaves, before anything was run: for sliders, notes and tooltips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.domain.channel_counts import kept_units, unit_step
from workbench.domain.knobs import PRUNE_RATIO
from workbench.domain.reports import InspectReport, ParameterSchema
from workbench.project.state import ProjectState

_MULTIPLE = "channel_multiple"


@dataclass(frozen=True)
class Stratum:
    """Units that take their share on their own: how many, how many of the layer's channels in each, their step."""

    units: int
    channels: int
    step: int


@dataclass(frozen=True)
class ChannelCounts:
    """A layer's channels; `multiple` is what the recipe rounds channel counts to.

    Attributes:
        edges: Counts that no larger one matches in time, where they were measured.
    """

    strata: tuple[Stratum, ...]
    multiple: int = 1
    edges: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """All channels."""
        return sum(stratum.units * stratum.channels for stratum in self.strata)

    def stay(self, ratio: float) -> int:
        """Return how many channels stay at a ratio."""
        return sum(s.channels * kept_units(s.units, ratio, s.step) for s in self.strata)

    @property
    def reachable_edges(self) -> tuple[int, ...]:
        """Edges that some ratio leaves exactly, as the recipe rounds."""
        most = PRUNE_RATIO.high or 1.0
        return tuple(
            edge
            for edge in self.edges
            if edge <= self.channels and (ratio := 1 - edge / self.channels) <= most and self.stay(ratio) == edge
        )

    def text(self, ratio: float) -> str:
        """Return, for example, "24 of 64 channels stay, in multiples of 8"."""
        rounded = f", in multiples of {self.multiple}" if self.multiple > 1 else ""
        told = f"{self.stay(ratio)} of {self.channels} channels stay{rounded}"
        return told + self._steps(self.stay(ratio))

    def _steps(self, count: int) -> str:
        """Return what the staircase says of a count; "" where it was not measured."""
        if not self.edges or count >= self.channels:
            return ""
        if len(self.edges) == 1:
            return "; no faster here with fewer"
        if count in self.edges:
            return ", the end of a step in its time"
        below = [str(edge) for edge in self.edges if edge < count][-1:]
        above = [str(edge) for edge in self.edges if edge > count][:1]
        return f"; steps in its time end at {' and '.join([*below, *above])}"

    def snapped(self, ratio: float) -> float:
        """Return the nearest ratio that leaves a count which pays, or else a multiple of channels.

        The ratio itself where any count will do.
        """
        edges = self.reachable_edges
        if len(edges) > 1:
            return min((1 - edge / self.channels for edge in edges), key=lambda mark: (abs(mark - ratio), mark))
        if all(stratum.step == 1 for stratum in self.strata):
            return ratio
        marks = {
            1 - count * stratum.step / stratum.units
            for stratum in self.strata
            if stratum.units >= stratum.step
            for count in range(1, stratum.units // stratum.step + 1)
        }
        allowed = [mark for mark in {0.0, *marks} if mark <= (PRUNE_RATIO.high or 1.0)]
        return min(allowed, key=lambda mark: (abs(mark - ratio), mark))


def channel_counts(
    report: InspectReport, layer: str, multiple: int = 1, edges: tuple[int, ...] = ()
) -> ChannelCounts | None:
    """Return the channels of a layer that its ratio reaches; None where it has no prunable group.

    Args:
        report: Of the model.
        layer: Its name.
        multiple: What the recipe rounds to.
        edges: Counts that no larger one matches in time.
    """
    found = next((entry for entry in report.layers if entry.name == layer), None)
    group = next((group for group in report.groups if found is not None and group.id == found.group), None)
    if group is None or not group.prunable:
        return None
    outs = [member for member in group.layers if member.axis == "out" and len(member.per_unit) == len(group.strata)]
    own = next((member for member in outs if member.layer == layer), None)
    if own is None:
        return None
    widest = [max(member.per_unit[place] for member in outs) for place in range(len(group.strata))]
    strata = tuple(
        Stratum(units, own.per_unit[place], unit_step(multiple, widest[place]))
        for place, units in enumerate(group.strata)
        if own.per_unit[place]
    )
    return ChannelCounts(strata, multiple, edges) if strata else None


def multiple_of(state: ProjectState, methods: Iterable[ParameterSchema]) -> int:
    """Return what the recipe's pruning step rounds channel counts to; 1 where it does not."""
    known = {method.id: method for method in methods if PRUNE_RATIO.name in method.knobs}
    for step in state.steps:
        if step.enabled and step.method in known:
            usual = known[step.method].json_schema.get("properties", {}).get(_MULTIPLE, {}).get("default", 1)
            value = step.parameters.get(_MULTIPLE, usual)
            return value if isinstance(value, int) and value >= 1 else 1
    return 1
