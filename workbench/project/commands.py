"""Edits as frozen values: a title for the undo menu, and how they change the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import ClassVar, Protocol

from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import Setting
from workbench.domain.plan import Plan
from workbench.domain.recipe import Evaluation, Step
from workbench.domain.reports import InspectReport
from workbench.project.state import Candidate, Change, LatencySetting, ModelReference, ProjectState


class Command(Protocol):
    """One edit of the document."""

    @property
    def title(self) -> str:
        """What the undo menu says, e.g. "set weight bits of 3 layers"."""
        ...

    @property
    def change(self) -> Change:
        """What it touches."""
        ...

    def apply(self, state: ProjectState) -> ProjectState:
        """Return the changed document."""
        ...


@dataclass(frozen=True)
class Together:
    """Several edits that were one act of the user's, and are therefore one step of the history."""

    commands: tuple[Command, ...]
    title: str

    @property
    def change(self) -> Change:
        """What any of them touches."""
        return reduce(or_, (command.change for command in self.commands), Change.NONE)

    def apply(self, state: ProjectState) -> ProjectState:
        """Apply one after the other."""
        for command in self.commands:
            state = command.apply(state)
        return state


@dataclass(frozen=True)
class SetSettings:
    """Give layers a setting of a knob, or take it away (None) so that the default shows again."""

    layers: tuple[str, ...]
    knob: str
    value: Setting | None
    change: ClassVar[Change] = Change.PLAN

    @property
    def title(self) -> str:
        """Name knob and layers."""
        what = self.layers[0] if len(self.layers) == 1 else f"{len(self.layers)} layers"
        return f"Set {self.knob.replace('_', ' ')} of {what}"

    def apply(self, state: ProjectState) -> ProjectState:
        """Change the plan's lines."""
        return state.model_copy(update={"plan": state.plan.with_settings(self.layers, self.knob, self.value)})


@dataclass(frozen=True)
class SetDefault:
    """Set a knob for all layers that have no line of their own; None takes the default away."""

    knob: str
    value: Setting | None
    change: ClassVar[Change] = Change.PLAN

    @property
    def title(self) -> str:
        """Name the knob."""
        return f"Set default {self.knob.replace('_', ' ')}"

    def apply(self, state: ProjectState) -> ProjectState:
        """Change the plan's default."""
        default = {name: value for name, value in state.plan.default.items() if name != self.knob}
        if self.value is not None:
            default[self.knob] = self.value
        return state.model_copy(update={"plan": Plan(default=default, layers=state.plan.layers)})


@dataclass(frozen=True)
class ReplacePlan:
    """Take over a whole plan, e.g. that of a candidate."""

    plan: Plan
    title: str = "Replace plan"
    change: ClassVar[Change] = Change.PLAN

    def apply(self, state: ProjectState) -> ProjectState:
        """Replace the plan."""
        return state.model_copy(update={"plan": self.plan})


@dataclass(frozen=True)
class ReplaceRecipe:
    """Take over plan and steps together, e.g. those of a candidate or a preset."""

    plan: Plan
    steps: tuple[Step, ...]
    title: str
    change: ClassVar[Change] = Change.PLAN | Change.RECIPE

    def apply(self, state: ProjectState) -> ProjectState:
        """Replace both."""
        return state.model_copy(update={"plan": self.plan, "steps": self.steps})


@dataclass(frozen=True)
class SetSteps:
    """Replace the recipe's steps: add, remove, reorder, enable, change parameters."""

    steps: tuple[Step, ...]
    title: str = "Edit recipe"
    change: ClassVar[Change] = Change.RECIPE

    def apply(self, state: ProjectState) -> ProjectState:
        """Replace the steps."""
        return state.model_copy(update={"steps": self.steps})


@dataclass(frozen=True)
class SetRun:
    """Change seed, evaluation or latency settings; None leaves one as it is."""

    seed: int | None = None
    evaluate: Evaluation | None = None
    latency: LatencySetting | None = None
    title: str = "Change run settings"
    change: ClassVar[Change] = Change.RECIPE | Change.DEVICE

    def apply(self, state: ProjectState) -> ProjectState:
        """Replace what is given."""
        update = {"seed": self.seed, "evaluate": self.evaluate, "latency": self.latency}
        return state.model_copy(update={key: value for key, value in update.items() if value is not None})


@dataclass(frozen=True)
class SetModel:
    """Point the project at a model file; what was measured on another file is dropped (and comes back with undo).

    A project's first model leaves the plan alone: it may be a recipe's that was opened before.
    """

    model: ModelReference
    title: str = "Open model"
    change: ClassVar[Change] = Change.MODEL | Change.BASELINE | Change.SENSITIVITY | Change.PLAN

    def apply(self, state: ProjectState) -> ProjectState:
        """Set the reference; keep facts where only the path changed."""
        if state.model is not None and state.model.sha256 == self.model.sha256:
            return state.model_copy(update={"model": self.model})
        facts: dict[str, object] = {
            "inspect": None,
            "baseline": None,
            "baseline_latency": None,
            "staircases": (),
            "rooflines": (),
            "throughput": None,
            "energy": None,
            "sensitivities": (),
            "dimensions": {},
        }
        plan = state.plan if state.model is None else Plan()
        return state.model_copy(update={"model": self.model, "plan": plan, **facts})


@dataclass(frozen=True)
class SetDimensions:
    """Give the model's dynamic dimensions sizes; costs and latency that were taken with others are dropped.

    `inspect` is the model described with these sizes, where it is known already.
    """

    dimensions: Mapping[str, int]
    inspect: InspectReport | None = None
    title: str = "Set dimensions"
    change: ClassVar[Change] = Change.MODEL | Change.BASELINE

    def apply(self, state: ProjectState) -> ProjectState:
        """Replace the sizes."""
        if state.dimensions == self.dimensions:
            return state
        facts = {
            "inspect": self.inspect,
            "baseline_latency": None,
            "staircases": (),
            "rooflines": (),
            "throughput": None,
            "energy": None,
        }
        return state.model_copy(update={"dimensions": dict(self.dimensions), **facts})


@dataclass(frozen=True)
class SetData:
    """Choose the data; baseline and sensitivities taken on other data are dropped."""

    data: DataDescription | None
    folder: str
    title: str = "Choose data"
    change: ClassVar[Change] = Change.DATA | Change.BASELINE | Change.SENSITIVITY

    def apply(self, state: ProjectState) -> ProjectState:
        """Set the data."""
        if state.data == self.data and state.data_folder == self.folder:
            return state
        facts = {"baseline": None, "sensitivities": ()}
        return state.model_copy(update={"data": self.data, "data_folder": self.folder, **facts})


@dataclass(frozen=True)
class EditCandidate:
    """Rename, star, annotate, tag, delete or restore a candidate; None leaves a field as it is."""

    id: str
    name: str | None = None
    star: bool | None = None
    note: str | None = None
    tags: tuple[str, ...] | None = None
    deleted: bool | None = None
    change: ClassVar[Change] = Change.CANDIDATES

    @property
    def title(self) -> str:
        """Say what is done."""
        if self.deleted is not None:
            return "Delete candidate" if self.deleted else "Undelete candidate"
        if self.star is not None:
            return "Star candidate" if self.star else "Unstar candidate"
        return "Rename candidate" if self.name is not None else "Edit candidate"

    def apply(self, state: ProjectState) -> ProjectState:
        """Change that candidate."""
        fields = ("name", "star", "note", "tags", "deleted")
        update = {field: getattr(self, field) for field in fields if getattr(self, field) is not None}
        candidates = tuple(
            candidate.model_copy(update=update) if candidate.id == self.id else candidate
            for candidate in state.candidates
        )
        return state.model_copy(update={"candidates": candidates})


def mark_candidates(
    candidates: Sequence[Candidate], *, star: bool | None = None, deleted: bool | None = None
) -> Together:
    """Return the one edit that stars or deletes candidates, or takes that back; its title names or counts them."""
    edits = tuple(EditCandidate(candidate.id, star=star, deleted=deleted) for candidate in candidates)
    what = candidates[0].name if len(candidates) == 1 else f"{len(candidates)} candidates"
    verb = ("Delete" if deleted else "Undelete") if deleted is not None else ("Star" if star else "Unstar")
    return Together(edits, f"{verb} {what}")
