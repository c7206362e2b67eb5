"""What if: how long an inference is likely to take under a plan, from measured staircases, before anything runs.

What every layer saves is read from its curve and subtracted from the original's time; layers are taken to save alike
wherever they stand. Measured kernels lie side by side in the network too, so that this holds to a tenth of the saving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.domain.knobs import KEEP, PRUNE_RATIO, Setting
from workbench.domain.measurements import Interval
from workbench.domain.reports import InspectReport
from workbench.domain.staircase import LayerStaircase, Stairs
from workbench.project.staircases import planned_form, staircase_of
from workbench.project.state import ProjectState
from workbench.ui.models import numbers

# What layers save by themselves against what they save in the network: an assumption, on the wide side.
_ELSEWHERE = 0.1
_LEAST_SHARE = 0.02


@dataclass(frozen=True)
class TimeForecast:
    """How long an inference is likely to take.

    Attributes:
        milliseconds: Of one inference, as the project measures.
        ci95: Its interval.
        unknown: Layers with settings that save time, but have no measured staircase.
    """

    milliseconds: float
    ci95: Interval
    unknown: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The time in words; at most so much, where layers are not known."""
        told = numbers.with_interval(self.milliseconds, self.ci95, "ms")
        return f"at most {told}" if self.unknown else told


def time_forecast(state: ProjectState, settings: Mapping[str, Mapping[str, Setting]]) -> TimeForecast | None:
    """Return the time under a plan; None where the original's time or every staircase is missing.

    Args:
        state: The document's value.
        settings: In force, by layer and knob.
    """
    inspect, measured = state.inspect, state.baseline_latency
    if inspect is None or measured is None or not state.staircases:
        return None
    saved, square, unknown, known = 0.0, 0.0, dict[str, None](), False
    for layer in inspect.layers:
        line = settings.get(layer.name, {})
        gone = line.get(KEEP.name) == "no"
        whole = planned_form(line) == "uint8"
        if not gone and not whole:
            continue
        found = _curves(state, layer.name)
        change = None if found is None else _own_change(found, gone=gone)
        if change is None:
            unknown[layer.name] = None
            continue
        known = True
        saved, square = saved + change[0], square + change[1] ** 2
    for members, ratio in _pruned_groups(inspect, settings):
        found = next((entry for name in members if (entry := _curves(state, name)) is not None), None)
        change = None if found is None else _narrower(found, ratio, settings.get(found.layer, {}))
        if change is None:
            unknown.update(dict.fromkeys(members))
            continue
        known = True
        saved, square = saved + change[0], square + change[1] ** 2
    if not known:
        return None
    whole_ms = measured.models[0].latency_ms.median
    middle = max(whole_ms - saved / 1000, _LEAST_SHARE * whole_ms)
    half = math.hypot(math.sqrt(square), _ELSEWHERE * saved) / 1000
    return TimeForecast(middle, (max(middle - half, 0.0), middle + half), tuple(unknown))


def _curves(state: ProjectState, layer: str) -> LayerStaircase | None:
    found = staircase_of(state, layer)
    return found if found is not None and found.curves else None


def _own_change(found: LayerStaircase, *, gone: bool) -> tuple[float, float] | None:
    """Return microseconds that a layer saves by being left out, or by integers, and half of the interval."""
    curves = {curve.form: curve.at(found.channels) for curve in found.curves}
    before, after = curves.get("float32"), curves.get("uint8")
    if before is None or (after is None and not gone):
        return None
    half = (before.ci95[1] - before.ci95[0]) / 2
    if gone or after is None:
        return before.microseconds, half
    return before.microseconds - after.microseconds, math.hypot(half, (after.ci95[1] - after.ci95[0]) / 2)


def _narrower(found: LayerStaircase, ratio: float, line: Mapping[str, Setting]) -> tuple[float, float] | None:
    """Return microseconds that all layers save which lose channels together, and half of the interval."""
    curve = found.curve(planned_form(line)) or found.curve("float32")
    if curve is None:
        return None
    before, after = curve.at(found.channels), _between(curve, round(found.channels * (1 - ratio)))
    if before is None or after is None:
        return None
    return before.microseconds - after[0], math.hypot((before.ci95[1] - before.ci95[0]) / 2, after[1])


def _between(curve: Stairs, channels: int) -> tuple[float, float] | None:
    """Return the time at a count and half of its interval; of a count that was not timed, that of the next larger."""
    point = next((point for point in curve.points if point.channels >= channels and not point.channels % 2), None)
    exact = curve.at(channels)
    chosen = exact or point
    return None if chosen is None else (chosen.microseconds, (chosen.ci95[1] - chosen.ci95[0]) / 2)


def _pruned_groups(
    inspect: InspectReport, settings: Mapping[str, Mapping[str, Setting]]
) -> list[tuple[tuple[str, ...], float]]:
    """Return the layers that lose output channels together, and the share that they lose, the layers left out apart."""
    found = []
    for group in inspect.groups:
        members = tuple(
            member.layer
            for member in group.layers
            if member.axis == "out" and settings.get(member.layer, {}).get(KEEP.name) != "no"
        )
        ratio = max((float(settings.get(name, {}).get(PRUNE_RATIO.name, 0.0)) for name in members), default=0.0)
        if members and ratio > 0:
            found.append((members, ratio))
    return found
