"""Layer by layer what the original and candidates take in time, and how far outputs are from the original's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.domain.comparison_reports import ComparisonReport
from workbench.domain.ladder import IDENTICAL_DB
from workbench.domain.measurements import LatencyReport, ModelLatency
from workbench.domain.operator_kinds import KIND_TITLES, operator_kind
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.figure_model import Column, FigureTable
from workbench.ui.models.layer_table import layer_labels
from workbench.ui.models.number_column import measured_column

Times = Mapping[str, float]
_ELSEWHERE = "outside layers"


def layer_comparison(
    state: ProjectState,
    chosen: Sequence[Candidate],
    report: ComparisonReport | None = None,
    together: LatencyReport | None = None,
) -> FigureTable:
    """Return a row for every layer of the original, then one for each operator that belongs to no layer.

    Args:
        state: The document.
        chosen: The candidates.
        report: Errors of layers, where they were looked at.
        together: Times of all files in one run, where they were taken; else those of each candidate's own run.
    """
    if state.inspect is None or not chosen:
        return FigureTable()
    labels = layer_labels(state.inspect)
    layers = [layer.name for layer in state.inspect.layers]
    times, shared = _times(state, chosen, together)
    extra = sorted({name for own in times for name in own if name not in labels})
    rows = [*layers, *extra]
    columns = [
        Column(
            "Layer",
            [labels.get(name) or f"{name}, {_what_for(name)}" for name in rows],
            [number if name in labels else len(layers) + number for number, name in enumerate(rows)],
            words=True,
        )
    ]
    heads = ["Original, ms", *(f"{candidate.name}, ms" for candidate in chosen)]
    how = "All files in one run, interleaved" if shared else "Each candidate beside the original in its own run"
    for number, (heading, own) in enumerate(zip(heads, times, strict=True)):
        if number == 0 or any(own.values()):
            before = times[0] if shared and number else {}
            columns.append(_time_column(heading, rows, own, before, f"Median time of the layer's operators. {how}"))
    for number, candidate in enumerate(chosen):
        if report is not None and report.layers:
            columns.append(_error_column(candidate.name, rows, report, number))
    return FigureTable(tuple(columns), tuple((name,) if name in labels else () for name in rows))


def _what_for(op: str) -> str:
    """Return what an operator of no layer is there for, in words."""
    kind = operator_kind(op)
    return KIND_TITLES[kind] if kind in ("layout", "conversion") else _ELSEWHERE


def lacks_times(state: ProjectState, chosen: Sequence[Candidate], together: LatencyReport | None) -> bool:
    """Whether the times of some file's operators are not known."""
    times, _ = _times(state, chosen, together)
    return not all(any(own.values()) for own in times)


def _times(
    state: ProjectState, chosen: Sequence[Candidate], together: LatencyReport | None
) -> tuple[list[Times], bool]:
    """Return the times of the original and of each candidate, and whether they were taken in one run."""
    if together is not None:
        return [_by_layer(model) for model in together.models], True
    own = [_by_layer(candidate.report.latency) for candidate in chosen]
    reports = (state.baseline_latency, *(candidate.report.latency_report for candidate in chosen))
    originals = (_by_layer(report.models[0]) for report in reports if report is not None and report.models)
    return [next((times for times in originals if any(times.values())), {}), *own], False


def _by_layer(model: ModelLatency | None) -> dict[str, float]:
    """Return milliseconds by layer, and by operator for those of no layer."""
    found: dict[str, float] = {}
    for entry in () if model is None else model.operators:
        key = entry.layer or entry.op
        found[key] = found.get(key, 0.0) + entry.median_ms
    return found


def _time_column(heading: str, rows: Sequence[str], own: Times, before: Times, tip: str) -> Column:
    tips = []
    for name in rows:
        old, new = before.get(name), own.get(name)
        tips.append("" if not old or new is None else f"{numbers.fixed(new / old, 2)} of the original's time")
    return Column(
        heading,
        [numbers.NOTHING if name not in own else numbers.fixed(own[name], 4) for name in rows],
        [own.get(name) for name in rows],
        tip=tip,
        tips=tips,
    )


def _error_column(name: str, rows: Sequence[str], report: ComparisonReport, number: int) -> Column:
    found = {entry.layer: entry.sqnr_db[number] for entry in report.layers}
    values = [found.get(row) for row in rows]
    present = sorted(value for value in values if value is not None)
    # The worst tenth stands out: that is where to look first.
    low = present[len(present) // 10] if present and present[0] < IDENTICAL_DB else None
    shown = measured_column([None if value is None or value >= IDENTICAL_DB else (value, None) for value in values])
    return Column(
        f"{name}, SQNR dB",
        [
            "identical" if value is not None and value >= IDENTICAL_DB else text
            for value, text in zip(values, shown, strict=True)
        ],
        values,
        tip="How far the layer's output is from the original's, over the channels that are left, on "
        f"{numbers.plural(report.layer_samples, 'sample')}: the lower, the worse",
        tones=["strong" if low is not None and value is not None and value <= low else "" for value in values],
    )
