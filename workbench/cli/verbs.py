"""Turns a verb's arguments into a job spec, runs the job here and prints its report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from workbench.cli import formats
from workbench.cli.console import Console, table
from workbench.cli.demo import demo
from workbench.cli.device_verbs import device
from workbench.cli.project_verbs import project
from workbench.cli.recording import Recording, dimensions_of, name_and_value, require_writable, whole_number
from workbench.cli.search_verb import search
from workbench.data.description_file import read_data_description
from workbench.data.yaml_text import read_scalar
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, CancelledError, RecipeError, WorkbenchError
from workbench.domain.ladder import LadderReport
from workbench.domain.measurements import LatencyReport, MetricMeasurement, SensitivityPoint
from workbench.domain.preflight import Preflight
from workbench.domain.recipe import Recipe
from workbench.domain.remote_device import LOCAL
from workbench.domain.reports import CandidateReport, InspectReport, ModelSummary, SweepReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import (
    CheckPluginJob,
    CompressJob,
    EvaluateJob,
    ImportJob,
    InspectJob,
    LadderJob,
    ListMethodsJob,
    PreflightJob,
    ProfileJob,
    SweepJob,
)
from workbench.methods.candidate import require_model_name
from workbench.methods.recipe_file import read_recipe
from workbench.worker.dispatch import run_job

# The runtime starts as many threads as it is asked for, a hundred thousand too.
_MOST_THREADS = 256
_MOST_BATCH = 65536

Verb = Callable[[argparse.Namespace, Console, CancelToken], int]


def context(console: Console, cancel: CancelToken) -> JobContext:
    """Return a job context that reports to the console."""
    return JobContext(progress=Progress(console.progress), cancel=cancel, log=console.log)


def _inspect(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    with Recording(options) as recording:
        spec = InspectJob(
            model=_absolute(options.model),
            dimensions=recording.dimensions,
            drawing=options.project is not None,
        )
        payload = run_job(spec, context(console, cancel))
        report = InspectReport.model_validate(payload)
        recording.inspected(report)
    console.result(report.model_dump(mode="json", exclude={"drawing"}), formats.inspect(report))
    return 0


def _evaluate(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    spec = EvaluateJob(
        model=_absolute(options.model),
        data=read_data_description(Path(options.data)),
        samples=_samples(options.samples),
        threads=_within(options.threads, 0, _MOST_THREADS, "--threads"),
        device=options.device,
    )
    if options.project is not None and options.device != LOCAL:
        raise BadInputError(
            f"--project keeps metrics that were taken on this computer, not on {options.device!r}",
            action="Leave one of --project and --device out.",
        )
    with Recording(options, spec.data) as recording:
        payload = run_job(spec, context(console, cancel))
        measurement = MetricMeasurement.model_validate(payload)
        recording.evaluated(measurement)
    console.result(payload, f"{measurement.metric}: {formats.metric(measurement)}")
    return 0


def _ladder(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    spec = LadderJob(
        model=_absolute(options.model),
        data=read_data_description(Path(options.data)),
        original=None if options.original is None else _absolute(options.original),
        samples=_samples(options.samples),
        compared_samples=_within(options.compared, 1, _MOST_BATCH, "--compared"),
    )
    payload = run_job(spec, context(console, cancel))
    console.result(payload, formats.ladder(LadderReport.model_validate(payload)))
    return 0


def _profile(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    if not options.seconds > 0:
        raise BadInputError(f"--seconds is {options.seconds}", expected="a positive number")
    spec = ProfileJob(
        models=tuple(_absolute(model) for model in options.models),
        device=options.device,
        threads=_within(options.threads, 1, _MOST_THREADS, "--threads"),
        batch=_within(options.batch, 1, _MOST_BATCH, "--batch"),
        seconds=options.seconds,
    )
    with Recording(options) as recording:
        payload = run_job(spec.model_copy(update={"dimensions": recording.dimensions}), context(console, cancel))
        report = LatencyReport.model_validate(payload)
        recording.profiled(report)
    console.result(payload, formats.latency(report))
    return 0


def _sweep(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    model = _absolute(options.model)
    layers: tuple[str, ...] = ()
    if options.layers:
        quiet = JobContext(cancel=cancel)
        names = [layer.name for layer in InspectReport.model_validate(run_job(InspectJob(model=model), quiet)).layers]
        layers = tuple(name for name in names if any(fnmatchcase(name, glob) for glob in options.layers))
        if not layers:
            raise BadInputError(
                f"--layers {' '.join(options.layers)} matches no layer",
                where=model,
                action="Run `workbench inspect` for the names.",
            )
    spec = SweepJob(
        model=model,
        data=read_data_description(Path(options.data)),
        method=options.method,
        parameters=dict(_parameter(text) for text in options.set),
        knob=options.knob,
        values=tuple(_value(text) for text in options.values.split(",")),
        layers=layers,
        samples=_samples(options.samples),
        seed=_within(options.seed, 0, 2**32 - 1, "--seed"),
        store=None if options.store is None else _absolute(options.store),
    )
    finished: list[SensitivityPoint] = []
    run = replace(
        context(console, cancel), partial=lambda _, point: finished.append(SensitivityPoint.model_validate(point))
    )
    with Recording(options, spec.data) as recording:
        try:
            payload = run_job(spec, run)
        except CancelledError:
            if finished:
                recording.points(spec.method, spec.knob, spec.data.metric, finished)
            raise
        report = SweepReport.model_validate(payload)
        recording.swept(report)
    console.result(payload, formats.sweep(report))
    return 0


def _compress(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    recipe = read_recipe(Path(options.recipe))
    if options.device != "local":
        recipe = recipe.model_copy(update={"device": options.device})
    spec = CompressJob(
        model=_absolute(options.model),
        recipe=recipe,
        out=_absolute(options.out),
        cache=None if options.cache is None else _absolute(options.cache),
        threads=_within(options.threads, 1, _MOST_THREADS, "--threads"),
        batch=_within(options.batch, 1, _MOST_BATCH, "--batch"),
        measure_latency=not options.no_latency,
    )
    with Recording(options, recipe.data if isinstance(recipe.data, DataDescription) else None) as recording:
        foretold: dict[str, Any] | None = None
        if options.predict:
            foretold = run_job(_foretelling(options, recipe, recording.dimensions), context(console, cancel))
        payload = run_job(spec.model_copy(update={"dimensions": recording.dimensions}), context(console, cancel))
        report = CandidateReport.model_validate(payload)
        if foretold is not None:
            report = report.model_copy(update={"prediction": Preflight.model_validate(foretold).prediction})
            payload = report.model_dump(mode="json")
        recording.compressed(report, recipe)
    console.result(payload, formats.candidate(report))
    return 0


def _preflight(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    recipe = read_recipe(Path(options.recipe))
    payload = run_job(_foretelling(options, recipe, dimensions_of(options)), context(console, cancel))
    console.result(payload, formats.preflight(Preflight.model_validate(payload)))
    return 0


def _foretelling(options: argparse.Namespace, recipe: Recipe, dimensions: dict[str, int]) -> PreflightJob:
    return PreflightJob(
        model=_absolute(options.model),
        recipe=recipe if options.device == "local" else recipe.model_copy(update={"device": options.device}),
        threads=_within(options.threads, 1, _MOST_THREADS, "--threads"),
        batch=_within(options.batch, 1, _MOST_BATCH, "--batch"),
        dimensions=dimensions,
        remember=not getattr(options, "fresh", False),
    )


def _import(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    require_model_name(Path(options.out))
    name, colon, function = options.source.rpartition(":")
    factory = bool(colon) and name.endswith(".py")
    source = f"{_absolute(name)}:{function}" if factory else _absolute(options.source)
    trusted = options.trust
    if not trusted and (factory or options.source.lower().endswith(".pt2")) and sys.stdin.isatty():
        print(f"Importing may run code from {name if factory else options.source}.", file=sys.stderr)
        trusted = _confirm("Do you trust where it comes from? [y/N] ")
    spec = ImportJob(source=source, out=_absolute(options.out), trusted=trusted)
    recorded = argparse.Namespace(project=options.project, model=options.out)
    if options.project is not None:
        require_writable(Path(_absolute(options.project)))
    payload = run_job(spec, context(console, cancel))
    model = ModelSummary.model_validate(payload)
    with Recording(recorded) as recording:
        recording.imported()
    console.result(payload, f"{model.path}: {formats.count(model.params)} parameters, opset {model.opset}")
    return 0


def _plugin(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    if options.action == "new":
        from workbench.plugin_host.template import new_plugin

        folder = Path(options.folder).absolute()
        written = new_plugin(folder, folder.name)
        console.result({"folder": str(folder), "files": [str(path) for path in written]}, f"wrote {folder}")
        return 0
    if options.action == "list":
        payload = run_job(ListMethodsJob(), context(console, cancel))
        rows = [[m["id"], m["stage"], m["title"], ", ".join(m["knobs"]), m["plugin"]] for m in payload["methods"]]
        text = table(["method", "stage", "title", "knobs", "plugin"], rows)
        more = [
            f"{kind} {entry['name']}: {entry['title']} (plugin {entry['plugin']})"
            for kind in ("metric", "reader")
            for entry in payload[f"{kind}s"]
            if entry["plugin"]
        ]
        failures = [f"not loaded: {WorkbenchError.from_json(failure)}" for failure in payload["failures"]]
        console.result(payload, "\n".join([text, *more, *failures]))
        return 0
    if not Path(options.folder).is_dir():
        raise BadInputError("there is no such folder", where=options.folder, expected="a folder with a plugin.toml")
    payload = run_job(CheckPluginJob(path=_absolute(options.folder)), context(console, cancel))
    lines = [f"{'ok  ' if c['passed'] else 'FAIL'} {c['name']}  {c['message']}".rstrip() for c in payload["checks"]]
    console.result(payload, "\n".join(lines))
    return 0 if all(check["passed"] for check in payload["checks"]) else 1


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _samples(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    number = whole_number(text)
    if number is None:
        raise BadInputError(f"--samples is {text!r}", expected="a positive number, or all")
    return number


def _within(number: int, low: int, high: int, name: str) -> int:
    if not low <= number <= high:
        raise BadInputError(f"{name} is {number}", expected=f"a number from {low} to {high}")
    return number


def _parameter(text: str) -> tuple[str, Any]:
    name, value = name_and_value(text, "--set")
    return name, read_scalar(value, f"--set {name}")


def _value(text: str) -> float | int | str:
    value = read_scalar(text.strip() or '""', "--values")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value == "":
        raise RecipeError(f"--values contains {text!r}", expected="numbers or words separated by commas")
    return value


def _confirm(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


VERBS: dict[str, Verb] = {
    "demo": demo,
    "inspect": _inspect,
    "evaluate": _evaluate,
    "ladder": _ladder,
    "profile": _profile,
    "sweep": _sweep,
    "preflight": _preflight,
    "compress": _compress,
    "search": search,
    "project": project,
    "plugin": _plugin,
    "device": device,
    "import": _import,
}
