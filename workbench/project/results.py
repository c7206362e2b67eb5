"""What jobs found, put into the document's state as pure functions: the window and the command line record alike."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable

from workbench.domain.measurements import MetricMeasurement, SensitivityPoint
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport
from workbench.project.state import Candidate, ProjectState, Sensitivities


def with_points(
    sensitivities: tuple[Sensitivities, ...],
    method: str,
    knob: str,
    metric: str,
    points: Iterable[SensitivityPoint],
    baseline: MetricMeasurement | None = None,
) -> tuple[Sensitivities, ...]:
    """Return the sensitivities with new points; a point of the same layer and value replaces the old one."""
    found = next((entry for entry in sensitivities if (entry.method, entry.knob) == (method, knob)), None)
    entry = found or Sensitivities(method=method, knob=knob, metric=metric)
    if entry.metric != metric:
        entry = Sensitivities(method=method, knob=knob, metric=metric)
    merged = {(point.layer, point.value): point for point in entry.points}
    merged.update({(point.layer, point.value): point for point in points})
    entry = entry.model_copy(
        update={"points": tuple(merged.values()), "baseline": baseline if baseline is not None else entry.baseline}
    )
    if found is None:
        return (*sensitivities, entry)
    return tuple(entry if other is found else other for other in sensitivities)


def finished_points(state: ProjectState, method: str, knob: str) -> tuple[str, ...]:
    """Return the points that a resumed sweep need not repeat, as SweepJob.done wants them."""
    return tuple(
        f"{point.layer}\t{point.value}"
        for entry in state.sensitivities
        if (entry.method, entry.knob) == (method, knob)
        for point in entry.points
        if not point.provisional
    )


def new_candidate(state: ProjectState, recipe: Recipe, report: CandidateReport, name: str | None = None) -> Candidate:
    """Return the candidate that a finished run adds to the project, with what was foretold of its recipe, if anything.

    Its artifact is the hash of the exported file.
    """
    taken = {candidate.name for candidate in state.candidates}
    number = len(state.candidates) + 1
    while name is None or name in taken:
        name = f"Candidate {number}"
        number += 1
    foretold = state.preflight
    if foretold is not None and foretold.recipe_sha256 == recipe.sha256():
        report = report.model_copy(update={"prediction": foretold.report.prediction})
    return Candidate(
        id=uuid.uuid4().hex[:12],
        name=name,
        recipe=recipe,
        report=report,
        artifact=report.candidate.sha256,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
