"""Rounds the weights of what is prepared one column after another, so that later ones make up for earlier ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from workbench.api import Parameters, Progress, Tools, WeightQuantization

from .inputs import Read, output_error, read_weights, second_moments
from .prepared import Prepared
from .second_order import Levels, rounded_in_turn


class TurnParameters(Parameters):
    """How weights are rounded in turn."""

    damping: float = Field(
        default=0.01,
        gt=0,
        le=1,
        title="Damping",
        description="Share of the mean second moment that is added to each, so that rare inputs are not overrated.",
    )
    activation_order: bool = Field(
        default=True,
        title="Order by activations",
        description="Round the weights that read most first, so that most others are left to make up for them.",
    )


def round_in_turn(
    prepared: Prepared, tools: Tools, parameters: TurnParameters, samples: int, method: str, progress: Progress
) -> Prepared:
    """Return what is to be deployed with other integers on the same scales.

    Layers that are no product of a stored weight with activations (embeddings) keep the nearest levels.

    Args:
        prepared: Rounded to the nearest.
        tools: Of the run.
        parameters: Of the rounding.
        samples: Calibration samples.
        method: Its id, for messages.
        progress: Of all of it.

    Raises:
        DataError: there is no data, or it leads to values that are not finite.
        CancelledError: tools.cancel was set.
    """
    names = [name for name, bits in prepared.layers.items() if bits.weight_bits <= 8]
    weights, left = read_weights(prepared.graph, names)
    rounded = dict(prepared.weights)
    errors: dict[str, dict[str, float]] = {}

    def take(each: Read, second: np.ndarray) -> None:
        before = prepared.weights[each.weight]
        array = prepared.graph.constant(each.weight)
        assert array is not None, each.weight
        integers, error = _in_turn(each, array, before, second, parameters, tools)
        rounded[each.weight] = replace(before, integers=integers)
        errors[each.nodes[0].name] = error

    second_moments(prepared.graph, weights, tools, samples, method, progress, take)
    notes = [*prepared.notes, f"{len(errors)} weights rounded in turn"]
    if left:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left.items())[:3])
        notes.append(f"{len(left)} rounded to the nearest level ({reasons})")
    details: dict[str, Any] = {**(prepared.details or {}), "output_error": errors}
    return replace(prepared, weights=rounded, notes=tuple(notes), details=details)


def _in_turn(
    each: Read,
    array: np.ndarray,
    before: WeightQuantization,
    second: np.ndarray,
    parameters: TurnParameters,
    tools: Tools,
) -> tuple[np.ndarray, dict[str, float]]:
    """Return new integers, and the output's relative error in root mean square before and after."""
    layout = each.layout
    scales = layout.matrices(np.broadcast_to(before.spread(), array.shape)).astype(np.float64)
    weight = layout.matrices(array).astype(np.float64)
    nearest = layout.matrices(before.integers).astype(np.float64)
    zeros = layout.matrices(np.broadcast_to(before.zeros(), array.shape)).astype(np.float64)
    lowest, highest = before.levels
    integers = np.empty_like(weight)
    lost = np.zeros(2)
    total = 0.0
    for group in range(layout.groups):
        levels = Levels(scales[group], zeros[group], lowest, highest)
        found = rounded_in_turn(
            weight[group],
            second[group],
            levels,
            parameters.damping,
            parameters.activation_order,
            tools.cancel.raise_if_cancelled,
        )
        errors = [output_error(levels.values(q) - weight[group], second[group]) for q in (nearest[group], found)]
        # Few samples or a grid that clips can make it worse; then the nearest levels stay.
        better = errors[1] < errors[0]
        integers[group] = found if better else nearest[group]
        lost += (errors[0], min(errors))
        total += output_error(weight[group], second[group])
    before_error, after_error = np.sqrt(lost / total) if total > 0 else (0.0, 0.0)
    figures = {"nearest": round(float(before_error), 6), "in_turn": round(float(after_error), 6)}
    return layout.stored(integers).astype(np.int8), figures
