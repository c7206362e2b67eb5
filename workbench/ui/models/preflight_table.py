"""What was foretold as text: the line that sums it up, and a row for every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from workbench.domain.preflight import INTEGER_FORMS, KernelForm, LayerOutlook, Preflight
from workbench.ui.models import numbers

HEADINGS = (
    "Layer",
    "Weight",
    "Plan",
    "Float",
    "Integers, unsigned",
    "Integers, signed",
    "Packed, 8 bits",
    "Packed, 4 bits",
    "Plan to float",
)
TOOLTIPS = (
    "Layer; double-click shows it in the graph",
    "Shape of the weight, and of what the layer reads",
    "Bits of weights and activations in the plan",
    "Median time in float by itself, in microseconds, without changes of layout",
    "The same with 8-bit weights and unsigned activations (activation_type uint8); weights of fewer bits take as long",
    "The same with signed activations (activation_type int8)",
    "The same with 8-bit weights alone, packed in blocks that the matrix product unpacks (quantize.weight_only)",
    "The same with 4-bit weights alone, packed in blocks that the matrix product unpacks (quantize.weight_only)",
    "Time of what the plan makes of the layer over that in float; red where it is surely slower",
)
_FORMS: tuple[KernelForm, ...] = get_args(KernelForm)
_FIRST_FORM = HEADINGS.index("Float")
_MICRO = "\N{NO-BREAK SPACE}\N{MICRO SIGN}s"


@dataclass(frozen=True)
class OutlookRow:
    """A layer: its cells, the cell of the form that the plan chooses, whether that is slower, and why there is none."""

    layer: str
    cells: tuple[str, ...]
    chosen: int
    slower: bool
    reason: str


def outlook_rows(report: Preflight, labels: Mapping[str, str]) -> tuple[OutlookRow, ...]:
    """Return a row per layer, in graph order; `labels` are what other tables call the layers."""
    rows = []
    for entry in report.layers:
        ratio = entry.ratio(entry.form)
        cells = (
            labels.get(entry.layer, entry.layer),
            entry.size,
            f"{entry.weight_bits} / {entry.activation_bits}",
            *(_time(entry, form) for form in _FORMS),
            numbers.NOTHING if ratio is None else f"{numbers.fixed(ratio, 2)}{numbers.TIMES}",
        )
        rows.append(OutlookRow(entry.layer, cells, _FIRST_FORM + _FORMS.index(entry.form), entry.slower, entry.reason))
    return tuple(rows)


def empty_columns(report: Preflight) -> frozenset[int]:
    """Return the columns of forms that no layer has; those of float and integers are always shown."""
    known = {time.form for entry in report.layers for time in entry.kernels} | INTEGER_FORMS | {"float32"}
    return frozenset(_FIRST_FORM + index for index, form in enumerate(_FORMS) if form not in known)


def slower_layers(report: Preflight | None) -> tuple[str, ...]:
    """Return the layers that the plan quantizes and that are surely slower for it by themselves."""
    layers = () if report is None else report.layers
    return tuple(entry.layer for entry in layers if entry.slower and entry.form != "float32")


def in_words(report: Preflight) -> str:
    """Return what the plan as a whole will take."""
    original = numbers.latency_text(report.original)
    where = f"{numbers.plural(report.device.threads, 'thread')}, batch {report.batch}"
    if report.predicted is None or report.ratio is None:
        return f"The original takes {original} ({where}). No step of the recipe changes what is computed."
    return (
        f"Foretold: {numbers.latency_text(report.predicted)}, {numbers.ratio_text(report.ratio)} of the original's "
        f"{original} ({where})."
    )


def shares_in_words(report: Preflight) -> str:
    """Return what part of the time computes nothing; "" where that is not known."""
    if report.quantizing_share is None or report.layout_share is None:
        return ""
    return (
        f"{numbers.fixed(100 * report.quantizing_share, 1)}\N{NO-BREAK SPACE}% of it in quantizers between float and "
        f"integers, {numbers.fixed(100 * report.layout_share, 1)}\N{NO-BREAK SPACE}% in changes of layout."
    )


def outlook_csv(report: Preflight) -> str:
    """Return all figures, unrounded, as comma-separated values."""
    forms = ",".join(f"{form}_us,{form}_low_us,{form}_high_us" for form in _FORMS)
    lines = [f"layer,operator,weight_bits,activation_bits,form,{forms}"]
    for entry in report.layers:
        figures: list[str] = []
        for form in _FORMS:
            time = entry.time(form)
            figures.extend(["", "", ""] if time is None else map(repr, (time.microseconds, *time.ci95)))
        bits = (str(entry.weight_bits), str(entry.activation_bits))
        lines.append(",".join([entry.layer, entry.op, *bits, entry.form, *figures]))
    return "\n".join(lines) + "\n"


def _time(entry: LayerOutlook, form: KernelForm) -> str:
    time = entry.time(form)
    return numbers.NOTHING if time is None else f"{numbers.fixed(time.microseconds, 1)}{_MICRO}"
