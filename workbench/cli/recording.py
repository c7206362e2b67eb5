"""Keeps what a verb finds in the project that `--project` names, and refuses a wrong project before the work begins."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, ProjectError, StorageError
from workbench.domain.measurements import LatencyReport, MetricMeasurement, SensitivityPoint
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport, InspectReport, SweepReport
from workbench.domain.roofline import RooflineReport
from workbench.domain.search_reports import SearchCandidate
from workbench.domain.staircase import StaircaseReport
from workbench.graph.storage import model_sha256
from workbench.jobs.context import JobContext
from workbench.jobs.specs import InspectJob
from workbench.project.commands import SetData, SetDimensions, SetModel
from workbench.project.document import Document
from workbench.project.results import new_candidate, with_points
from workbench.project.rooflines import with_roofline
from workbench.project.staircases import with_staircases
from workbench.project.state import Candidate, Change, ModelReference
from workbench.worker.dispatch import run_job
from workbench.worker.model_jobs import onnx_file


class Recording:
    """The project of a verb, open from before the job until its result is stored; does nothing without `--project`.

    A project that does not exist yet is made when there is something to record.

    Args:
        options: Of the verb; `project` and `model` (or `models`) are read.
        data: What the verb measures on; it becomes the project's data if that has none.

    Raises:
        ProjectError: (on entering) the project can't be opened, or is about another model or other data.
        ProjectLockedError: (on entering) it is open elsewhere.
        StorageError: (on entering) it can't be written.
    """

    def __init__(self, options: argparse.Namespace, data: DataDescription | None = None) -> None:
        self._path = None if options.project is None else Path(options.project).expanduser().absolute()
        models: Sequence[str] = options.models if hasattr(options, "models") else (options.model,)
        self._model = Path(models[0]).expanduser().absolute()
        self._data = data
        self._given = dimensions_of(options)
        self._document: Document | None = None

    @property
    def dimensions(self) -> dict[str, int]:
        """Sizes of dynamic dimensions: those that the verb was given, else those that the project knows."""
        known = {} if self._document is None else self._document.state.dimensions
        return {**known, **self._given}

    def __enter__(self) -> Recording:
        if self._path is None:
            return self
        if not self._path.exists():
            require_writable(self._path)
            return self
        self._document = Document.open(self._path)
        try:
            require_writable(self._path, self._document)
            self._compare(self._document)
        except BaseException:  # not even Ctrl-C may leave the project locked
            self._document.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._document is not None:
            self._document.close()

    def imported(self) -> None:
        """Keep the model, and a description of it."""
        self._opened()

    def inspected(self, report: InspectReport) -> None:
        """Keep the description of the model."""
        if (document := self._opened()) is not None:
            document.record(Change.MODEL, inspect=report)

    def evaluated(self, measurement: MetricMeasurement) -> None:
        """Keep the original's metric."""
        if (document := self._opened()) is not None:
            document.record(Change.BASELINE, baseline=measurement)

    def profiled(self, report: LatencyReport) -> None:
        """Keep the original's latency."""
        if (document := self._opened()) is not None:
            document.record(Change.BASELINE, baseline_latency=report)

    def rooflined(self, report: RooflineReport) -> None:
        """Keep where the original's layers lie under the device's roofs."""
        if (document := self._opened()) is not None:
            document.record(Change.ROOFLINE, rooflines=with_roofline(document.state.rooflines, report))

    @property
    def staircases(self) -> tuple[StaircaseReport, ...]:
        """What the project knows of its layers' time against their width."""
        return () if self._document is None else self._document.state.staircases

    def climbed(self, report: StaircaseReport) -> None:
        """Keep staircases, so that whoever opens the project on such a device has them."""
        if (document := self._opened()) is not None:
            document.record(Change.STAIRCASE, staircases=with_staircases(document.state.staircases, report))

    def swept(self, report: SweepReport) -> None:
        """Keep sensitivities."""
        self.points(report.method, report.knob, report.metric, report.points, report.baseline)

    def points(
        self,
        method: str,
        knob: str,
        metric: str,
        points: Sequence[SensitivityPoint],
        baseline: MetricMeasurement | None = None,
    ) -> None:
        """Keep the points that a sweep has finished."""
        if (document := self._opened()) is not None:
            merged = with_points(document.state.sensitivities, method, knob, metric, points, baseline)
            document.record(Change.SENSITIVITY, sensitivities=merged)

    def measured(self, method: str, knob: str) -> tuple[SensitivityPoint, ...]:
        """Return the sensitivities that the project has of a method and knob."""
        document = self._opened()
        known = () if document is None else document.state.sensitivities
        return next((entry.points for entry in known if (entry.method, entry.knob) == (method, knob)), ())

    def compressed(self, report: CandidateReport, recipe: Recipe) -> None:
        """Keep a candidate with its file."""
        if (document := self._opened()) is not None:
            add_candidate(document, recipe, report)

    def found(self, candidate: SearchCandidate, recipe: Recipe) -> None:
        """Keep a candidate of a search, once: a search that goes on brings those of earlier runs again."""
        document = self._opened()
        if document is None:
            return
        known = {(kept.report.candidate.sha256, kept.report.recipe_sha256) for kept in document.state.candidates}
        if (candidate.candidate.sha256, candidate.recipe_sha256) not in known:
            add_candidate(document, recipe, candidate.plain())

    def _compare(self, document: Document) -> None:
        state = document.state
        if state.model is not None:
            found = model_sha256(onnx_file(str(self._model), JobContext()))
            if state.model.sha256 != found:
                same = Path(state.model.path) == self._model
                raise ProjectError(
                    "the model file was changed since the project was made"
                    if same
                    else "the project is about another model",
                    where=str(document.path),
                    expected=f"{state.model.path} (sha256 {state.model.sha256[:12]})",
                    found=f"{self._model} (sha256 {found[:12]})",
                    action="Record in another project, or restore the original file.",
                )
        if self._data is not None and state.data is not None and state.recipe().data != self._data:
            raise ProjectError(
                "the project is about other data",
                where=str(document.path),
                action="Use its data, or record in another project.",
            )

    def _opened(self) -> Document | None:
        """Return the project, which now has a model, a description of it, and the data."""
        if self._path is None:
            return None
        document = self._document
        if document is None:
            document = self._document = Document.create(self._path)
        dimensions = self.dimensions
        if document.state.model is None:
            sha256 = model_sha256(onnx_file(str(self._model), JobContext()))
            document.do(SetModel(ModelReference(path=str(self._model), sha256=sha256)))
        document.do(SetDimensions(dimensions))
        if document.state.inspect is None:
            spec = InspectJob(model=str(self._model), drawing=True, dimensions=dimensions)
            report = InspectReport.model_validate(run_job(spec, JobContext()))
            document.record(Change.MODEL, inspect=report)
        if self._data is not None and document.state.data is None:
            document.do(SetData(self._data, self._data.folder))
        return document


def dimensions_of(options: argparse.Namespace) -> dict[str, int]:
    """Return the sizes that `--dimension NAME=SIZE` gives; {} for a verb without that option.

    Raises:
        BadInputError: a text that is not NAME=SIZE, or a size below 1.
    """
    sizes = dict(name_and_value(text, "--dimension") for text in getattr(options, "dimension", ()))
    for name, size in sizes.items():
        if whole_number(size) is None:
            raise BadInputError(f"--dimension {name}={size}", expected="NAME=SIZE with a size of at least 1")
    return {name: int(size) for name, size in sizes.items()}


def whole_number(text: str) -> int | None:
    """Return the number from 1 on that a text is, or None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0 else None


def name_and_value(text: str, option: str) -> tuple[str, str]:
    """Return the two sides of NAME=VALUE; BadInputError naming the option if it is something else."""
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise BadInputError(f"{option} {text}", expected="NAME=VALUE")
    return name, value


def require_writable(path: Path, document: Document | None = None) -> None:
    """Refuse a project that could not be stored, before an hour of work rather than after.

    Raises:
        StorageError: the folder is missing or can't be written.
    """
    if not path.parent.is_dir():
        raise StorageError("the folder does not exist", where=str(path.parent), action="Make it first.")
    if not os.access(path.parent, os.W_OK) or (document is not None and document.read_only):
        raise StorageError(
            "the project can't be written", where=str(path), action="Choose a folder that you can write to."
        )


def add_candidate(
    document: Document, recipe: Recipe, report: CandidateReport, name: str | None = None, *, moved: bool = False
) -> Candidate:
    """Keep a finished run's file among the project's artifacts and add the candidate.

    Args:
        document: Of the project.
        recipe: What made the file.
        report: What was measured on it.
        name: Of the candidate.
        moved: The exported file is only needed here: the report names the artifact's place from now on.
    """
    if document.artifacts is not None:
        exported, sha256 = Path(report.candidate.path), report.candidate.sha256
        if moved:
            document.artifacts.adopt(exported, sha256)
            report = _at(report, str(document.artifacts.path(sha256)))
        else:
            document.artifacts.add(exported, sha256)
    added = new_candidate(document.state, recipe, report, name)
    document.record(Change.CANDIDATES, candidates=(*document.state.candidates, added))
    return added


def _at(report: CandidateReport, path: str) -> CandidateReport:
    """Return the report of a file that was moved to `path`."""
    changed: dict[str, object] = {"candidate": report.candidate.model_copy(update={"path": path})}
    if report.latency is not None and report.latency_report is not None:
        latency = report.latency.model_copy(update={"path": path})
        changed["latency"] = latency
        first = report.latency_report.models[0]
        changed["latency_report"] = report.latency_report.model_copy(update={"models": (first, latency)})
    return report.model_copy(update=changed)
