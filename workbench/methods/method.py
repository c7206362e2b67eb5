"""What a compression method is, and the tools it is given: the whole of a method author's world."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.knobs import PRUNE_RATIO, Knob, Setting
from workbench.domain.plan import LayerSettings
from workbench.domain.reports import LayerReport
from workbench.engines.contracts import Batch, InferenceEngine, TrainingData, TrainingEngine
from workbench.graph.model import ModelGraph


class Stage(enum.StrEnum):
    """The stage a method belongs to, in the order in which recipes usually run them."""

    DECOMPOSE = "decompose"
    PRUNE = "prune"
    TRAIN = "train"
    QUANTIZE = "quantize"
    ENCODE = "encode"


class Requirement(enum.StrEnum):
    """What a method can't work without; looked for before a recipe runs.

    DATA: training or calibration samples. LABELS: targets of the training samples. GRADIENTS: a graph whose every
    operator the training engine can execute. LATENCY: a device that times graphs while the step runs.
    """

    DATA = "data"
    LABELS = "labels"
    GRADIENTS = "gradients"
    LATENCY = "latency"


class Parameters(BaseModel):
    """Base of a method's parameters: unknown keys are refused; the schema is form, command line and search space."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodData(Protocol):
    """The recipe's data as a method sees it. The test split is never handed to a method."""

    @property
    def task(self) -> str:
        """Task of DATA.yaml ("classification", …)."""
        ...

    @property
    def metric(self) -> str:
        """Name of the metric."""
        ...

    @property
    def training(self) -> TrainingData:
        """Training samples less those held out for validation; DataError if the data has no train split."""
        ...

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        """Yield up to `samples` training samples without augmentation, the same ones for the same seed."""
        ...

    def validate(self, graph: ModelGraph) -> float:
        """Return a score (higher is better) on training samples that `training` does not contain."""
        ...


@dataclass(frozen=True)
class Tools:
    """What a method may use.

    Attributes:
        reference: The original model, teacher of any training.
        data: The recipe's data, or None if it names none.
        inference, training: The engines.
        rng: Seeded by recipe seed and step, so that a step's result does not depend on the steps before it.
        seed: The same as a number, for engines that seed themselves.
        checkpoint: File that a training may store its epochs in, to go on after a crash; None where nothing is kept.
        latency_ratio: Returns how long a graph takes as a share of the original's time, measured in a second or two
            the way the candidate will be; CancelledError where `cancel` is set meanwhile. None where nothing can be
            timed; a method that needs it says so by Requirement.LATENCY.
    """

    reference: ModelGraph
    data: MethodData | None
    inference: InferenceEngine
    training: TrainingEngine
    rng: np.random.Generator
    seed: int
    progress: Progress = field(default_factory=Progress)
    cancel: CancelToken = field(default_factory=CancelToken)
    log: Callable[[str], None] = lambda text: None
    checkpoint: Path | None = None
    latency_ratio: Callable[[ModelGraph], float] | None = None


@dataclass(frozen=True)
class MethodResult:
    """The new graph, what was done in words, and figures for the report (JSON values)."""

    graph: ModelGraph
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class Method(ABC):
    """A compression algorithm.

    Attributes:
        id: "family.name", unique among all plugins.
        title: In the menu of steps.
        summary: One sentence for the tooltip.
        source: The paper (authors, year), or "".
        stage: Where it usually stands in a recipe.
        knobs: The knobs it reads from the plan.
        needs_data: Whether it needs training or calibration samples.
        in_sweeps: Parameters that sweeps take unless they are told otherwise: without what mends a whole model's damage
            at a cost that a single trial does not bear.
        within_16_bits: Parameters, the best first, each of which keeps sums of two products of 8-bit integers within 16
            bits, as processors without integer dot products add them; none where a method makes no such sums.
        version: Part of the cache key; raise it when the same input gives another result.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    stage: ClassVar[Stage]
    knobs: ClassVar[tuple[Knob, ...]] = ()
    needs_data: ClassVar[bool] = False
    in_sweeps: ClassVar[Mapping[str, Any]] = {}
    within_16_bits: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    version: ClassVar[int] = 1
    Parameters: ClassVar[type[BaseModel]] = Parameters

    def __init__(self, parameters: BaseModel) -> None:
        self.parameters: Any = parameters

    @classmethod
    def blocked(cls, knob: Knob, layer: LayerReport) -> str | None:
        """Return why `knob` can't be turned on `layer`, or None if it can; defaults and globs skip blocked layers."""
        return layer.blocked if knob.name == PRUNE_RATIO.name else None

    @classmethod
    def refused(cls, knob: Knob) -> Mapping[Setting, str]:
        """Return the values of `knob` that this method can honour on no layer, each with why; for the window's lists.

        `check` refuses them too: what depends on parameters or on the graph is said there alone.
        """
        return {}

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return what this method, with its parameters, needs in order to work on `graph`."""
        return frozenset({Requirement.DATA}) if self.needs_data else frozenset()

    def calibrates_on(self, graph: ModelGraph) -> int:
        """Return how many calibration samples it takes at the most, 0 for none; some are looked at before the run."""
        if Requirement.DATA not in self.requirements(graph):
            return 0
        return int(getattr(self.parameters, "calibration_samples", 0))

    def sweep_obstacle(self) -> str | None:
        """Return why, with its parameters, single layers' sensitivity can't be taken, and what to change; else None."""
        return None

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Look at graph and plan before the run; returns warnings.

        Raises:
            RecipeError: a setting that this method can't honour, naming layer, knob and reason.
        """
        return ()

    def saturating(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Return the layers in whose result two products of 8-bit integers can add up to more than 16 bits."""
        return ()

    def foreseen(self, graph: ModelGraph) -> ModelGraph:
        """Return the graph that later steps are checked against before the run.

        The graph itself, unless this step makes possible what would be refused on it.
        """
        return graph

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return a graph that takes as long as `apply`'s result, with values that mean nothing, within a second or two.

        What a recipe will take on a device is foretold from it before anything runs. `tools` has made-up data. The
        default suits methods that change values only; others return None unless they can do better.

        Raises:
            WorkbenchError: it can't be foretold; the message says why.
        """
        return None if self.knobs else graph

    @abstractmethod
    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the compressed graph; `graph` itself stays as it is.

        Raises:
            CancelledError: tools.cancel was set.
            WorkbenchError: the method can't do its work; names the layer.
        """
