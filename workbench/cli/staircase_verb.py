"""The verb that times layers against their number of channels, and prints which counts pay."""

from __future__ import annotations

import argparse

from workbench.cli.console import Console, table
from workbench.cli.option_values import MOST_BATCH, MOST_THREADS, absolute, context, within
from workbench.cli.recording import Recording
from workbench.domain.cancel import CancelToken
from workbench.domain.staircase import STAIR_TITLES, LayerStaircase, StaircaseReport, Stairs
from workbench.jobs.specs import StaircaseJob
from workbench.worker.dispatch import run_job


def staircase(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Time the layers that the options name, and print the report.

    Raises:
        BadInputError: a glob that matches no layer, or an option out of range.
        DeviceError: the device can't be reached.
    """
    spec = StaircaseJob(
        model=absolute(options.model),
        layers=tuple(options.layers),
        device=options.device,
        threads=within(options.threads, 1, MOST_THREADS, "--threads"),
        batch=within(options.batch, 1, MOST_BATCH, "--batch"),
        remember=not options.fresh,
    )
    with Recording(options) as recording:
        known = () if options.fresh else recording.staircases
        spec = spec.model_copy(update={"dimensions": recording.dimensions, "shared": known})
        payload = run_job(spec, context(console, cancel))
        recording.climbed(StaircaseReport.model_validate(payload))
    console.result(payload, _text(StaircaseReport.model_validate(payload)))
    return 0


def _text(report: StaircaseReport) -> str:
    device = report.device
    lines = [
        f"{device.name}: {device.cpu}, {device.threads} thread(s), {device.runtime}, batch {report.batch}",
        "Microseconds of the layer's kernel, and of those of all layers that lose channels with it, by the number of",
        "channels; * marks counts that no larger one matches.",
    ]
    return "\n".join([*lines, *(_layer(entry) for entry in report.layers)])


def _layer(entry: LayerStaircase) -> str:
    if not entry.curves:
        return f"\n{entry.layer} ({entry.op}): {entry.reason or 'not measured'}"
    counts = [point.channels for point in entry.curves[0].points]
    shown = (*entry.curves, *entry.together)
    rows = [[str(count), *(_cell(curve, count) for curve in shown)] for count in counts]
    heads = ["channels", *(STAIR_TITLES[curve.form] for curve in entry.curves)]
    heads += [f"{STAIR_TITLES[curve.form]}, {entry.members} layers" for curve in entry.together]
    return f"\n{entry.layer} ({entry.op}), {entry.channels} channels\n" + table(heads, rows, right=range(len(heads)))


def _cell(curve: Stairs, channels: int) -> str:
    point = curve.at(channels)
    if point is None:
        return ""
    return f"{point.microseconds:.1f}{'*' if channels in curve.edges else ' '}"
