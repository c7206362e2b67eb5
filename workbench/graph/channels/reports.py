"""What the inspector and the command line show of channel groups."""

from __future__ import annotations

from workbench.domain.reports import GroupMember, GroupReport
from workbench.graph.channels.analysis import analyse
from workbench.graph.channels.group import ChannelGroup, Member
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node


def group_reports(graph: ModelGraph) -> tuple[GroupReport, ...]:
    """Return every channel group with its members, and the reason of those that can't be pruned."""
    return tuple(
        GroupReport(
            id=group.id,
            channels=group.channels,
            unit=group.unit,
            layers=tuple(_member(group, member) for member in group.members),
            prunable=group.prunable,
            reason=group.reason,
            strata=tuple(len(stratum) for stratum in group.strata),
        )
        for group in analyse(graph).groups
    )


def _member(group: ChannelGroup, member: Member) -> GroupMember:
    takes = () if member.axis == "in" else tuple(len(member.positions[stratum[0]]) for stratum in group.strata)
    return GroupMember(layer=member.layer, axis=member.axis, per_unit=takes)


def layer_groups(graph: ModelGraph) -> dict[str, tuple[ChannelGroup, ...]]:
    """Return by layer the groups that its output channels belong to; a depthwise layer may be in several."""
    found: dict[str, list[ChannelGroup]] = {}
    for group in analyse(graph).groups:
        for member in group.out_members:
            if group not in found.setdefault(member.layer, []):
                found[member.layer].append(group)
    return {layer: tuple(groups) for layer, groups in found.items()}


def blocked_layers(graph: ModelGraph) -> dict[str, str]:
    """Return by layer why none of its output channels can be removed; layers that can be pruned are not in it."""
    analysis = analyse(graph)
    found = layer_groups(graph)
    reasons: dict[str, str | None] = {
        layer: next(group.reason for group in groups if group.reason is not None)
        for layer, groups in found.items()
        if not any(group.prunable for group in groups)
    }
    for node, _ in layer_nodes(graph):
        if node.name not in found:
            reasons[node.name] = analysis.refused.get(node.name) or _without_group(node)
    return {layer: str(reason) for layer, reason in reasons.items()}


def _without_group(node: Node) -> str:
    if node.op in ("LSTM", "GRU", "RNN"):
        return f"the hidden units of node {node.name!r} ({node.op}) can't be seen through"
    return f"node {node.name!r} ({node.op}) has a single output channel, or passes on channels that can't be removed"
