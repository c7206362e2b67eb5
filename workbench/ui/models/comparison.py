"""Candidates side by side as plain rows: what was measured, the steps, and what became of the graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workbench.domain.ladder import RUNG_TITLES
from workbench.domain.recipe import Step
from workbench.domain.reports import LayerState
from workbench.domain.trades import setting_text, trade_text, trades_of
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.ladder_table import rung_cells
from workbench.ui.models.layer_table import layer_labels

Value = TypeVar("Value")

ORIGINAL = "Original"


@dataclass(frozen=True)
class Row:
    """One compared thing: its name, a cell per column, and whether the cells differ."""

    title: str
    cells: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the columns say different things."""
        return len(set(self.cells)) > 1


@dataclass(frozen=True)
class Section:
    """Rows under a heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Comparison:
    """A heading per column, the original first, and sections of rows."""

    headings: tuple[str, ...]
    sections: tuple[Section, ...]

    def to_csv(self) -> str:
        """Return all rows as comma-separated values."""
        lines = [["section", "what", *self.headings]]
        lines.extend([section.title, row.title, *row.cells] for section in self.sections for row in section.rows)
        return "\n".join(",".join(_quoted(cell) for cell in line) for line in lines) + "\n"


def compare_candidates(state: ProjectState, ids: Sequence[str]) -> Comparison:
    """Put the original and the named candidates beside each other; ids that are gone are left out."""
    chosen = [entry for id in ids for entry in state.candidates if entry.id == id and not entry.deleted]
    if not chosen:
        return Comparison((ORIGINAL,), ())
    labels = {} if state.inspect is None else layer_labels(state.inspect)
    sections = (
        Section("Measured on the exported file", tuple(_measured(state, chosen))),
        Section("Truth ladder", tuple(_ladder(chosen))),
        Section("Steps", tuple(_steps(chosen))),
        Section("Layers: weight shape, weight bits / activation bits", tuple(_layers(chosen, labels))),
        *_traded(chosen, labels),
        Section("New layers", tuple(_new_layers(chosen))),
        Section("Removed output channels", tuple(_channels(chosen, labels))),
        Section("Operators", tuple(_operators(chosen))),
    )
    return Comparison((ORIGINAL, *(entry.name for entry in chosen)), tuple(entry for entry in sections if entry.rows))


def _measured(state: ProjectState, chosen: Sequence[Candidate]) -> Iterable[Row]:
    reports = [entry.report for entry in chosen]
    first = reports[0]
    original = first.baseline_metric or state.baseline
    metric = original.metric if original is not None else "metric"
    yield Row(
        numbers.metric_title(metric),
        (_or_nothing(original, numbers.metric_text), *(_or_nothing(r.metric, numbers.metric_text) for r in reports)),
    )
    yield Row(
        "Change, same samples",
        (
            numbers.NOTHING,
            *(_or_nothing(r.difference, lambda d: numbers.difference_text(d, metric)) for r in reports),
        ),
    )
    baseline = None if first.latency_report is None else first.latency_report.models[0]
    yield Row(
        "Latency, median",
        (
            _or_nothing(baseline, lambda entry: numbers.latency_text(entry.latency_ms)),
            *(_or_nothing(r.latency, lambda entry: numbers.latency_text(entry.latency_ms)) for r in reports),
        ),
    )
    yield Row(
        "Latency ratio",
        ("1", *(_or_nothing(r.latency, lambda entry: numbers.ratio_text(entry.ratio_to_first)) for r in reports)),
    )
    if any(r.prediction for r in reports):
        ratios = (_or_nothing(r.prediction, lambda entry: numbers.ratio_text(entry.ratio)) for r in reports)
        yield Row("Latency ratio as foretold", (numbers.NOTHING, *ratios))
    yield Row(
        "Measured with",
        (
            numbers.NOTHING,
            *(
                _or_nothing(
                    r.latency_report,
                    lambda report: (
                        f"{numbers.plural(report.device.threads, 'thread')}, batch {report.models[0].batch}"
                        + ("" if report.noise.quiet else ", not quiet")
                    ),
                )
                for r in reports
            ),
        ),
    )
    model = first.model
    yield Row(
        "Size",
        (numbers.size_text(model.size_bytes), *(numbers.size_text(r.candidate.size_bytes) for r in reports)),
    )
    yield Row("MACs", (numbers.count_text(model.macs), *(numbers.count_text(r.candidate.macs) for r in reports)))
    yield Row(
        "Parameters", (numbers.count_text(model.params), *(numbers.count_text(r.candidate.params) for r in reports))
    )


def _ladder(chosen: Sequence[Candidate]) -> Iterable[Row]:
    """Return what each execution of the file is worth, where one was checked."""
    ladders = [entry.ladder for entry in chosen]
    if not any(ladders):
        return
    for name, title in RUNG_TITLES.items():
        rungs = [None if ladder is None else ladder.rung(name) for ladder in ladders]
        cells = (numbers.NOTHING if rung is None else rung_cells(rung)[1] for rung in rungs)
        yield Row(title, (numbers.NOTHING, *cells))
    verdicts = (numbers.NOTHING if ladder is None else ladder.verdict for ladder in ladders)
    yield Row("Verdict", (numbers.NOTHING, *verdicts))


def _steps(chosen: Sequence[Candidate]) -> Iterable[Row]:
    enabled = [[step for step in entry.recipe.steps if step.enabled] for entry in chosen]
    for number in range(max(map(len, enabled))):
        cells = (_step_text(steps[number]) if number < len(steps) else numbers.NOTHING for steps in enabled)
        yield Row(f"Step {number + 1}", (numbers.NOTHING, *cells))
    yield Row("Seed", (numbers.NOTHING, *(str(entry.recipe.seed) for entry in chosen)))


def _step_text(step: Step) -> str:
    if not step.parameters:
        return step.method
    values = ", ".join(f"{key} {json.dumps(value)}" for key, value in sorted(step.parameters.items()))
    return f"{step.method} ({values})"


def _layers(chosen: Sequence[Candidate], labels: Mapping[str, str]) -> Iterable[Row]:
    changes = [{change.name: change for change in entry.report.layers} for entry in chosen]
    for name in dict.fromkeys(name for layers in changes for name in layers):
        before = next(layers[name].before for layers in changes if name in layers)
        cells = []
        for layers in changes:
            after = layers[name].after if name in layers else before
            cells.append(_gone_text(layers[name].branch) if after is None else _state_text(after))
        yield Row(labels.get(name, name), (_state_text(before), *cells))


def _traded(chosen: Sequence[Candidate], labels: Mapping[str, str]) -> Iterable[Section]:
    """Return what the layers' neighbouring settings would have changed, where a step chose within a budget."""
    found = [
        next((traded for step in entry.report.steps if (traded := trades_of(step.details)) is not None), None)
        for entry in chosen
    ]
    units = list(dict.fromkeys(traded.units.loss for traded in found if traded is not None))
    rows = []
    for name in dict.fromkeys(name for traded in found if traded is not None for name in traded.layers):
        cells = []
        for traded, candidate in zip(found, chosen, strict=True):
            entry = None if traded is None else traded.layers.get(name)
            if traded is None or entry is None:
                cells.append(numbers.NOTHING)
                continue
            measured = candidate.report.latency_report
            original_ms = None if measured is None else measured.models[0].latency_ms.median
            neighbours = [each for each in (entry.dearer, entry.cheaper) if each is not None]
            beside = [trade_text(each, traded.units, original_ms) for each in neighbours]
            cells.append("   ".join([setting_text(entry.bits), *(f"({text})" for text in beside)]))
        rows.append(Row(labels.get(name, name), (numbers.NOTHING, *cells)))
    yield Section(f"Chosen within the budget, and one step more or less (loss: {'; '.join(units)})", tuple(rows))


def _new_layers(chosen: Sequence[Candidate]) -> Iterable[Row]:
    found = [{layer.name: layer for layer in entry.report.new_layers} for entry in chosen]
    for name in dict.fromkeys(name for layers in found for name in layers):
        cells = []
        for layers in found:
            layer = layers.get(name)
            of = "" if layer is None or layer.origin is None else f"   of {layer.origin}"
            cells.append(numbers.NOTHING if layer is None else f"{layer.op}   {_state_text(layer.state)}{of}")
        yield Row(name, (numbers.NOTHING, *cells))


def _channels(chosen: Sequence[Candidate], labels: Mapping[str, str]) -> Iterable[Row]:
    found = [{change.name: change for change in entry.report.layers} for entry in chosen]
    for name in dict.fromkeys(name for layers in found for name in layers):
        changes = [layers.get(name) for layers in found]
        count = max((change.channels for change in changes if change is not None), default=0)
        if not count:
            continue
        cells = []
        for change in changes:
            gone = () if change is None else change.removed_channels
            text = f"{len(gone)} of {count}: {numbers.ranges_text(gone)}" if gone else "none"
            cells.append(_gone_text(change.branch) if change is not None and change.after is None else text)
        yield Row(labels.get(name, name), ("none", *cells))


def _operators(chosen: Sequence[Candidate]) -> Iterable[Row]:
    found = [{change.op: change for change in entry.report.operators} for entry in chosen]
    for op in sorted({op for changes in found for op in changes}):
        before = next(changes[op].before for changes in found if op in changes)
        yield Row(op, (str(before), *(str(changes[op].after if op in changes else before) for changes in found)))


def _gone_text(branch: str | None) -> str:
    return "removed" if branch is None else f"left out with {branch}"


def _state_text(state: LayerState) -> str:
    return f"{numbers.shape_text(state.weight_shape)}   {state.bits:g} / {state.activation_bits:g}"


def _or_nothing(value: Value | None, text: Callable[[Value], str]) -> str:
    return numbers.NOTHING if value is None else text(value)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(char in cell for char in ',"\n') else cell
