"""Says what removing a channel means: the same graph with that channel absent wherever something reads it.

The mask sits behind every layer that makes the channel, where it puts zeros, and once more in front of every operator
that puts channels together, since biases, normalisation and activations such as Sigmoid make something of a zero on
the way. There it puts what changes nothing: zero for a sum, the lowest number for a maximum or softmax; what averages
over channels does so over those that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.graph.channels.analysis import Unit, analyse
from workbench.graph.model import ModelGraph
from workbench.graph.passes.mask_averages import mask_average
from workbench.graph.passes.masks import Masks


def mask_channels(graph: ModelGraph, removal: Mapping[str, Sequence[int]], unit: Unit = "head") -> ModelGraph:
    """Return the graph, at its full size, with the named channels set to zero.

    Args:
        graph: The graph; it stays as it is.
        removal: For channel groups by id the units to zero, as for `remove_channels`.
        unit: As for `channel_groups`.

    Raises:
        RecipeError: an unknown group or unit, one that must stay, or a removal that leaves a layer without channels.
    """
    analysis = analyse(graph, unit)
    cut = analysis.cut(removal)
    model = analysis.graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    masks = Masks(model, analysis, cut)
    for (name, index), fill in analysis.contracted.items():
        masks.before(nodes[name], index, fill)
    for name, averaging in analysis.averaged.items():
        mask_average(masks, nodes[name], averaging)
    for layer in dict.fromkeys(slot.layer for slot in analysis.slots if slot.axis == "out"):
        masks.behind(nodes[layer])
    return analysis.graph.edited(model)
