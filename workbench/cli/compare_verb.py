"""The verb that compares model files on the same samples: by class, by layer, and which samples changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.cli import formats
from workbench.cli.console import Console, table
from workbench.cli.option_values import MOST_BATCH, absolute, context, samples, within
from workbench.data.description_file import read_data_description
from workbench.domain.cancel import CancelToken
from workbench.domain.comparison_reports import ClassFigure, ComparisonReport
from workbench.domain.errors import BadInputError
from workbench.domain.ladder import IDENTICAL_DB
from workbench.jobs.specs import CompareJob
from workbench.worker.dispatch import run_job

_MOST_SHOWN, _LONGEST_NAME = 12, 32


def compare(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Compare the models with the first one, and print the report.

    Raises:
        BadInputError: fewer than two models.
    """
    if len(options.models) < 2:
        raise BadInputError(
            "only one model is named", expected="the original and at least one other", where=options.models[0]
        )
    spec = CompareJob(
        models=tuple(absolute(model) for model in options.models),
        data=read_data_description(Path(options.data)),
        samples=samples(options.samples),
        pictures=within(options.pictures, 0, MOST_BATCH, "--pictures"),
        layer_samples=within(options.compared, 0, MOST_BATCH, "--compared"),
    )
    payload = run_job(spec, context(console, cancel))
    console.result(payload, as_text(ComparisonReport.model_validate(payload)))
    return 0


def as_text(report: ComparisonReport) -> str:
    """Return the report as people read it."""
    names = _names(report)
    share = report.class_measure == "accuracy"
    rows = [
        [
            name,
            "-" if model.metric is None else formats.metric(model.metric),
            "-" if model.difference is None else f"{model.difference.value:+.5g}",
            "-" if number == 0 else str(model.changed),
            *("-" if number == 0 else str(count) for count in (model.worse, model.better, model.other)),
        ]
        for number, (name, model) in enumerate(zip(names, report.models, strict=True))
    ]
    parts = [
        table(
            ["model", report.metric, "difference", "samples that differ", "worse", "better", "other"],
            rows,
            right=(2, 3, 4, 5, 6),
        )
    ]
    if report.classes:
        head = ["class", "samples", *names, *(f"change {name}" for name in names[1:])]
        parts.append(
            table(
                head,
                [
                    [entry.name, str(entry.samples), *map(_figure, entry.figures), *map(_change, entry.figures[1:])]
                    for entry in report.classes
                ],
                right=tuple(range(1, len(head))),
            )
        )
    elif report.no_classes:
        parts.append(report.no_classes)
    if report.layers:
        errors = [[entry.layer, *map(_decibel, entry.sqnr_db)] for entry in report.layers]
        head = ["layer, signal to error in dB", *names[1:]]
        parts.append(table(head, errors, right=tuple(range(1, len(head)))))
    if report.changed:
        shown = report.changed[:_MOST_SHOWN]
        changes = [
            [str(entry.index), entry.label or "-", *(entry.predictions or [f"{moved:.3g}" for moved in entry.moved])]
            for entry in shown
        ]
        head = ["sample", "label", *(names if shown[0].predictions else names[1:])]
        parts.append(table(head, changes))
        what = "are predicted otherwise" if share and report.task == "classification" else "come out otherwise"
        parts.append(f"{report.changed_total} of {report.samples} samples {what}; --json lists them.")
    return "\n\n".join([*parts, *(f"note: {note}" for note in report.notes)])


def _names(report: ComparisonReport) -> list[str]:
    """Return the files' names, with their folders where they would be the same."""
    paths = [Path(model.path) for model in report.models]
    # Artifacts of projects are named by their hash, of which the beginning says as much.
    short = [path.stem if len(path.stem) <= _LONGEST_NAME else f"{path.stem[:10]}…" for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _figure(figure: ClassFigure) -> str:
    return f"{figure.value:.1%}"


def _change(figure: ClassFigure) -> str:
    difference = figure.difference
    if difference is None:
        return "-"
    low, high = difference.ci95
    return f"{100 * difference.value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _decibel(value: float | None) -> str:
    return "-" if value is None else "identical" if value >= IDENTICAL_DB else f"{value:.1f}"
