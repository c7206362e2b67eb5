"""Turns a verb's arguments into a job spec, runs the job here and prints its report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.cli import formats
from workbench.cli.compare_verb import compare
from workbench.cli.console import Console, table
from workbench.cli.demo import demo
from workbench.cli.device_verbs import device
from workbench.cli.option_values import MOST_BATCH, MOST_THREADS, absolute, context, samples, within
from workbench.cli.profile_verb import profile
from workbench.cli.project_verbs import project
from workbench.cli.recording import Recording, dimensions_of, require_writable
from workbench.cli.search_verb import search
from workbench.cli.staircase_verb import staircase
from workbench.cli.sweep_verb import sweep
from workbench.data.description_file import read_data_description
from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, WorkbenchError
from workbench.domain.ladder import LadderReport
from workbench.domain.measurements import MetricMeasurement
from workbench.domain.preflight import Preflight
from workbench.domain.recipe import Recipe
from workbench.domain.remote_device import LOCAL
from workbench.domain.reports import CandidateReport, InspectReport, ModelSummary
from workbench.jobs.specs import (
    CheckPluginJob,
    CompressJob,
    EvaluateJob,
    ImportJob,
    InspectJob,
    LadderJob,
    ListMethodsJob,
    PreflightJob,
)
from workbench.methods.candidate import require_model_name
from workbench.methods.recipe_file import read_recipe
from workbench.worker.dispatch import run_job

Verb = Callable[[argparse.Namespace, Console, CancelToken], int]


def _inspect(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    with Recording(options) as recording:
        spec = InspectJob(
            model=absolute(options.model),
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
        model=absolute(options.model),
        data=read_data_description(Path(options.data)),
        samples=samples(options.samples),
        threads=within(options.threads, 0, MOST_THREADS, "--threads"),
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
        model=absolute(options.model),
        data=read_data_description(Path(options.data)),
        original=None if options.original is None else absolute(options.original),
        samples=samples(options.samples),
        compared_samples=within(options.compared, 1, MOST_BATCH, "--compared"),
    )
    payload = run_job(spec, context(console, cancel))
    console.result(payload, formats.ladder(LadderReport.model_validate(payload)))
    return 0


def _compress(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    recipe = read_recipe(Path(options.recipe))
    if options.device != "local":
        recipe = recipe.model_copy(update={"device": options.device})
    spec = CompressJob(
        model=absolute(options.model),
        recipe=recipe,
        out=absolute(options.out),
        cache=None if options.cache is None else absolute(options.cache),
        threads=within(options.threads, 1, MOST_THREADS, "--threads"),
        batch=within(options.batch, 1, MOST_BATCH, "--batch"),
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
        model=absolute(options.model),
        recipe=recipe if options.device == "local" else recipe.model_copy(update={"device": options.device}),
        threads=within(options.threads, 1, MOST_THREADS, "--threads"),
        batch=within(options.batch, 1, MOST_BATCH, "--batch"),
        dimensions=dimensions,
        remember=not getattr(options, "fresh", False),
    )


def _import(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    require_model_name(Path(options.out))
    name, colon, function = options.source.rpartition(":")
    factory = bool(colon) and name.endswith(".py")
    source = f"{absolute(name)}:{function}" if factory else absolute(options.source)
    trusted = options.trust
    if not trusted and (factory or options.source.lower().endswith(".pt2")) and sys.stdin.isatty():
        print(f"Importing may run code from {name if factory else options.source}.", file=sys.stderr)
        trusted = _confirm("Do you trust where it comes from? [y/N] ")
    spec = ImportJob(source=source, out=absolute(options.out), trusted=trusted)
    recorded = argparse.Namespace(project=options.project, model=options.out)
    if options.project is not None:
        require_writable(Path(absolute(options.project)))
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
            for kind, kinds in (("metric", "metrics"), ("reader", "readers"), ("strategy", "strategies"))
            for entry in payload[kinds]
            if entry["plugin"]
        ]
        failures = [f"not loaded: {WorkbenchError.from_json(failure)}" for failure in payload["failures"]]
        console.result(payload, "\n".join([text, *more, *failures]))
        return 0
    if not Path(options.folder).is_dir():
        raise BadInputError("there is no such folder", where=options.folder, expected="a folder with a plugin.toml")
    payload = run_job(CheckPluginJob(path=absolute(options.folder)), context(console, cancel))
    lines = [f"{'ok  ' if c['passed'] else 'FAIL'} {c['name']}  {c['message']}".rstrip() for c in payload["checks"]]
    console.result(payload, "\n".join(lines))
    return 0 if all(check["passed"] for check in payload["checks"]) else 1


def _confirm(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


VERBS: dict[str, Verb] = {
    "demo": demo,
    "inspect": _inspect,
    "evaluate": _evaluate,
    "ladder": _ladder,
    "compare": compare,
    "profile": profile,
    "sweep": sweep,
    "staircase": staircase,
    "preflight": _preflight,
    "compress": _compress,
    "search": search,
    "project": project,
    "plugin": _plugin,
    "device": device,
    "import": _import,
}
