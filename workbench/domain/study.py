"""A study as a value: what a search may turn, what it strives for, what it must keep within, and when it ends."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import Setting
from workbench.domain.plan import Plan
from workbench.domain.recipe import Evaluation, Step

Cost = Literal["latency", "size", "macs", "params", "memory", "bitops"]
Objective = Literal["metric", "latency", "size", "macs", "params", "memory", "bitops"]

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# What decides which candidates a study can make; the rest says which of them are wanted, and may change on the way.
_IDENTITY: Final = ("version", "seed", "data", "plan", "steps", "evaluate", "batch", "threads", "device", "dimensions")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# What a search varies where a study names no steps, as far as the model has something for them.
USUAL_STEPS = ("prune.depth", "prune.l1", "train.finetune", "quantize.ptq")


class KnobInPlay(_Value):
    """A knob that a search turns.

    Attributes:
        values: To choose from besides leaving the layer as it is; empty takes those that suit: for channels, counts at
            which kernels are fast.
        layers: Globs; without any, the study's.
        together: All layers get the same value.
        required: Leaving a layer as it is is no choice.
    """

    values: tuple[Setting, ...] = ()
    layers: tuple[str, ...] = ()
    together: bool = False
    required: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, content: Any) -> Any:
        """Take a list for its values, and nothing at all for a knob with values that suit."""
        if content is None:
            return {}
        return {"values": content} if isinstance(content, (list, tuple)) else content


class Budgets(_Value):
    """What a candidate must keep within; ratios are shares of the original's figure.

    Attributes:
        metric_drop: How much worse the metric may be, in the metric's unit (0.01 is one point of top-1).
    """

    metric_drop: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    latency_ms: Positive | None = None
    latency_ratio: Positive | None = None
    size_bytes: Positive | None = None
    size_ratio: Positive | None = None
    macs: Positive | None = None
    macs_ratio: Positive | None = None
    params: Positive | None = None
    params_ratio: Positive | None = None
    memory_bytes: Positive | None = None
    memory_ratio: Positive | None = None
    bitops: Positive | None = None
    bitops_ratio: Positive | None = None

    def limits(self) -> dict[str, float]:
        """Return the budgets that were set, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class StrategyChoice(_Value):
    """Which strategy proposes, and its parameters."""

    name: str = "greedy"
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, content: Any) -> Any:
        """Take a word for the strategy's name."""
        return {"name": content} if isinstance(content, str) else content


class Stop(_Value):
    """When a search ends, whatever comes first.

    Attributes:
        minutes: Of wall time, sensitivities included; no candidate is begun that would probably end later, and one
            that is not done a fifth (and half a minute) later is given up.
        candidates: Finished ones, counted over all runs of the study.
        stagnation: Candidates in a row that did not enlarge the front.
    """

    minutes: Positive | None = None
    candidates: Annotated[int, Field(ge=1)] | None = None
    stagnation: Annotated[int, Field(ge=1)] | None = None

    @property
    def given(self) -> bool:
        """Whether the search ends by itself at all."""
        return any(value is not None for value in (self.minutes, self.candidates, self.stagnation))


class Study(_Value):
    """A search for candidates.

    Attributes:
        data: Description, or path of a DATA.yaml relative to the study; the command line's `--data` wins.
        plan: Settings that all candidates share.
        steps: What every candidate's recipe consists of; a step whose knobs a candidate does not turn is left out of
            its recipe, and so is training behind nothing. Empty takes the installed methods that suit the model.
        knobs: In play, by name; empty takes those of the steps.
        layers: Globs of the layers in play.
        pins: Layers (or globs) that keep these settings.
        ties: Lists of layers (or globs) that get equal values.
        objectives: The metric and one or more costs.
        reference: Worst values that still count for the hypervolume: `metric` as a value, costs as a share of the
            original's. Budgets take their place where they are narrower.
        sensitivity_samples: Samples, of those held out of the training split, that sensitivities are taken on.
        channel_multiple: Channel counts that are tried are multiples of this; None takes 16 for wide layers, else 8.
        workers: Candidates that are built at the same time; trainings share the processor.
    """

    version: Literal[1] = 1
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: str | DataDescription | None = None
    plan: Plan = Plan()
    steps: tuple[Step, ...] = ()
    knobs: dict[str, KnobInPlay] = Field(default_factory=dict)
    layers: tuple[str, ...] = ("*",)
    pins: dict[str, dict[str, Setting]] = Field(default_factory=dict)
    ties: tuple[tuple[str, ...], ...] = ()
    objectives: tuple[Objective, ...] = ("metric", "latency")
    budgets: Budgets = Budgets()
    reference: dict[Objective, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    strategy: StrategyChoice = StrategyChoice()
    stop: Stop = Stop(minutes=15)
    evaluate: Evaluation = Evaluation()
    sensitivity_samples: int = Field(default=1000, ge=1)
    channel_multiple: int | None = Field(default=None, ge=1, le=256)
    batch: int = Field(default=1, ge=1, le=65536)
    threads: int = Field(default=1, ge=1, le=256)
    device: str = "local"
    dimensions: dict[str, int] = Field(default_factory=dict)
    latency_seconds: float = Field(default=4.0, gt=0, le=600)
    workers: int = Field(default=1, ge=1, le=64)

    @field_validator("objectives")
    @classmethod
    def _metric_and_costs(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a list in which nothing stands twice")
        if "metric" not in value or len(value) < 2:
            raise ValueError("metric and one or more of latency, size, macs, params, memory, bitops")
        return ("metric", *(name for name in value if name != "metric"))

    @field_validator("stop")
    @classmethod
    def _ends(cls, value: Stop) -> Stop:
        if not value.given:
            raise ValueError("at least one of minutes, candidates, stagnation")
        return value

    @model_validator(mode="after")
    def _reference_of_objectives(self) -> Study:
        strange = next((name for name in self.reference if name not in self.objectives), None)
        if strange is not None:
            raise ValueError(f"a reference for objectives only; {strange} is none of {', '.join(self.objectives)}")
        return self

    @property
    def costs(self) -> tuple[Cost, ...]:
        """The objectives besides the metric."""
        return tuple(name for name in self.objectives if name != "metric")

    def identity(self) -> str:
        """Return the hash of what decides the candidates themselves, not which of them are looked for."""
        content = self.model_dump(mode="json", include=set(_IDENTITY))
        content["plan"]["layers"] = list(content["plan"]["layers"].items())
        if isinstance(content["data"], dict):
            del content["data"]["folder"]
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
