"""Chooses the layers that are quantized by what each takes on the device: the rest stay in float.

Weights of 2 to 8 bits take the same time in the runtime's kernels, so that time is saved, or lost, by whether a layer
is quantized at all. Notation: r the measured ratio of the whole with all free layers in integers, r(l) with all but l;
the layer in float then costs r(l) - r, taken to add up over layers. How true that is, the last measurement says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.api import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    Choice,
    Chosen,
    JobError,
    LayerSettings,
    ModelGraph,
    Progress,
    Tools,
    allocate,
)

from .parameters import QuantizationParameters
from .prepared import prepare

_FLOAT = 32


@dataclass(frozen=True)
class Timed:
    """What was measured.

    Attributes:
        whole: Ratio to the original's time with all free layers in integers.
        in_float: By layer, what the ratio rises by if that layer stays in float; negative where it falls.
    """

    whole: float
    in_float: Mapping[str, float]


def time_layers(
    graph: ModelGraph,
    plan: LayerSettings,
    free: Sequence[str],
    tools: Tools,
    parameters: QuantizationParameters,
    method: str,
    progress: Progress,
) -> Timed:
    """Time the network with all free layers in integers, and with all but each.

    Raises:
        JobError: nothing can be timed.
        CancelledError: tools.cancel was set.
    """
    quick = parameters.model_copy(update={"calibration_samples": 1, "calibrator": "minmax", "weight_range": "minmax"})
    silent = replace(tools, progress=Progress())

    def ratio(settings: LayerSettings) -> float:
        made = prepare(graph, settings, silent, quick, method)
        return timed_ratio(graph if made is None else made.deployed(), tools, method)

    whole = ratio(plan)
    found: dict[str, float] = {}
    for number, layer in enumerate(free):
        progress.update((number + 1) / (len(free) + 1), f"timing without {layer}")
        tools.cancel.raise_if_cancelled()
        found[layer] = ratio(left_in_float(plan, (layer,))) - whole
    return Timed(whole, found)


def timed_ratio(graph: ModelGraph, tools: Tools, method: str) -> float:
    """Return how long a graph takes as a share of the original's time.

    Raises:
        JobError: nothing can be timed.
    """
    if tools.latency_ratio is None:
        raise JobError(f"{method} needs a device that times graphs", action="Choose another budget.")
    return tools.latency_ratio(graph)


def within_latency(
    timed: Timed, losses: Mapping[str, float], bits: Mapping[str, int], budget: float, ties: Sequence[frozenset[str]]
) -> dict[str, Chosen]:
    """Return what each layer gets: its bits, or 32.

    Args:
        timed: What was measured.
        losses: By layer, of its weight at its bits; in float it loses nothing.
        bits: By layer, of the plan.
        budget: Ratio to the original's time.
        ties: Layers that share a weight.

    Raises:
        RecipeError: nothing is within the budget.
    """
    share = timed.whole / max(len(losses), 1)
    choices = {
        layer: [Choice(bits[layer], loss, share), Choice(_FLOAT, 0.0, share + timed.in_float[layer])]
        for layer, loss in losses.items()
    }
    return dict(allocate(choices, budget, ties).layers)


def left_in_float(plan: LayerSettings, layers: Sequence[str]) -> LayerSettings:
    """Return the plan with some layers untouched."""
    for knob in (WEIGHT_BITS, ACTIVATION_BITS):
        plan = plan.with_values(knob, dict.fromkeys(layers, _FLOAT))
    return plan
