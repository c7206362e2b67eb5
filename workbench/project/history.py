"""Undo as an exchange of exactly what an edit touched, so that facts which jobs found since survive undo and redo.

Facts belong to a context: a baseline to a model and its data. An edit that changes the context puts the facts of the
old one aside and undo brings them back, while those found meanwhile in the new context wait for redo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.project.state import Candidate, ProjectState


def _model(state: ProjectState) -> object:
    return None if state.model is None else state.model.sha256


def _model_and_dimensions(state: ProjectState) -> object:
    return (_model(state), state.dimensions)


def _model_and_data(state: ProjectState) -> object:
    return (_model(state), state.data, state.data_folder)


CONTEXT: Mapping[str, Callable[[ProjectState], object]] = {
    "inspect": _model_and_dimensions,
    "baseline": _model_and_data,
    "baseline_latency": _model_and_dimensions,
    "preflight": _model_and_dimensions,
    "staircases": _model_and_dimensions,
    "rooflines": _model_and_dimensions,
    "throughput": _model_and_dimensions,
    "energy": _model_and_dimensions,
    "sensitivities": _model_and_data,
}
FACTS = frozenset({*CONTEXT, "candidates", "notes"})


@dataclass(frozen=True)
class Exchange:
    """Values to put in place of the current ones.

    Attributes:
        fields: New values of ProjectState fields.
        candidates: New field values by candidate id.
    """

    fields: Mapping[str, Any]
    candidates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def back(cls, before: ProjectState, after: ProjectState) -> Exchange:
        """Return the exchange that takes an edit from `before` to `after` back."""
        fields = {
            name: getattr(before, name)
            for name in ProjectState.model_fields
            if name != "candidates" and _differ(getattr(before, name), getattr(after, name))
        }
        for name, context in CONTEXT.items():
            if context(before) != context(after):
                fields[name] = getattr(before, name)
        if before.candidates is after.candidates:
            return cls(fields)
        if [candidate.id for candidate in before.candidates] != [candidate.id for candidate in after.candidates]:
            return cls({**fields, "candidates": before.candidates})
        changes = {
            old.id: _changed_fields(old, new)
            for old, new in zip(before.candidates, after.candidates, strict=True)
            if _differ(old, new)
        }
        return cls(fields, changes)

    def apply(self, state: ProjectState) -> tuple[ProjectState, Exchange]:
        """Return the state with these values, and the exchange that restores what they replaced."""
        fields = dict(self.fields)
        replaced = {name: getattr(state, name) for name in fields}
        undone: dict[str, Mapping[str, Any]] = {}
        if self.candidates:
            candidates = []
            for candidate in state.candidates:
                values = self.candidates.get(candidate.id)
                if values is not None:
                    undone[candidate.id] = {name: getattr(candidate, name) for name in values}
                    candidate = candidate.model_copy(update=dict(values))
                candidates.append(candidate)
            fields["candidates"] = tuple(candidates)
        return state.model_copy(update=fields), Exchange(replaced, undone)


def _differ(left: object, right: object) -> bool:
    return left is not right and left != right


def _changed_fields(old: Candidate, new: Candidate) -> dict[str, Any]:
    return {
        name: getattr(old, name) for name in Candidate.model_fields if _differ(getattr(old, name), getattr(new, name))
    }
