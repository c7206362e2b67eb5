"""The verb that measures sensitivities: of single layers, of all but one, of pairs, or estimated in seconds."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from workbench.cli import sweep_formats
from workbench.cli.console import Console
from workbench.cli.option_values import absolute, context, parameter, samples, value, within
from workbench.cli.recording import Recording
from workbench.data.description_file import read_data_description
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import BadInputError, CancelledError
from workbench.domain.knobs import Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.reports import InspectReport, SweepReport
from workbench.domain.sensitivity_reports import EstimateReport, InteractionsReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import EstimateJob, InspectJob, InteractionsJob, SweepJob
from workbench.project.places import sensitivity_store
from workbench.worker.dispatch import run_job


def sweep(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Run the sweep that the options ask for, and print its report.

    Raises:
        BadInputError: options that don't go together, or layers that don't exist.
    """
    _refuse_contradictions(options)
    values = tuple(value(text) for text in options.values.split(","))
    model = absolute(options.model)
    common: dict[str, Any] = {
        "model": model,
        "data": read_data_description(Path(options.data)),
        "method": options.method,
        "parameters": dict(parameter(text) for text in options.set),
        "knob": options.knob,
        "layers": _layers(model, options.layers, cancel),
        "seed": within(options.seed, 0, 2**32 - 1, "--seed"),
    }
    if options.estimate:
        by = options.estimator or "divergence"
        return _estimate(EstimateJob(values=values, estimator=by, **common), options, console, cancel)
    common |= {
        "samples": samples(options.samples),
        "early": not options.all_samples,
        "store": _store(options),
    }
    if options.pairs:
        return _pairs(common, values, options, console, cancel)
    direction: Literal["only", "all but"] = "all but" if options.all_but else "only"
    spec = SweepJob(values=values, direction=direction, budget=options.budget, **common)
    finished: list[SensitivityPoint] = []
    run = replace(
        context(console, cancel), partial=lambda _, point: finished.append(SensitivityPoint.model_validate(point))
    )
    with Recording(options, spec.data) as recording:
        try:
            payload = run_job(spec, run)
        except CancelledError:
            if finished and not options.all_but:
                recording.points(spec.method, spec.knob, spec.data.metric, finished)
            raise
        report = SweepReport.model_validate(payload)
        if not options.all_but:
            recording.swept(report)
    console.result(payload, sweep_formats.sweep(report))
    return 0


def _estimate(spec: EstimateJob, options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    with Recording(options, spec.data) as recording:
        measured = recording.measured(spec.method, spec.knob)
        payload = run_job(spec.model_copy(update={"measured": measured}), context(console, cancel))
    console.result(payload, sweep_formats.estimate(EstimateReport.model_validate(payload)))
    return 0


def _pairs(
    common: dict[str, Any],
    values: Sequence[Setting],
    options: argparse.Namespace,
    console: Console,
    cancel: CancelToken,
) -> int:
    if len(values) != 1:
        raise BadInputError(f"--values names {len(values)} values", expected="one, which both layers of a pair take")
    spec = InteractionsJob(value=values[0], **common)
    with Recording(options, spec.data):
        payload = run_job(spec, context(console, cancel))
    console.result(payload, sweep_formats.interactions(InteractionsReport.model_validate(payload)))
    return 0


def _store(options: argparse.Namespace) -> str | None:
    """Return the file to resume from; what a project is told must not be lost either when the run is killed."""
    if options.store is not None:
        return absolute(options.store)
    return None if options.project is None else str(sensitivity_store())


def _refuse_contradictions(options: argparse.Namespace) -> None:
    chosen = [name for name in ("estimate", "pairs", "all_but") if getattr(options, name)]
    if len(chosen) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise BadInputError(f"{names} ask for different things", action="Run the command once for each.")
    if options.budget is not None and (options.estimate or options.pairs or options.all_samples):
        raise BadInputError(
            "--budget ends settings of a sweep early",
            expected="neither --estimate nor --pairs nor --all-samples beside it",
        )
    if options.budget is not None and not 0 <= options.budget < math.inf:
        raise BadInputError(f"--budget is {options.budget}", expected="a drop of 0 or more, such as 0.01")
    if options.estimator and not options.estimate:
        raise BadInputError("--estimator says what an estimate looks at", action="Give --estimate too.")
    if options.estimate and (options.store is not None or options.all_samples):
        raise BadInputError("an estimate keeps nothing and has its own samples", action="Leave --estimate out.")


def _layers(model: str, globs: Sequence[str], cancel: CancelToken) -> tuple[str, ...]:
    """Return the layers that the globs match; () for all."""
    if not globs:
        return ()
    report = InspectReport.model_validate(run_job(InspectJob(model=model), JobContext(cancel=cancel)))
    names = [layer.name for layer in report.layers]
    layers = tuple(name for name in names if any(fnmatchcase(name, glob) for glob in globs))
    if not layers:
        raise BadInputError(
            f"--layers {' '.join(globs)} matches no layer",
            where=model,
            action="Run `workbench inspect` for the names.",
        )
    return layers
