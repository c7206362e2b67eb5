"""The embedded demo without a window: the whole main job once, from a model to a front of measured files."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import Any

from workbench.cli import formats
from workbench.cli.console import Console
from workbench.cli.project_verbs import new_project
from workbench.cli.recording import add_candidate
from workbench.data.description_file import read_data_description
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, JobError, StorageError
from workbench.domain.installation import own_command, shipped_folder
from workbench.domain.measurements import MetricMeasurement
from workbench.domain.reports import CandidateReport, DemoReport, SweepReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob, EvaluateJob, SweepJob
from workbench.methods.recipe_file import read_recipe
from workbench.project.copying import copy_whole
from workbench.project.document import Document
from workbench.project.results import with_points
from workbench.project.state import Change
from workbench.worker.dispatch import run_job

_TOLERATED_DROP = 0.015


def demo_folder() -> Path:
    """Return the folder of the demo's model, data and recipes.

    Raises:
        BadInputError: this installation was made without it.
    """
    resources = shipped_folder("resources")
    if resources is None or not (resources / "demo" / "model.onnx").is_file():
        raise BadInputError("the demo's files are missing", action="Install the workbench again.")
    return resources / "demo"


def demo(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Run the demo and write project, front and best file to `--out`."""
    folder = demo_folder()
    out = Path(options.out).absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make the folder: {error.strerror}", where=str(out), action="Use --out.") from error
    path = _free_name(out, "demo", ".mcw")
    data = read_data_description(folder / "data.yaml")
    recipes = {
        file.stem[2:].replace("_", " "): read_recipe(file) for file in sorted((folder / "recipes").glob("*.yaml"))
    }
    model = folder / "model.onnx"
    with new_project(path, model, data) as document:

        def run(spec: Any, text: str, start: float, end: float) -> dict[str, Any]:
            part = Progress(console.progress).part(start, end, text)
            return run_job(spec, JobContext(progress=part, cancel=cancel))

        payload = run(EvaluateJob(model=str(model), data=data), "original", 0.0, 0.03)
        document.record(Change.BASELINE, baseline=MetricMeasurement.model_validate(payload))
        sweep = SweepJob(
            model=str(model), data=data, method="quantize.ptq", knob="weight_bits", values=(4, 2), samples=500
        )
        _record_sweep(document, SweepReport.model_validate(run(sweep, "sensitivities", 0.03, 0.15)))
        made: list[tuple[str, CandidateReport]] = []
        for number, (name, recipe) in enumerate(recipes.items()):
            target = out / f"{name.replace(' ', '_')}.onnx"
            spec = CompressJob(
                model=str(model), recipe=recipe, out=str(target), cache=str(out / "steps"), latency_seconds=2.0
            )
            start, end = (0.15 + 0.85 * (number + i) / len(recipes) for i in (0, 1))
            report = CandidateReport.model_validate(run(spec, name, start, end))
            add_candidate(document, recipe, report, name)
            made.append((name, report))
    best = out / "best.onnx"
    copy_whole(Path(_best(made)[1].candidate.path), best)
    front = out / "front.png"
    _draw_front(path, front)
    result = DemoReport(
        project=str(path), front_png=str(front), best_model=str(best), candidates=tuple(report for _, report in made)
    )
    text = "\n".join(
        [
            formats.candidates(made),
            f"best within {100 * _TOLERATED_DROP:g} points: {_best(made)[0]} → {best}",
            f"front: {front}",
            f"project: {path} (open it with: workbench {path})",
        ]
    )
    console.result(result.model_dump(mode="json"), text)
    return 0


def _record_sweep(document: Document, report: SweepReport) -> None:
    merged = with_points((), report.method, report.knob, report.metric, report.points, report.baseline)
    document.record(Change.SENSITIVITY, sensitivities=merged)


def _best(made: list[tuple[str, CandidateReport]]) -> tuple[str, CandidateReport]:
    """Return the fastest candidate within the tolerated drop, or the most accurate one where none is."""

    def drop(report: CandidateReport) -> float:
        return 1.0 if report.difference is None else -report.difference.value

    good = [entry for entry in made if drop(entry[1]) <= _TOLERATED_DROP]
    if good:
        return min(good, key=lambda entry: entry[1].latency.ratio_to_first.median if entry[1].latency else 1.0)
    return min(made, key=lambda entry: drop(entry[1]))


def _draw_front(project: Path, target: Path) -> None:
    """Draw the project's front as the window does, in a process of its own that needs no display."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = own_command("draw-front", str(project), str(target))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not target.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise JobError(
            "the front could not be drawn",
            found=last,
            action="Qt's system libraries may be missing; packaging/start.sh installs them. The project is complete.",
        )


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    path = folder / f"{stem}{suffix}"
    number = 2
    while path.exists():
        path = folder / f"{stem}-{number}{suffix}"
        number += 1
    return path
