"""Finds out whether what a project refers to is still there and unchanged, and says how to point to it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.domain.errors import WorkbenchError
from workbench.project.artifacts import Artifacts
from workbench.project.state import ProjectState

Kind = Literal["model_missing", "model_changed", "data_missing", "candidate_missing"]


@dataclass(frozen=True)
class ReferenceProblem:
    """Something that the project refers to and that is not as it was.

    Attributes:
        kind: `model_*` is mended by the command SetModel, `data_missing` by SetData, `candidate_missing` by running
            the candidate's recipe again.
        path: Where it should be.
        message: What is wrong, in one sentence.
        action: What the user can do.
        candidate: Id of the candidate concerned.
    """

    kind: Kind
    path: Path
    message: str
    action: str
    candidate: str | None = None


def find_problems(
    state: ProjectState, artifacts: Artifacts | None = None, *, sha256: Callable[[Path], str] | None = None
) -> tuple[ReferenceProblem, ...]:
    """Return all problems of a project's references.

    Args:
        state: The project.
        artifacts: Its files, to look for those of candidates.
        sha256: Hashes a model with its external data, as the model reference was made (`graph.storage.model_sha256`);
            without it only existence is checked, which takes no time. A hash takes seconds on a big model.
    """
    problems: list[ReferenceProblem] = []
    if state.model is not None:
        path = Path(state.model.path)
        if not path.is_file():
            problems.append(
                ReferenceProblem(
                    "model_missing",
                    path,
                    f"The model {path.name} is not where it was",
                    "Point to the model again; plan, sensitivities and candidates are kept if it is the same file.",
                )
            )
        elif sha256 is not None:
            try:
                changed = changed_model(state, sha256(path))
            except WorkbenchError as error:
                changed = _changed(path, f"The model {path.name} can't be read any more: {error}")
            problems.extend([changed] if changed else [])
    problems.extend(_data_problems(state))
    if artifacts is not None:
        problems.extend(
            ReferenceProblem(
                "candidate_missing",
                artifacts.folder,
                f"The file of {candidate.name} is gone",
                "Put the folder back beside the project, or run the candidate's recipe again.",
                candidate.id,
            )
            for candidate in state.candidates
            if not candidate.deleted and candidate.artifact not in artifacts
        )
    return tuple(problems)


def changed_model(state: ProjectState, sha256: str) -> ReferenceProblem | None:
    """Return the problem if the model file now has another hash than the project remembers."""
    if state.model is None or state.model.sha256 == sha256:
        return None
    path = Path(state.model.path)
    return _changed(path, f"The model {path.name} was changed since it was measured")


def _changed(path: Path, message: str) -> ReferenceProblem:
    return ReferenceProblem(
        "model_changed",
        path,
        message,
        "Point to the original file, or open the changed one as a new model (what was measured is then dropped).",
    )


def _data_problems(state: ProjectState) -> list[ReferenceProblem]:
    if state.data is None:
        return []
    problems = []
    for name, split in (("training", state.data.train), ("test", state.data.test)):
        if split is None or split.path is None:
            continue
        path = Path(state.data_folder) / split.path
        if not path.exists():
            problems.append(
                ReferenceProblem(
                    "data_missing",
                    path,
                    f"The {name} data {path.name} is not where it was",
                    "Point to the data again.",
                )
            )
    return problems
