"""Says which candidate a measured file is."""

from __future__ import annotations

from workbench.project.state import Candidate, ProjectState


def candidate_of(state: ProjectState, path: str) -> Candidate | None:
    """Return the candidate whose file it is, None for one that is gone; a project's files are called by their hash."""
    return next(
        (
            entry
            for entry in state.candidates
            if not entry.deleted and (entry.report.candidate.path == path or entry.artifact in path)
        ),
        None,
    )


def name_of(state: ProjectState, place: int, path: str) -> str:
    """Return what a file of a measurement is called, whose first one is the original."""
    if place == 0:
        return "Original"
    candidate = candidate_of(state, path)
    return "A candidate that is gone" if candidate is None else candidate.name
