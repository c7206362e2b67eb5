"""The verb that measures latency, and with options the roofline of layers, throughput and energy too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.cli import formats, profile_formats
from workbench.cli.console import Console
from workbench.cli.option_values import MOST_BATCH, MOST_THREADS, absolute, context, within
from workbench.cli.recording import Recording
from workbench.domain.cancel import CancelToken
from workbench.domain.energy import EnergyCoefficients, EnergyReport
from workbench.domain.errors import BadInputError
from workbench.domain.measurements import LatencyReport
from workbench.domain.roofline import RooflineReport
from workbench.domain.throughput import ThroughputReport
from workbench.jobs.specs import EnergyJob, ProfileJob, RooflineJob, ThroughputJob
from workbench.project.energy_setting import energy_coefficients
from workbench.worker.dispatch import run_job

_MOST_STREAMS = 64


def profile(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Measure the models, print the report and record it.

    Raises:
        BadInputError: an option out of range, or coefficients that can't be read.
        DeviceError: the device can't be reached.
    """
    if not options.seconds > 0:
        raise BadInputError(f"--seconds is {options.seconds}", expected="a positive number")
    streams = within(options.streams, 1, _MOST_STREAMS, "--streams")
    if streams != 1 and not options.throughput:
        raise BadInputError("--streams is of --throughput", action="Add --throughput, or leave --streams out.")
    if options.fresh and not options.roofline:
        raise BadInputError("--fresh is of --roofline", action="Add --roofline, or leave --fresh out.")
    if options.coefficients is not None and not options.energy:
        raise BadInputError("--coefficients is of --energy", action="Add --energy, or leave --coefficients out.")
    coefficients = _coefficients(options.coefficients) if options.energy else EnergyCoefficients()
    common: dict[str, Any] = {
        "device": options.device,
        "threads": within(options.threads, 1, MOST_THREADS, "--threads"),
        "batch": within(options.batch, 1, MOST_BATCH, "--batch"),
    }
    models = tuple(absolute(model) for model in options.models)
    with Recording(options) as recording:
        common["dimensions"] = recording.dimensions
        payload = run_job(ProfileJob(models=models, seconds=options.seconds, **common), context(console, cancel))
        report = LatencyReport.model_validate(payload)
        recording.profiled(report)
        parts = [formats.latency(report)]
        if options.roofline:
            rooflines: list[RooflineReport] = []
            for model in models:
                console.restart_progress()
                spec = RooflineJob(model=model, renew=options.fresh and not rooflines, **common)
                rooflines.append(RooflineReport.model_validate(run_job(spec, context(console, cancel))))
            recording.rooflined(rooflines[0])
            payload["rooflines"] = [found.model_dump(mode="json") for found in rooflines]
            parts.extend(profile_formats.roofline(found) for found in rooflines)
        if options.throughput:
            console.restart_progress()
            counting = ThroughputJob(models=models, streams=streams, seconds=options.seconds, **common)
            payload["throughput"] = run_job(counting, context(console, cancel))
            parts.append(profile_formats.throughput(ThroughputReport.model_validate(payload["throughput"])))
        if options.energy:
            console.restart_progress()
            taking = EnergyJob(models=models, coefficients=coefficients, **common)
            payload["energy"] = run_job(taking, context(console, cancel))
            parts.append(profile_formats.energy(EnergyReport.model_validate(payload["energy"])))
    console.result(payload, "\n\n".join(parts))
    return 0


def _coefficients(given: str | None) -> EnergyCoefficients:
    return energy_coefficients(None if given is None else Path(given).expanduser())
