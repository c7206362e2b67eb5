"""What ties a layer to others, and what can't be done with it and why, in the inspector's words; without Qt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.domain.knobs import RANK_RATIO, Knob
from workbench.domain.reports import InspectReport, LayerReport
from workbench.ui.models import numbers
from workbench.ui.models.layer_settings import not_settable

_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


@dataclass(frozen=True)
class Member:
    """A layer or node that a click selects; `note` says how it is part of what is shown."""

    name: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class GroupView:
    """The channels that go together with the layer's outputs, and whose they are."""

    id: str
    channels: int
    unit: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class BranchView:
    """The part of the network that can be left out with the layer; `id` is the node that it ends with."""

    id: str
    members: tuple[Member, ...]

    @property
    def text(self) -> str:
        """Say what it is, e.g. "Branch: 2 layers, can be left out"."""
        return f"Branch: {numbers.plural(len(self.members), 'layer')}, can be left out"


@dataclass(frozen=True)
class Limit:
    """Something that can't be done with a layer: the sentence that says why, and the nodes that it names.

    Attributes:
        channels: Whether it is that the layer's channels can't be removed.
    """

    text: str
    nodes: tuple[Member, ...] = ()
    channels: bool = False


def group_view(report: InspectReport, layer: LayerReport, labels: dict[str, str]) -> GroupView | None:
    """Return the channel group of a layer's outputs, a layer once with both its sides; None if it has none."""
    group = next((group for group in report.groups if group.id == layer.group), None)
    if group is None:
        return None
    sides: dict[str, list[str]] = {}
    for member in group.layers:
        sides.setdefault(member.layer, []).append({"out": "outputs", "in": "inputs"}[member.axis])
    members = tuple(
        Member(name, labels.get(name, name), " and ".join(dict.fromkeys(axes))) for name, axes in sides.items()
    )
    return GroupView(group.id, group.channels, group.unit, members)


def branch_view(report: InspectReport, layer: LayerReport, labels: dict[str, str]) -> BranchView | None:
    """Return the branch of a layer; None if it is in none."""
    if layer.branch is None:
        return None
    names = [other.name for other in report.layers if other.branch == layer.branch]
    return BranchView(layer.branch, tuple(Member(name, labels.get(name, name), "left out with it") for name in names))


def limits(report: InspectReport, layer: LayerReport, knobs: Sequence[Knob]) -> tuple[Limit, ...]:
    """Return why a layer can't be pruned, left out or factorised; () where all that the methods offer can be done."""
    found = []
    for knob in knobs:
        verb = _verb(knob)
        why = None if verb is None else not_settable(layer, knob)
        if verb is None or why is None:
            continue
        channels = knob.coupling == "channels"
        own = layer.blocked if channels else layer.refusals.get(knob.name)
        # What it says itself may begin with the name of a node, whose case counts.
        reason = own or why[:1].lower() + why[1:]
        if knob.coupling == "branch" and layer.input_shape and layer.output_shape:
            before, after = (numbers.shape_text(shape) for shape in (layer.input_shape, layer.output_shape))
            if before != after:
                reason = f"{reason}; it makes {after} of {before}"
        found.append(Limit(f"{verb}: {reason}", _named(report, reason), channels))
    return tuple(found)


def _verb(knob: Knob) -> str | None:
    if knob.name == RANK_RATIO.name:
        return "Can't be factorised"
    return {"channels": "Its output channels can't be pruned", "branch": "Can't be left out"}.get(knob.coupling)


def _named(report: InspectReport, reason: str) -> tuple[Member, ...]:
    """Return the nodes that a reason names in quotes, as links."""
    drawn: Iterable[str] = () if report.drawing is None else (node.id for node in report.drawing.nodes)
    known = {*drawn, *(other.name for other in report.layers)}
    names = [first or second for first, second in _QUOTED.findall(reason)]
    targets = dict.fromkeys(
        target for name in names for target in (name, f"output:{name}", f"input:{name}") if target in known
    )
    return tuple(Member(target, target.partition(":")[2] or target, "stands in the way") for target in targets)
