"""Project files from the command line: make one, look into it, run its plan, and export candidates."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from workbench.cli import formats
from workbench.cli.console import Console
from workbench.cli.recording import add_candidate, dimensions_of, require_writable
from workbench.data.description_file import read_data_description
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, ProjectError
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport, InspectReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob, InspectJob
from workbench.methods.candidate import require_model_name
from workbench.methods.recipe_file import read_recipe, write_recipe
from workbench.methods.search.front import Point, on_front
from workbench.project.commands import ReplacePlan, SetData, SetDimensions, SetModel, SetRun, SetSteps
from workbench.project.copying import copy_whole
from workbench.project.document import Document
from workbench.project.references import find_problems
from workbench.project.report_page import write_report
from workbench.project.state import Change, ModelReference, ProjectState
from workbench.worker.dispatch import run_job


def new_project(
    path: Path,
    model: Path,
    data: DataDescription | None = None,
    recipe: Recipe | None = None,
    dimensions: Mapping[str, int] | None = None,
) -> Document:
    """Make a project about a model and return its open document.

    Raises:
        ProjectError: the file exists.
        ModelFileError: the model can't be opened.
        BadInputError: `dimensions` names no dimension of the model.
        StorageError: the folder can't be written.
    """
    require_writable(path.absolute())
    spec = InspectJob(model=str(model), drawing=True, dimensions=dict(dimensions or {}))
    report = InspectReport.model_validate(run_job(spec, JobContext()))
    document = Document.create(path)
    document.do(SetModel(ModelReference(path=str(model), sha256=report.model.sha256)))
    document.do(SetDimensions(spec.dimensions))
    document.record(Change.MODEL, inspect=report)
    if data is None and recipe is not None and isinstance(recipe.data, DataDescription):
        data = recipe.data
    if data is not None:
        document.do(SetData(data, data.folder))
    if recipe is not None:
        document.do(ReplacePlan(recipe.plan))
        document.do(SetSteps(recipe.steps))
        latency = document.state.latency.model_copy(update={"device": recipe.device})
        document.do(SetRun(seed=recipe.seed, evaluate=recipe.evaluate, latency=latency))
    return document


def project(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Run `workbench project ACTION`."""
    return _ACTIONS[options.action](options, console, cancel)


def _new(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    data = None if options.data is None else read_data_description(Path(options.data))
    recipe = None if options.recipe is None else read_recipe(Path(options.recipe))
    model = Path(options.model).expanduser().absolute()
    with new_project(Path(options.file), model, data, recipe, dimensions_of(options)) as document:
        console.result({"project": str(document.path)}, f"wrote {document.path}")
    return 0


def _info(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    with Document.open(Path(options.file)) as document:
        state = document.state
        shown = [candidate for candidate in state.candidates if not candidate.deleted]
        payload = {
            "project": str(document.path),
            "model": None if state.model is None else state.model.model_dump(),
            "dimensions": state.dimensions,
            "data": None if state.data is None else state.data.model_dump(mode="json"),
            "baseline": None if state.baseline is None else state.baseline.model_dump(mode="json"),
            "plan": state.plan.model_dump(mode="json"),
            "steps": [step.model_dump(mode="json") for step in state.steps],
            "sensitivities": [
                {"method": entry.method, "knob": entry.knob, "points": len(entry.points)}
                for entry in state.sensitivities
            ],
            "candidates": [
                {"id": entry.id, "name": entry.name, "created": entry.created, **entry.report.model_dump(mode="json")}
                for entry in shown
            ],
        }
    lines = [f"model: {'none' if state.model is None else state.model.path}"]
    lines.append(f"original: {'not measured' if state.baseline is None else formats.metric(state.baseline)}")
    lines.append("steps: " + (", ".join(step.method for step in state.steps) or "none"))
    lines.extend(f"sensitivities: {e.method} {e.knob}, {len(e.points)} points" for e in state.sensitivities)
    if shown:
        lines.append(formats.candidates([(entry.name, entry.report) for entry in shown]))
    console.result(payload, "\n".join(lines))
    return 0


def _run(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    given = None if options.recipe is None else read_recipe(Path(options.recipe))
    with Document.open(Path(options.file)) as document:
        model, path = document.state.model, document.path
        if model is None or path is None:
            raise BadInputError("the project has no model", where=options.file, action="Open it and choose a model.")
        require_writable(path, document)
        for problem in find_problems(document.state):
            if problem.kind == "model_missing" or (problem.kind == "data_missing" and given is None):
                raise ProjectError(
                    problem.message, where=str(path), expected=f"it at {problem.path}", action=problem.action
                )
        recipe = given or document.state.recipe()
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-run-") as folder:
            spec = CompressJob(
                model=model.path,
                model_sha256=model.sha256,
                recipe=recipe,
                # Big models keep this name in their structure, for the file of their weights.
                out=str(Path(folder) / f"{recipe.sha256()[:16]}.onnx"),
                threads=document.state.latency.threads,
                batch=document.state.latency.batch,
                dimensions=document.state.dimensions,
            )
            context = JobContext(progress=Progress(console.progress), cancel=cancel, log=console.log)
            report = CandidateReport.model_validate(run_job(spec, context))
            added = add_candidate(document, recipe, report, options.name, moved=True)
    payload = added.report.model_dump(mode="json")
    console.result({"id": added.id, "name": added.name, **payload}, f"{added.name}\n{formats.candidate(added.report)}")
    return 0


def _export(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    require_model_name(Path(options.out))
    with Document.open(Path(options.file)) as document:
        shown = [candidate for candidate in document.state.candidates if not candidate.deleted]
        wanted = options.candidate
        found = [entry for entry in shown if wanted is None or wanted in (entry.id, entry.name)]
        if not found or document.artifacts is None:
            names = ", ".join(entry.name for entry in shown) or "none yet"
            raise BadInputError(f"there is no candidate {wanted or ''}".rstrip(), where=options.file, found=names)
        chosen = found[-1]
        out = Path(options.out).absolute()
        copy_whole(document.artifacts.path(chosen.artifact), out)
        if options.recipe is not None:
            write_recipe(chosen.recipe, Path(options.recipe))
    console.result({"path": str(out), "candidate": chosen.name, "sha256": chosen.artifact}, f"wrote {out}")
    return 0


def _report(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    out = Path(options.out).absolute()
    with Document.open(Path(options.file)) as document:
        write_report(document.state, _best(document.state), out, title=Path(options.file).stem)
    console.result({"path": str(out)}, f"wrote {out}")
    return 0


def _best(state: ProjectState) -> frozenset[str]:
    """Return the candidates that none beats in metric and latency ratio beyond the intervals."""
    ids, points = [], []
    for candidate in state.candidates:
        report = candidate.report
        if candidate.deleted or report.metric is None or report.difference is None or report.latency is None:
            continue
        ratio, change = report.latency.ratio_to_first, report.difference
        halves = [(high - low) / 2 for low, high in (ratio.ci95, change.ci95)]
        score = -change.value if report.metric.higher_is_better else change.value
        ids.append(candidate.id)
        points.append(Point((ratio.median, score), (halves[0], halves[1])))
    return frozenset(id for id, kept in zip(ids, on_front(points), strict=True) if kept)


_ACTIONS = {"new": _new, "info": _info, "run": _run, "export": _export, "report": _report}
