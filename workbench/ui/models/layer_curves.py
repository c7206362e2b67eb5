"""One layer's measured sensitivities as charts, and which ones can be measured; pure values without Qt."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.domain.knobs import Knob, Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.reports import LayerReport, ParameterSchema
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.layer_settings import not_settable

PREFERRED_METHODS = ("prune.l1", "quantize.ptq")


@dataclass(frozen=True)
class CurvePoint:
    """One measured value.

    Attributes:
        value: The setting.
        x: Its place on the axis.
        change: Of the metric in the unit shown, negative is worse; `low` and `high` are its 95 % interval.
        text: The whole of it in words.
    """

    value: Setting
    x: float
    change: float
    low: float
    high: float
    samples: int
    text: str


@dataclass(frozen=True)
class Curve:
    """What one method made of the knob's values, mildest first."""

    method: str
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Chart:
    """All curves of one knob and metric.

    Attributes:
        metric: Its title within a sentence.
        ticks: (place, text) where the axis has only certain values, () where it is continuous.
        current: Place of the setting in force, or None where it lies off the axis; `current_text` says it.
        baseline: Metric of the original in words, "" where it is not known.
    """

    knob: str
    title: str
    metric: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    current: float | None = None
    current_text: str = ""
    baseline: str = ""


def resolve_curves(
    state: ProjectState, knobs: Sequence[Knob], layer: str, settings: Sequence[tuple[str, Setting | None]] = ()
) -> tuple[Chart, ...]:
    """Return a chart for every knob that was measured on a layer, in the order of `knobs`.

    Args:
        state: The document's value.
        knobs: All known knobs; sensitivities of others are left out.
        layer: Whose curves.
        settings: (knob, setting in force) to mark on the axes.
    """
    charts = []
    for knob in knobs:
        entries = [entry for entry in state.sensitivities if entry.knob == knob.name]
        for metric in dict.fromkeys(entry.metric for entry in entries):
            found = [
                (entry, [point for point in entry.points if point.layer == layer])
                for entry in entries
                if entry.metric == metric
            ]
            measured = [(entry, points) for entry, points in found if points]
            if not measured:
                continue
            values = sorted({_own(knob, point.value) for _, points in measured for point in points}, key=_mildness)
            ticks = _ticks(knob, values)
            setting = dict(settings).get(knob.name)
            baseline = next((entry.baseline for entry, _ in measured if entry.baseline is not None), None)
            charts.append(
                Chart(
                    knob=knob.name,
                    title=knob.title,
                    metric=_in_words(metric),
                    x_label=_axis_text(knob),
                    y_label=_change_text(metric),
                    curves=tuple(
                        Curve(
                            entry.method,
                            tuple(
                                _point(knob, metric, point, values)
                                for point in sorted(points, key=lambda point: _mildness(_own(knob, point.value)))
                            ),
                        )
                        for entry, points in measured
                    ),
                    ticks=ticks,
                    current=_place(knob, setting, values),
                    current_text="" if setting is None else f"plan: {numbers.setting_text(setting, knob.unit)}",
                    baseline="" if baseline is None else numbers.metric_text(baseline),
                )
            )
    return tuple(charts)


def measurable(
    layer: LayerReport, knobs: Iterable[Knob], methods: Iterable[ParameterSchema]
) -> tuple[tuple[str, str], ...]:
    """Return one (method, knob) for every knob that can be turned on a layer and that some method reads."""
    offered = sorted(methods, key=lambda method: method.id not in PREFERRED_METHODS)
    pairs = []
    for knob in knobs:
        if not_settable(layer, knob) is None and (knob.sweep or knob.choices):
            reader = next((method for method in offered if knob.name in method.knobs), None)
            if reader is not None:
                pairs.append((reader.id, knob.name))
    return tuple(pairs)


def curves_csv(charts: Iterable[Chart]) -> str:
    """Return the points as CSV with exact numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["knob", "method", "value", "change", "ci95_low", "ci95_high", "samples", "unit"])
    for chart in charts:
        unit = chart.y_label.rpartition("(")[2].rstrip(")") if "(" in chart.y_label else ""
        for curve in chart.curves:
            for point in curve.points:
                change = (point.change, point.low, point.high)
                writer.writerow([chart.knob, curve.method, point.value, *change, point.samples, unit])
    return out.getvalue()


def _point(knob: Knob, metric: str, point: SensitivityPoint, values: Sequence[Setting]) -> CurvePoint:
    factor = numbers.metric_factor(metric)
    value = _own(knob, point.value)
    text = (
        f"{knob.title} {numbers.setting_text(value, knob.unit)}: "
        f"{numbers.drop_text(point.likely, point.likely_ci95, metric)} on {numbers.plural(point.samples, 'sample')}"
    )
    if point.expected is not None:
        text = f"{text}\nOn these samples alone {numbers.drop_text(point.drop, point.ci95, metric)}"
    if point.provisional:
        text = f"{text}\nSo far; more samples are to come"
    x = _place(knob, value, values)
    return CurvePoint(
        value,
        0.0 if x is None else x,
        -point.likely * factor,
        -point.likely_ci95[1] * factor,
        -point.likely_ci95[0] * factor,
        point.samples,
        text,
    )


def _own(knob: Knob, value: Setting) -> Setting:
    """Return a stored value in the knob's own type: points are stored with floats, bits are whole."""
    return int(value) if isinstance(knob.untouched, int) and not isinstance(value, str) else value


def _discrete(knob: Knob) -> bool:
    return bool(knob.choices) or isinstance(knob.untouched, str)


def _ticks(knob: Knob, values: Sequence[Setting]) -> tuple[tuple[float, str], ...]:
    if not _discrete(knob):
        return ()
    return tuple((float(place), numbers.setting_text(value, knob.unit)) for place, value in enumerate(values))


def _place(knob: Knob, value: Setting | None, values: Sequence[Setting]) -> float | None:
    if value is None:
        return None
    if _discrete(knob):
        return float(values.index(value)) if value in values else None
    if isinstance(value, str):
        return None
    return float(value) * (100.0 if knob.unit.startswith("share") else 1.0)


def _mildness(value: Setting) -> tuple[bool, float]:
    """Order settings from mild to harsh: bits count down, shares up, names stay as they come."""
    if isinstance(value, str):
        return (True, 0.0)
    return (False, -value if value > 1 else value)


def _axis_text(knob: Knob) -> str:
    if knob.unit.startswith("share"):
        return f"{knob.title} (%{knob.unit.removeprefix('share')})"
    return knob.title if not knob.unit or knob.unit in knob.title else f"{knob.title} ({knob.unit})"


def _change_text(metric: str) -> str:
    unit = numbers.drop_unit(metric)
    return f"Change ({unit})" if unit else "Change"


def _in_words(metric: str) -> str:
    title = numbers.metric_title(metric)
    return title if title[:2].isupper() else title[:1].lower() + title[1:]
