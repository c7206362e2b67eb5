"""How important a candidate's pruning found a layer's channels, and where it cut; read from what the step reported."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ValidationError, model_validator

from workbench.domain.reports import InspectReport
from workbench.project.state import Candidate


@dataclass(frozen=True)
class Importance:
    """The channels of one group in one step.

    Attributes:
        method: That ranked them.
        edges: Of the bins, one more than there are bins.
        kept, removed: Units in each bin that stayed and that went.
        cut: Highest importance that went, or None where nothing did.
        ratio: Share of channels that was to go.
    """

    method: str
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    removed: tuple[int, ...]
    cut: float | None
    ratio: float

    @property
    def units(self) -> int:
        """Units in all."""
        return sum(self.kept) + sum(self.removed)


class _Histogram(BaseModel):
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    removed: tuple[int, ...]
    cut: float | None

    @model_validator(mode="after")
    def _fits(self) -> _Histogram:
        if not len(self.kept) == len(self.removed) == len(self.edges) - 1 > 0:
            raise ValueError("as many counts as bins")
        return self


class _Group(BaseModel):
    importance: _Histogram
    ratio: float = 0.0


def says_importance(candidate: Candidate | None) -> bool:
    """Whether some step of a candidate ranked channels, of whichever layer."""
    return candidate is not None and any(
        isinstance(step.details.get("groups"), dict) for step in candidate.report.steps
    )


def layer_importance(candidate: Candidate | None, report: InspectReport | None, layer: str) -> tuple[Importance, ...]:
    """Return what each pruning step of a candidate found of the layer's channel group; () where none said anything."""
    if candidate is None or report is None:
        return ()
    group = next((entry.group for entry in report.layers if entry.name == layer), None)
    found = []
    for step in candidate.report.steps:
        groups = step.details.get("groups")
        details = groups.get(group) if group is not None and isinstance(groups, dict) else None
        try:
            read = _Group.model_validate(details)
        except ValidationError:
            # Other methods may report something else under this name; then there is no histogram to show.
            continue
        bins = read.importance
        found.append(Importance(step.method, bins.edges, bins.kept, bins.removed, bins.cut, read.ratio))
    return tuple(found)
