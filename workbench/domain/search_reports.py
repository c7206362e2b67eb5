"""What a search reports: candidates on and off the front, trials that failed, and what holds the chosen one back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.knobs import Setting
from workbench.domain.measurements import Interval, LatencyReport, MetricMeasurement
from workbench.domain.reports import CandidateReport, ModelSummary


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OfferedStrategy(_Report):
    """A way to search that a plugin offers: its word in STUDY.yaml, title, one sentence, and the plugin's id."""

    name: str
    title: str
    summary: str
    plugin: str


class Estimate(_Report):
    """A foretold figure with its 95 % interval."""

    value: float
    ci95: Interval


class Foretold(_Report):
    """What was foretold of a candidate before it was built.

    Attributes:
        drop: Of the metric; None where nothing is known.
        costs: As shares of the original's, by objective.
    """

    drop: Estimate | None = None
    costs: dict[str, Estimate] = Field(default_factory=dict)


class Promise(_Report):
    """A candidate that is not there yet: what it turns, in words, and what was foretold of it."""

    words: str
    foretold: Foretold


class Outlook(_Report):
    """What a search builds at the moment, and what it thinks most of next; nothing of it was measured."""

    building: tuple[Promise, ...] = ()
    promising: tuple[Promise, ...] = ()


class SearchCandidate(CandidateReport):
    """A finished candidate of a search.

    Attributes:
        number: In the order of finishing, from 1.
        settings: What the search turned, by layer and knob.
        costs: Every cost objective as a share of the original's.
        on_front: No other candidate beats it beyond the intervals.
        within_budgets: It meets all budgets; `beyond` names those that it does not.
        recipe_path: Of the recipe that makes it again.
        foretold: Before it was built.
    """

    number: int
    settings: dict[str, dict[str, Setting]]
    costs: dict[str, float] = Field(default_factory=dict)
    on_front: bool = False
    within_budgets: bool = True
    beyond: tuple[str, ...] = ()
    recipe_path: str = ""
    foretold: Foretold | None = None

    def plain(self) -> CandidateReport:
        """Return it without what only its search knows."""
        return CandidateReport(**{name: getattr(self, name) for name in CandidateReport.model_fields})


class FailedTrial(_Report):
    """A proposal that came to nothing, with the reason."""

    settings: dict[str, dict[str, Setting]]
    reason: str
    recipe_sha256: str = ""


class Relaxation(_Report):
    """What would be won if a budget or pin gave way.

    Attributes:
        what: The budget or pin.
        limit: As it is.
        relaxed: What it would have to become.
        objective: What would get better …
        gain: … by how much of the original's figure (positive is better) …
        drop: … and how much more the metric would drop; None where that is not known.
        measured: Whether both stand on a finished candidate, or are foretold.
        text: The same in words.
    """

    what: str
    limit: str
    relaxed: str
    objective: str
    gain: float
    drop: float | None = None
    measured: bool = False
    text: str = ""


class SearchReport(_Report):
    """A search's result.

    Attributes:
        objective: Names of the objectives, the metric first.
        budgets: Limits by name.
        reference: Worst metric and cost shares that count for the hypervolume.
        model: The original.
        baseline: Metric and latency of the original.
        candidates: In the order of finishing.
        failed: Trials that came to nothing.
        hypervolume: Between front and reference, in units of metric times shares of costs.
        chosen: Number of the candidate that suits best: the cheapest within the budgets; None if there is none.
        binding: What holds the chosen candidate back.
        bindings: What holds each candidate back, by number; once the search has ended. Pins are asked for the chosen
            one first, and for others as far as a minute goes.
        stopped: Why the search ended.
        seconds: Wall time over all runs of the study.
    """

    objective: tuple[str, ...]
    budgets: dict[str, float]
    reference: dict[str, float]
    model: ModelSummary
    baseline: MetricMeasurement | None
    baseline_latency: LatencyReport | None = None
    candidates: tuple[SearchCandidate, ...]
    failed: tuple[FailedTrial, ...] = ()
    hypervolume: float
    chosen: int | None = None
    binding: tuple[Relaxation, ...] = ()
    bindings: dict[int, tuple[Relaxation, ...]] = Field(default_factory=dict)
    strategy: dict[str, Any] = Field(default_factory=dict)
    stopped: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def front(self) -> tuple[SearchCandidate, ...]:
        """The candidates on the front."""
        return tuple(candidate for candidate in self.candidates if candidate.on_front)
