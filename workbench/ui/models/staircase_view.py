"""What the staircase of a layer says, in words and rows, before it is drawn."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from workbench.domain.knobs import PRUNE_RATIO, Setting
from workbench.domain.preflight import KernelForm
from workbench.domain.reports import InspectReport, ParameterSchema
from workbench.domain.staircase import STAIR_TITLES, LayerStaircase, Stairs
from workbench.project.staircases import paying_counts, planned_form, staircase_of
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.channel_counts import channel_counts, multiple_of


@dataclass(frozen=True)
class StaircaseView:
    """One layer's staircase.

    Attributes:
        found: What was measured.
        form: What the plan computes the layer in.
        planned: Channels that stay under the plan.
        text: What pays, in words.
    """

    found: LayerStaircase
    form: KernelForm
    planned: int
    text: str


def resolve_staircase(
    state: ProjectState,
    methods: tuple[ParameterSchema, ...],
    layer: str,
    settings: dict[str, Setting | None],
) -> StaircaseView | None:
    """Return what is known of a layer; None where nothing is.

    Args:
        state: The document's value.
        methods: The known methods, whose defaults say how channel counts are rounded.
        layer: Its name.
        settings: In force on it, by knob.
    """
    found = staircase_of(state, layer)
    if found is None or state.inspect is None:
        return None
    form = planned_form(settings)
    planned = _planned(state.inspect, methods, state, found, settings)
    return StaircaseView(found, form, planned, _text(found, form, planned))


def _planned(
    report: InspectReport,
    methods: tuple[ParameterSchema, ...],
    state: ProjectState,
    found: LayerStaircase,
    settings: dict[str, Setting | None],
) -> int:
    ratio = settings.get(PRUNE_RATIO.name)
    edges = paying_counts(state, found.layer, settings)
    counts = channel_counts(report, found.layer, multiple_of(state, methods), edges)
    if counts is None or not isinstance(ratio, (int, float)):
        return found.channels
    return counts.stay(float(ratio))


def _text(found: LayerStaircase, form: KernelForm, planned: int) -> str:
    if not found.curves:
        return f"This layer has no staircase: {found.reason}."
    curve = found.curve(form) or found.decisive[0]
    title = STAIR_TITLES[curve.form]
    others = found.members - 1 if found.together else 0
    if others > 0:
        title = f"{title}, this layer and {numbers.plural(others, 'other')} that lose channels with it"
    if len(curve.edges) < 2:
        told = f"In {title}: no faster with fewer channels."
    else:
        ends = ", ".join(map(str, curve.edges))
        told = f"In {title}: steps end at {ends} channels; no larger count that was timed is as fast."
    now, own = curve.at(planned), curve.at(found.channels)
    if planned < found.channels and now is not None and own is not None and own.microseconds > 0:
        share = numbers.fixed(100 * now.microseconds / own.microseconds, 0)
        told += f" The plan's {planned} take {share}\N{NO-BREAK SPACE}% of the time of all {found.channels}."
    return told


def point_text(curve: Stairs, channels: int) -> str:
    """Return one point in words; "" where there is none."""
    point = curve.at(channels)
    if point is None:
        return ""
    low, high = point.ci95
    end = ", end of a step" if channels in curve.edges else ""
    return (
        f"{numbers.plural(channels, 'channel')} in {STAIR_TITLES[curve.form]}{end}:\n"
        f"{point.microseconds:.1f}\N{NO-BREAK SPACE}µs ({low:.1f} to {high:.1f}, 95 %)"
    )


def staircase_csv(found: LayerStaircase) -> str:
    """Return the points as CSV with exact numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["layers", "form", "channels", "microseconds", "ci95_low", "ci95_high", "edge"])
    for layers, curves in ((1, found.curves), (found.members, found.together)):
        for curve in curves:
            for point in curve.points:
                edge = int(point.channels in curve.edges)
                writer.writerow([layers, curve.form, point.channels, point.microseconds, *point.ci95, edge])
    return out.getvalue()
