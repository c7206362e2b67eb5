"""Which channels must be removed together: channel identities are followed through the whole graph."""

from workbench.graph.channels.analysis import Analysis, Unit, analyse, channel_groups, folded_graph
from workbench.graph.channels.coupled import WeightChannels, coupled_weights
from workbench.graph.channels.group import ChannelGroup, Member
from workbench.graph.channels.reports import blocked_layers, group_reports, layer_groups

__all__ = [
    "Analysis",
    "ChannelGroup",
    "Member",
    "Unit",
    "WeightChannels",
    "analyse",
    "blocked_layers",
    "channel_groups",
    "coupled_weights",
    "folded_graph",
    "group_reports",
    "layer_groups",
]
