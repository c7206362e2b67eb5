"""What if: how long an inference is likely to take under a plan, from measured staircases, before anything runs.

The plan's sum of layer times over that of the original's float layers is its share of the original's time. Layers that
are timed by themselves convert their own inputs and outputs, which neighbours in integers do not, so that sums are too
large: by how much is learned from the project's measured candidates. Until there is one, the interval is wide. On
ResNet-20, with the W8A8 candidate measured, of seven other plans in integers the five without layers or with few came
out within 4 % of what was measured, and the two with channels of every block pruned 10 and 11 % too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.domain.knobs import KEEP, PRUNE_RATIO, Setting
from workbench.domain.measurements import Interval
from workbench.domain.plan import Plan
from workbench.domain.reports import InspectReport
from workbench.domain.staircase import LayerStaircase, StairPoint, Stairs
from workbench.project.staircases import planned_form, staircase_of
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.channel_counts import channel_counts

Settings = Mapping[str, Mapping[str, Setting]]

# What the network takes of the sum of its layers, before any candidate says: measured on ResNet-20 between 0.70 and
# 0.80 in integers and at 0.93 in float.
_USUAL = {True: 0.78, False: 0.95}
_UNSURE = {True: 0.15, False: 0.1}
# With measured candidates.
_LEAST_DOUBT = 0.12
_MOST_CANDIDATES = 8


@dataclass(frozen=True)
class TimeForecast:
    """How long an inference is likely to take.

    Attributes:
        milliseconds: Of one inference, as the project measures.
        ci95: Its interval.
        unknown: Layers with settings that save time, but have no measured staircase.
        candidates: How many measured candidates it was corrected by.
    """

    milliseconds: float
    ci95: Interval
    unknown: tuple[str, ...] = ()
    candidates: int = 0

    @property
    def text(self) -> str:
        """The time in words; at most so much, where layers are not known."""
        told = numbers.with_interval(self.milliseconds, self.ci95, "ms")
        return f"at most {told}" if self.unknown else told

    @property
    def tip(self) -> str:
        """What it stands on."""
        told = "The time comes from the layers' stairs"
        if self.candidates:
            told += f", corrected by {numbers.plural(self.candidates, 'measured candidate')}."
        else:
            told += "; a first measured candidate makes it more exact."
        if self.unknown:
            told += f"\nNo stairs of: {', '.join(self.unknown[:8])}"
        return told


@dataclass(frozen=True)
class _Sum:
    """The plan's share of the sum of layer times, half of its interval, and the share of it in integers."""

    share: float
    half: float
    integers: float
    unknown: tuple[str, ...]


def time_forecast(
    state: ProjectState, settings: Settings, multiple: int, settings_of: Callable[[Plan], Settings]
) -> TimeForecast | None:
    """Return the time under a plan; None where the original's time or the stairs of all layers are missing.

    Args:
        state: The document's value.
        settings: In force, by layer and knob.
        multiple: What channel counts are rounded to.
        settings_of: Returns what is in force under another plan, of a candidate.
    """
    inspect, measured = state.inspect, state.baseline_latency
    if inspect is None or measured is None or not state.staircases:
        return None
    found = _sum(state, inspect, settings, multiple)
    if found is None:
        return None
    whole = found.integers > 0.5
    factors = _factors(state, inspect, multiple, settings_of, whole, measured.device.threads)
    if factors:
        factor = float(np.median(factors))
        doubt = max(_LEAST_DOUBT, 2 * float(np.std(factors))) * factor
    else:
        factor, doubt = _USUAL[whole], _UNSURE[whole]
    milliseconds = measured.models[0].latency_ms.median
    middle = milliseconds * found.share * factor
    half = milliseconds * math.hypot(found.half * factor, found.share * doubt)
    return TimeForecast(middle, (max(middle - half, 0.0), middle + half), found.unknown, len(factors))


def _sum(state: ProjectState, inspect: InspectReport, settings: Settings, multiple: int) -> _Sum | None:
    before, after, integers, square, known = 0.0, 0.0, 0.0, 0.0, False
    unknown: dict[str, None] = {}
    widths = {layer.name: _full_width(state, layer.name) for layer in inspect.layers}
    rate = _rate(inspect, widths)
    for layer in inspect.layers:
        line, (stairs, full) = settings.get(layer.name, {}), widths[layer.name]
        changed = line.get(KEEP.name) == "no" or planned_form(line) != "float32"
        if stairs is None or full is None:
            # As long as the others take for as many multiplications, and left as it is.
            unknown.update({layer.name: None} if changed else {})
            before, after = before + rate * layer.macs, after + rate * layer.macs
            continue
        before += full.microseconds
        now = full
        if line.get(KEEP.name) == "no":
            known = True
            continue
        if planned_form(line) != "float32":
            other = _point(stairs.curves, planned_form(line), stairs.channels)
            if other is None:
                unknown[layer.name] = None
            else:
                now, known = other, True
                integers += now.microseconds
        after += now.microseconds
        square += _half(now) ** 2
    for members, ratio in _pruned_groups(inspect, settings):
        narrower = next(
            (
                found
                for name in members
                if (stairs := _stairs(state, name)) is not None
                and (found := _narrower(inspect, stairs, ratio, settings.get(name, {}), multiple)) is not None
            ),
            None,
        )
        if narrower is None:
            unknown.update(dict.fromkeys(members))
            continue
        known = True
        after -= narrower[0]
        square += narrower[1] ** 2
    if not known or before <= 0:
        return None
    after = max(after, 0.01 * before)
    return _Sum(after / before, math.sqrt(square) / before, integers / after, tuple(unknown))


def _factors(
    state: ProjectState,
    inspect: InspectReport,
    multiple: int,
    settings_of: Callable[[Plan], Settings],
    whole: bool,
    threads: int,
) -> list[float]:
    """Return what measured candidates of the same arithmetic take of the share that the stairs give them."""
    found = []
    way = (state.latency.device, state.latency.batch, threads)
    for candidate in reversed(state.candidates):
        report = candidate.report
        if candidate.deleted or report.latency is None or report.latency_report is None:
            continue
        device = report.latency_report.device
        if (device.name, report.latency.batch, device.threads) != way:
            continue
        told = _sum(state, inspect, settings_of(candidate.recipe.plan), multiple)
        if told is None or told.unknown or (told.integers > 0.5) != whole:
            continue
        found.append(report.latency.ratio_to_first.median / told.share)
        if len(found) == _MOST_CANDIDATES:
            break
    return found


def _stairs(state: ProjectState, layer: str) -> LayerStaircase | None:
    found = staircase_of(state, layer)
    return found if found is not None and found.curves else None


def _full_width(state: ProjectState, layer: str) -> tuple[LayerStaircase | None, StairPoint | None]:
    """Return a layer's stairs, and its time in float with all channels."""
    stairs = _stairs(state, layer)
    return stairs, None if stairs is None else _point(stairs.curves, "float32", stairs.channels)


def _rate(inspect: InspectReport, widths: Mapping[str, tuple[LayerStaircase | None, StairPoint | None]]) -> float:
    """Return microseconds a multiplication, of the layers that were timed."""
    timed = [(point.microseconds, layer.macs) for layer in inspect.layers if (point := widths[layer.name][1])]
    return sum(time for time, _ in timed) / max(sum(macs for _, macs in timed), 1)


def _point(curves: tuple[Stairs, ...], form: str, channels: int) -> StairPoint | None:
    return next((curve.at(channels) for curve in curves if curve.form == form), None)


def _half(point: StairPoint) -> float:
    return (point.ci95[1] - point.ci95[0]) / 2


def _narrower(
    inspect: InspectReport, stairs: LayerStaircase, ratio: float, line: Mapping[str, Setting], multiple: int
) -> tuple[float, float] | None:
    """Return microseconds that all layers save which lose channels together, and half of the interval."""
    curve = stairs.curve(planned_form(line)) or stairs.curve("float32")
    counts = channel_counts(inspect, stairs.layer, multiple)
    if curve is None:
        return None
    stays = round(stairs.channels * (1 - ratio)) if counts is None else counts.stay(ratio)
    before = curve.at(stairs.channels)
    # Odd counts are timed beside the ends of steps only; within a network they cost changes of layout besides.
    after = curve.at(stays) or next(
        (point for point in curve.points if point.channels >= stays and not point.channels % 2), None
    )
    if before is None or after is None:
        return None
    return before.microseconds - after.microseconds, math.hypot(_half(before), _half(after))


def _pruned_groups(inspect: InspectReport, settings: Settings) -> list[tuple[tuple[str, ...], float]]:
    """Return the layers that lose output channels together, and the share that they lose; layers left out apart."""
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
