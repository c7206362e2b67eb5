"""What if: what a plan is likely to lose, to take and to weigh, from what single layers do, before anything runs.

Drops of single layers are added up. Layers together may lose more or less than that, so that the interval is widened
by a quarter of the sum; what no sensitivity tells is named instead of guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from workbench.domain.knobs import Knob, Setting
from workbench.domain.measurements import Interval
from workbench.domain.plan import Plan
from workbench.domain.reports import InspectReport, ParameterSchema
from workbench.project.state import ProjectState, Sensitivities
from workbench.ui.models import numbers
from workbench.ui.models.channel_counts import multiple_of
from workbench.ui.models.layer_settings import not_settable, resolve_settings
from workbench.ui.models.size_forecast import SizeForecast, size_forecast
from workbench.ui.models.time_forecast import TimeForecast, time_forecast

# How far the sum of exact single drops may be off, as a share of it: an assumption, on the wide side.
_TOGETHER = 0.25


@dataclass(frozen=True)
class PlanForecast:
    """What a plan comes to.

    Attributes:
        metric: That drops are of; "" where there are no sensitivities.
        drop: Sum of the single drops, None where none is known.
        ci95: Its interval.
        unknown: Layers with settings that no sensitivity tells of.
        size: Of the weights and all else in the file.
        time: Of an inference, None where no staircase was measured.
    """

    metric: str
    drop: float | None
    ci95: Interval | None
    unknown: tuple[str, ...]
    size: SizeForecast
    time: TimeForecast | None = None

    @property
    def text(self) -> str:
        """The forecast in one line."""
        parts = []
        if self.drop is not None:
            missing = f" and {numbers.plural(len(self.unknown), 'unmeasured layer')}" if self.unknown else ""
            parts.append(f"{numbers.drop_text(self.drop, self.ci95, self.metric)}{missing}")
        if self.time is not None:
            parts.append(self.time.text)
        parts.append(self.size.text)
        return ", ".join(parts)

    @property
    def tip(self) -> str:
        """What it stands on."""
        lines = [
            "Foretold, not measured. Sizes follow from the settings; what is no weight in the file is in the interval."
        ]
        if self.drop is None:
            lines.append("Measure sensitivity (F6), and the likely change of the metric is told too.")
        else:
            lines.append("Drops of single layers added up; together they may lose more or less.")
        if self.time is None:
            lines.append("Measure latency and the layers' stairs (inspector), and the likely time is told too.")
        else:
            lines.append(self.time.tip)
        if self.unknown:
            lines.append(f"No sensitivity tells of: {', '.join(self.unknown[:8])}")
        return "\n".join(lines)


def forecast(
    state: ProjectState, knobs: Sequence[Knob], methods: Iterable[ParameterSchema] = ()
) -> PlanForecast | None:
    """Return what the plan comes to; None without a model, or where the plan sets nothing.

    Args:
        state: The document's value.
        knobs: The known ones.
        methods: The known ones, whose defaults say how channel counts are rounded.
    """
    inspect = state.inspect
    if inspect is None or not state.plan.knobs():
        return None

    def settings_of(plan: Plan) -> dict[str, dict[str, Setting]]:
        return _settings(plan, inspect, knobs)

    settings = settings_of(state.plan)
    drop, square, known, unknown = 0.0, 0.0, False, dict[str, None]()
    metric = ""
    for knob in knobs:
        entry = next((entry for entry in reversed(state.sensitivities) if entry.knob == knob.name), None)
        counted: set[frozenset[str]] = set()
        for layer in inspect.layers:
            value = settings[layer.name].get(knob.name, knob.untouched)
            if value == knob.untouched:
                continue
            found = None if entry is None else _single(entry, knob, layer.name, value)
            if found is None:
                unknown[layer.name] = None
                continue
            if found.together in counted:
                continue
            counted.add(found.together)
            known, metric = True, entry.metric if entry is not None else metric
            drop += found.drop
            square += found.half**2
    half = math.hypot(math.sqrt(square), _TOGETHER * drop)
    return PlanForecast(
        metric=metric,
        drop=drop if known else None,
        ci95=(drop - half, drop + half) if known else None,
        unknown=tuple(unknown),
        size=size_forecast(state, settings, settings_of),
        time=time_forecast(state, settings, multiple_of(state, methods), settings_of),
    )


def _settings(plan: Plan, inspect: InspectReport, knobs: Sequence[Knob]) -> dict[str, dict[str, Setting]]:
    """Return what is in force under a plan, as far as layers can take it."""
    names = {layer.name: layer.name for layer in inspect.layers}
    in_force, _ = resolve_settings(plan, inspect, knobs, names)
    return {
        layer.name: {
            knob.name: in_force[layer.name][knob.name].value
            for knob in knobs
            if not_settable(layer, knob) is None and (knob.name in layer.knobs or knob.coupling != "none")
        }
        for layer in inspect.layers
    }


@dataclass(frozen=True)
class _Single:
    drop: float
    half: float
    together: frozenset[str]


def _single(entry: Sensitivities, knob: Knob, layer: str, value: Setting) -> _Single | None:
    """Return one layer's likely drop at a value, between measured ones by a straight line; None beyond them."""
    points = [point for point in entry.points if point.layer == layer]
    exact = next((point for point in points if point.value == value), None)
    if exact is not None:
        return _Single(exact.likely, _half(exact.likely_ci95), frozenset((layer, *exact.coupled)))
    if isinstance(value, str) or isinstance(knob.untouched, str):
        return None
    places = [(float(point.value), point) for point in points if not isinstance(point.value, str)]
    line = sorted([(float(knob.untouched), 0.0, 0.0), *((at, p.likely, _half(p.likely_ci95)) for at, p in places)])
    for (left, before, narrow), (right, after, wide) in pairwise(line):
        if left <= float(value) <= right and right > left:
            share = (float(value) - left) / (right - left)
            together = frozenset((layer, *(places[0][1].coupled if places else ())))
            return _Single(before + share * (after - before), max(narrow, wide), together)
    return None


def _half(interval: Interval) -> float:
    return (interval[1] - interval[0]) / 2
