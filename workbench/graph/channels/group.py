"""A channel group as its readers see it: units that go together, and where each sits in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal


@dataclass(frozen=True)
class Member:
    """One axis of one layer that loses positions with the group.

    Attributes:
        layer: Node name.
        axis: "out" for the layer's own channels, "in" for those it reads.
        weight: Initializer that holds the weight, or "" where the weight is computed.
        weight_axis: Axis of the weight that the positions count along.
        positions: For every unit of the group the positions it takes on that axis; () where it is not there.
        own: Whether the layer makes these channels itself (a depthwise layer passes on those of its input).
    """

    layer: str
    axis: Literal["out", "in"]
    weight: str
    weight_axis: int
    positions: tuple[tuple[int, ...], ...]
    own: bool = True


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are coupled across layers.

    A *unit* is the smallest piece that can go: all positions, in all layers, that must be removed together.

    Attributes:
        id: Name of the first layer that makes the channels (with a suffix where that is taken).
        units: Number of units.
        unit: How many channels of one layer go with one unit, at most.
        members: Every layer axis that the group touches, in graph order.
        locked: Units that can't be removed.
        essential: Sets of units of which at least one must stay, beyond "not all of them".
        reason: Why no unit can be removed, naming the node; None when the group is prunable.
        lock_reason: Why the locked units are locked; None when there are none.
    """

    id: str
    units: int
    unit: int
    members: tuple[Member, ...]
    locked: frozenset[int] = frozenset()
    essential: tuple[frozenset[int], ...] = ()
    reason: str | None = None
    lock_reason: str | None = None

    @property
    def channels(self) -> int:
        """Number of channels of the widest layer that makes them."""
        return max(
            (sum(map(len, member.positions)) for member in self.members if member.axis == "out"), default=self.units
        )

    @property
    def prunable(self) -> bool:
        """Whether at least one unit can be removed."""
        return self.reason is None

    @property
    def out_members(self) -> tuple[Member, ...]:
        """The layer axes whose own channels these are."""
        return tuple(member for member in self.members if member.axis == "out")

    @cached_property
    def strata(self) -> tuple[tuple[int, ...], ...]:
        """Units by the set of layer axes they occur in.

        Along a padded shortcut a wide layer holds the channels of a narrow one and some of its own; taking the same
        share of every stratum gives every layer that share.
        """
        found: dict[tuple[int, ...], list[int]] = {}
        outs = self.out_members
        for unit in range(self.units):
            found.setdefault(tuple(len(member.positions[unit]) for member in outs), []).append(unit)
        return tuple(tuple(units) for units in found.values())
