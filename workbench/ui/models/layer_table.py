"""What the layer table shows, as one frozen snapshot: resolved from the document without Qt, so that it can be tested.

A plan is read leniently here: a line that a run would refuse is listed under `problems` and the table still stands.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from workbench.domain.knobs import ACTIVATION_BITS, KEEP, PRUNE_RATIO, Knob, Setting
from workbench.domain.measurements import Interval
from workbench.domain.plan import Origin
from workbench.domain.preflight import LayerOutlook
from workbench.domain.reports import InspectReport, LayerReport, ParameterSchema
from workbench.project.commands import SetSettings
from workbench.project.state import ProjectState, Sensitivities
from workbench.ui.models import numbers
from workbench.ui.models.layer_settings import InForce, not_settable, resolve_settings, together
from workbench.ui.models.measured_choices import MeasuredChoice, known_outlooks, measured_choices, refused_by_device
from workbench.ui.models.setting_choices import Refusals

FIXED_COLUMNS = ("Layer", "Op", "Shape", "Params", "MACs")
# Layers that a note names; the inspector links to all of them.
_NAMED = 3


@dataclass(frozen=True)
class KnobCell:
    """A layer's setting of one knob.

    Attributes:
        value: The setting in force; None for a knob that does not apply to the layer.
        own: Whether a line of the plan gives it, rather than the default: the layer's, or that of one coupled to it.
        reason: Why it can't be changed; None when it can.
        note: Shown on hover beside the value, e.g. what moves along.
        follows: Whether the value is that of a coupled layer, which the note names.
        refused: Choices that can't be done on the layer, each with why.
        measured: Choices whose time on the device is known.
    """

    value: Setting | None
    own: bool = False
    reason: str | None = None
    note: str = ""
    follows: bool = False
    refused: Mapping[Setting, str] = field(default_factory=dict)
    measured: Mapping[Setting, MeasuredChoice] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """One measured sensitivity: likely loss of the metric at one value of the knob; more samples may be to come."""

    value: Setting
    drop: float
    ci95: Interval
    samples: int
    provisional: bool = False


@dataclass(frozen=True)
class LayerRow:
    """One layer as the table shows it.

    Attributes:
        coupled: The other layers that lose channels with it.
        beside: The other layers of its branch, which can only be left out together.
    """

    name: str
    label: str
    op: str
    shape: str
    params: int
    macs: int
    knobs: tuple[KnobCell, ...]
    drops: tuple[Drop, ...]
    group: str
    coupled: tuple[str, ...]
    blocked: str | None
    beside: tuple[str, ...] = ()

    @property
    def worst_drop(self) -> float | None:
        """Largest loss among the measured values, or None before any measurement."""
        return max((drop.drop for drop in self.drops), default=None)


@dataclass(frozen=True)
class LayerTable:
    """The whole table.

    Attributes:
        knobs: One column each.
        unread: Knobs that no enabled step of the recipe reads.
        sweep: Which sensitivities are shown ("Weight bits by quantize.ptq"), "" for none.
        metric: Metric of the sensitivities.
        top_drop: End of the heat scale: the largest drop shown.
        problems: Lines of the plan that a run would refuse.
    """

    knobs: tuple[Knob, ...] = ()
    unread: frozenset[str] = frozenset()
    rows: tuple[LayerRow, ...] = ()
    sweep: str = ""
    metric: str = "top1"
    top_drop: float = 0.0
    problems: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Headings from left to right."""
        return (*FIXED_COLUMNS, *(knob.title for knob in self.knobs), "Sensitivity", "Group")

    @property
    def sensitivity_column(self) -> int:
        """Index of the sensitivity column."""
        return len(FIXED_COLUMNS) + len(self.knobs)

    def cell(self, layer: str, knob: Knob) -> KnobCell | None:
        """Return a layer's setting of a knob, or None where the table has no such layer or knob."""
        row = self._rows_by_name.get(layer)
        return row.knobs[self.knobs.index(knob)] if row is not None and knob in self.knobs else None

    @cached_property
    def _rows_by_name(self) -> dict[str, LayerRow]:
        return {row.name: row for row in self.rows}

    def knob_at(self, column: int) -> Knob | None:
        """Return the knob of a column, or None for any other column."""
        index = column - len(FIXED_COLUMNS)
        return self.knobs[index] if 0 <= index < len(self.knobs) else None


def resolve_layers(
    state: ProjectState,
    knobs: Sequence[Knob],
    methods: Iterable[ParameterSchema] = (),
    sweep: int = 0,
) -> LayerTable:
    """Return the table for a document.

    Args:
        state: The document's value.
        knobs: All knobs that are known; those that no layer has get no column.
        methods: The known methods, to tell which knobs the recipe's enabled steps read.
        sweep: Which of the document's sensitivities to show.
    """
    report = state.inspect
    if report is None:
        return LayerTable()
    offered = {name for layer in report.layers for name in layer.knobs}
    if any(layer.blocked or layer.group for layer in report.layers):
        offered.update(knob.name for knob in knobs if knob.coupling == "channels")
    shown = tuple(knob for knob in knobs if knob.name in offered or knob.name in state.plan.default)
    labels = layer_labels(report)
    settings, problems = resolve_settings(state.plan, report, knobs, labels)
    sensitivities = state.sensitivities[sweep] if 0 <= sweep < len(state.sensitivities) else None
    drops = _drops(sensitivities, knobs)
    partners = {knob.name: _partners(report, knob) for knob in (*shown, PRUNE_RATIO, KEEP)}
    known = {method.id: method for method in methods}
    refusals = Refusals(known.values(), state.steps)
    outlooks = known_outlooks(state)
    rows = tuple(
        _row(layer, shown, settings[layer.name], labels, drops, partners, refusals, outlooks.get(layer.name))
        for layer in report.layers
    )
    read = {knob for step in state.steps if step.enabled and step.method in known for knob in known[step.method].knobs}
    return LayerTable(
        knobs=shown,
        unread=frozenset(knob.name for knob in shown if knob.name not in read) if known else frozenset(),
        rows=rows,
        sweep="" if sensitivities is None else sweep_title(sensitivities, knobs),
        metric="top1" if sensitivities is None else sensitivities.metric,
        top_drop=max((row.worst_drop or 0.0 for row in rows), default=0.0),
        problems=problems,
    )


def layer_labels(report: InspectReport) -> dict[str, str]:
    """Return a short, unique label for every layer: its innermost module where the exporter recorded one."""
    wanted = {layer.name: layer.path[-1] if layer.path else layer.name for layer in report.layers}
    taken = Counter(wanted.values())
    return {
        name: label if taken[label] == 1 or label == name else f"{label} ({name})" for name, label in wanted.items()
    }


def coupled_layers(report: InspectReport, layer: str, knob: Knob) -> tuple[str, ...]:
    """Return the layers, `layer` first, that take the same setting of `knob`: their channels or branch go together."""
    return (layer, *(name for name in _partners(report, knob).get(layer, ()) if name != layer))


def _partners(report: InspectReport, knob: Knob) -> dict[str, tuple[str, ...]]:
    """Return for every layer that is coupled all layers that go together, itself included."""
    return {name: names for names in together(report, knob) for name in names}


def setting_command(
    report: InspectReport, layers: Iterable[str], knob: Knob, value: Setting | None
) -> SetSettings | None:
    """Return the edit that gives layers a setting, coupled layers included; None if it applies to none of them.

    A setting can be taken away from a layer that can't have it: a file may have brought it.
    """
    by_name = {layer.name: layer for layer in report.layers}
    chosen: dict[str, None] = {}
    for name in layers:
        if name in by_name and (value is None or not_settable(by_name[name], knob) is None):
            chosen.update(dict.fromkeys(coupled_layers(report, name, knob)))
    return SetSettings(tuple(chosen), knob.name, value) if chosen else None


def can_take(table: LayerTable, layers: Iterable[str], knob: Knob, value: Setting | None) -> tuple[str, ...]:
    """Return the layers that can be given a value; taking a setting away is always possible."""
    cells = ((name, table.cell(name, knob)) for name in layers)
    return tuple(name for name, cell in cells if value is None or cell is None or value not in cell.refused)


def sweep_title(sensitivities: Sensitivities, knobs: Iterable[Knob]) -> str:
    """Return what was swept, e.g. "W bits, quantize.ptq"."""
    title = next((knob.title for knob in knobs if knob.name == sensitivities.knob), sensitivities.knob)
    return f"{title}, {sensitivities.method}"


def to_csv(table: LayerTable, names: Iterable[str] | None = None) -> str:
    """Return rows as CSV with exact numbers; `names` picks and orders the rows, None takes all."""
    wanted = list(table.rows)
    if names is not None:
        by_name = {row.name: row for row in table.rows}
        wanted = [by_name[name] for name in names if name in by_name]
    values = sorted({drop.value for row in wanted for drop in row.drops}, key=str)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["layer", "op", "shape", "params", "macs", *(knob.name for knob in table.knobs), "group"]
    writer.writerow([*head, *(f"drop at {value}" for value in values)])
    for row in wanted:
        drops = {drop.value: drop.drop for drop in row.drops}
        cells = ["" if cell.value is None else cell.value for cell in row.knobs]
        fixed = [row.name, row.op, row.shape, row.params, row.macs]
        writer.writerow([*fixed, *cells, row.group, *(drops.get(value, "") for value in values)])
    return out.getvalue()


def _row(
    layer: LayerReport,
    knobs: Sequence[Knob],
    settings: Mapping[str, InForce],
    labels: Mapping[str, str],
    drops: Mapping[str, tuple[Drop, ...]],
    sets: Mapping[str, Mapping[str, tuple[str, ...]]],
    refusals: Refusals,
    outlook: LayerOutlook | None,
) -> LayerRow:
    partners = {
        knob: tuple(name for name in names.get(layer.name, ()) if name != layer.name) for knob, names in sets.items()
    }
    coupled = partners[PRUNE_RATIO.name]
    activations = settings[ACTIVATION_BITS.name].value if ACTIVATION_BITS.name in settings else None
    cells = []
    for knob in knobs:
        reason = not_settable(layer, knob)
        if reason is not None:
            cells.append(KnobCell(None, reason=reason))
            continue
        given = settings[knob.name]
        note = ""
        if partners[knob.name]:
            others = partners[knob.name]
            named = ", ".join(labels[name] for name in others[:_NAMED])
            more = len(others) - _NAMED
            note = f"Moves together with {named}" + (f" and {more} more" if more > 0 else "")
        if given.given_by:
            note = f"Takes what is set for {labels[given.given_by]}. {note}"
        refused = {**refused_by_device(outlook, knob), **refusals.of(layer, knob)}
        if given.value in refused:
            note = f"A run will refuse it: {refused[given.value]}. {note}".strip()
        measured = measured_choices(outlook, knob, activations)
        own = given.origin is not Origin.DEFAULT
        cells.append(KnobCell(given.value, own, None, note, bool(given.given_by), refused, measured))
    return LayerRow(
        name=layer.name,
        label=labels[layer.name],
        op=layer.op,
        shape=numbers.shape_text(layer.weight_shape),
        params=layer.params,
        macs=layer.macs,
        knobs=tuple(cells),
        drops=drops.get(layer.name, ()),
        group=layer.group or "",
        coupled=coupled,
        blocked=layer.blocked,
        beside=partners[KEEP.name],
    )


def _drops(sensitivities: Sensitivities | None, knobs: Iterable[Knob]) -> dict[str, tuple[Drop, ...]]:
    if sensitivities is None:
        return {}
    knob = next((knob for knob in knobs if knob.name == sensitivities.knob), None)
    # Points are stored with floats; bits are shown as the whole numbers they are.
    whole = knob is not None and isinstance(knob.untouched, int)
    found: dict[str, list[Drop]] = {}
    for point in sensitivities.points:
        value = int(point.value) if whole and not isinstance(point.value, str) else point.value
        found.setdefault(point.layer, []).append(
            Drop(value, point.likely, point.likely_ci95, point.samples, point.provisional)
        )
    return {layer: tuple(sorted(drops, key=_mildest_first)) for layer, drops in found.items()}


def _mildest_first(drop: Drop) -> tuple[bool, float]:
    if isinstance(drop.value, str):
        return (True, 0.0)
    # Bits count down towards the harsher setting, shares count up.
    return (False, -drop.value if drop.value > 1 else drop.value)
