"""The document as one frozen value: what undo restores, what the store keeps, what panels draw."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.data_description import DataDescription
from workbench.domain.energy import EnergyReport
from workbench.domain.ladder import LadderReport
from workbench.domain.measurements import LatencyReport, MetricMeasurement, SensitivityPoint
from workbench.domain.plan import Plan
from workbench.domain.preflight import Preflight
from workbench.domain.recipe import Evaluation, Recipe, Step
from workbench.domain.reports import CandidateReport, InspectReport
from workbench.domain.roofline import RooflineReport
from workbench.domain.staircase import StaircaseReport
from workbench.domain.throughput import ThroughputReport


class Change(enum.Flag):
    """What a change of the document touched; panels refresh by it."""

    NONE = 0
    MODEL = enum.auto()
    DATA = enum.auto()
    BASELINE = enum.auto()
    SENSITIVITY = enum.auto()
    PLAN = enum.auto()
    RECIPE = enum.auto()
    CANDIDATES = enum.auto()
    DEVICE = enum.auto()
    HISTORY = enum.auto()
    PATH = enum.auto()
    PREFLIGHT = enum.auto()
    STAIRCASE = enum.auto()
    ROOFLINE = enum.auto()
    THROUGHPUT = enum.auto()
    ENERGY = enum.auto()


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelReference(_State):
    """The model file that the project is about; `sha256` tells when the file has changed since."""

    path: str
    sha256: str


class Candidate(_State):
    """A finished candidate.

    Attributes:
        id: Stable within the project.
        recipe: Replays it; its data is embedded.
        report: Measurements of the exported file.
        artifact: SHA-256 of the exported file among the project's artifacts.
        created: ISO 8601 time in UTC.
        deleted: Hidden, recoverable.
        ladder: How the file's executions agree, once that was checked.
    """

    id: str
    name: str
    recipe: Recipe
    report: CandidateReport
    artifact: str
    created: str
    star: bool = False
    note: str = ""
    tags: tuple[str, ...] = ()
    deleted: bool = False
    ladder: LadderReport | None = None


class Sensitivities(_State):
    """All points of one method, knob and data; `samples` and `baseline` say what they compare with."""

    method: str
    knob: str
    metric: str
    baseline: MetricMeasurement | None = None
    points: tuple[SensitivityPoint, ...] = ()


class LatencySetting(_State):
    """How latency is measured in this project."""

    device: str = "local"
    threads: int = Field(default=1, ge=0, le=256)
    batch: int = Field(default=1, ge=1)


class Foretold(_State):
    """What was foretold last.

    Attributes:
        recipe_sha256: Hash of the recipe that it is about.
        threads: Of the runtime, as the project asked for them.
        report: What came out.
    """

    recipe_sha256: str
    threads: int
    report: Preflight


class ProjectState(_State):
    """Everything the user saves.

    `plan`, `steps`, `seed`, `evaluate`, `latency`, `data`, `model` and `dimensions` are edited by commands; `inspect`,
    `baseline`, `baseline_latency`, `preflight`, `staircases`, `rooflines`, `throughput`, `energy`, `sensitivities`
    and new candidates are facts that jobs record.

    Attributes:
        dimensions: Sizes of the model's dynamic dimensions besides the batch, for costs and latency: by name, or as
            "input:axis".
        staircases, rooflines: One for each way of measuring that was used.
        throughput, energy: What was measured last.
    """

    model: ModelReference | None = None
    dimensions: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    inspect: InspectReport | None = None
    data: DataDescription | None = None
    data_folder: str = "."
    baseline: MetricMeasurement | None = None
    baseline_latency: LatencyReport | None = None
    preflight: Foretold | None = None
    staircases: tuple[StaircaseReport, ...] = ()
    rooflines: tuple[RooflineReport, ...] = ()
    throughput: ThroughputReport | None = None
    energy: EnergyReport | None = None
    sensitivities: tuple[Sensitivities, ...] = ()
    plan: Plan = Plan()
    steps: tuple[Step, ...] = ()
    seed: int = 0
    evaluate: Evaluation = Evaluation()
    latency: LatencySetting = LatencySetting()
    candidates: tuple[Candidate, ...] = ()
    notes: dict[str, Any] = Field(default_factory=dict)
    schema_kind: Literal["model-compression-workbench"] = "model-compression-workbench"

    def recipe(self) -> Recipe:
        """Return the recipe that a run of the current plan and steps executes, data embedded."""
        data = None if self.data is None else self.data.model_copy(update={"folder": self.data_folder})
        return Recipe(
            seed=self.seed,
            data=data,
            plan=self.plan,
            steps=self.steps,
            evaluate=self.evaluate,
            device=self.latency.device,
        )

    def candidate(self, id: str) -> Candidate:
        """Return the candidate called `id`; KeyError if there is none."""
        for candidate in self.candidates:
            if candidate.id == id:
                return candidate
        raise KeyError(id)
