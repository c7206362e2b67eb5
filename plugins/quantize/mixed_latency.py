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
    LatencyTrials,
    LayerSettings,
    ModelGraph,
    Progress,
    Tools,
    allocate,
)
from workbench.api import Chosen as Allocated

from .parameters import QuantizationParameters
from .prepared import prepare

_FLOAT = 32
_TRIES = 3


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Attributes:
        layers: What each layer gets: its bits, or 32.
        whole: Measured ratio to the original's time with all free layers in integers.
        in_float: By layer, what the ratio rises by if that layer stays in float; negative where it falls.
        reached: Measured ratio of the choice.
    """

    layers: Mapping[str, Allocated]
    whole: float
    in_float: Mapping[str, float]
    reached: float


class LayerTiming:
    """Times stand-ins of a network, quantized with made-up ranges.

    Args:
        graph: The float model.
        plan: Bits of every layer.
        tools: Of the run.
        parameters: Of the method.
        method: Its id, for messages.

    Raises:
        JobError: nothing can be timed.
    """

    def __init__(
        self, graph: ModelGraph, plan: LayerSettings, tools: Tools, parameters: QuantizationParameters, method: str
    ) -> None:
        self._graph, self._plan, self._method = graph, plan, method
        self._tools = replace(tools, progress=Progress())
        self._parameters = parameters.quick()
        self._timed = LatencyTrials(tools, method, "budget", "Choose another budget.")

    def ratio(self, in_float: Sequence[str]) -> float:
        """Return the measured ratio to the original's time with some layers in float.

        Raises:
            CancelledError: cancelled.
        """

        def made() -> ModelGraph:
            plan = left_in_float(self._plan, in_float)
            prepared = prepare(self._graph, plan, self._tools, self._parameters, self._method)
            return self._graph if prepared is None else prepared.deployed()

        return self._timed.ratio(sorted(in_float), made, f"with {len(in_float)} layers in float")

    def choose(
        self,
        losses: Mapping[str, float],
        bits: Mapping[str, int],
        budget: float,
        ties: Sequence[frozenset[str]],
        progress: Progress,
    ) -> Chosen:
        """Return what each layer gets. A choice that is measured above the budget is made anew with a tighter one.

        Args:
            losses: By free layer, of its weight at its bits; in float it loses nothing.
            bits: By free layer, of the plan.
            budget: Ratio to the original's time.
            ties: Layers that share a weight.
            progress: Over all measurements.

        Raises:
            RecipeError: nothing is within the budget.
            CancelledError: cancelled.
        """
        whole = self.ratio(())
        in_float: dict[str, float] = {}
        for number, layer in enumerate(losses):
            progress.update((number + 1) / (len(losses) + 1 + _TRIES), f"timing without {layer}")
            in_float[layer] = self.ratio((layer,)) - whole
        share = whole / max(len(losses), 1)
        choices = {
            layer: [Choice(bits[layer], loss, share), Choice(_FLOAT, 0.0, share + in_float[layer])]
            for layer, loss in losses.items()
        }
        fastest = sum(min(entry.cost for entry in offered) for offered in choices.values())
        limit, best = budget, None
        for number in range(_TRIES):
            found = allocate(choices, limit, ties)
            reached = self.ratio([layer for layer, entry in found.layers.items() if entry.choice.value == _FLOAT])
            best = Chosen(found.layers, whole, in_float, reached)
            progress.update((len(losses) + 2 + number) / (len(losses) + 1 + _TRIES))
            # By so much the sum was wrong; the next one is less than this one.
            limit = budget - (reached - found.cost)
            if reached <= budget or limit < fastest:
                break
        assert best is not None
        return best


def left_in_float(plan: LayerSettings, layers: Sequence[str]) -> LayerSettings:
    """Return the plan with some layers untouched."""
    for knob in (WEIGHT_BITS, ACTIVATION_BITS):
        plan = plan.with_values(knob, dict.fromkeys(layers, _FLOAT))
    return plan
