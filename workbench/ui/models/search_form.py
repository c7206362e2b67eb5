"""What a search form says as a study, and what a search has found so far in words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from workbench.domain.budget_text import budgets_from
from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS
from workbench.domain.measurements import is_share
from workbench.domain.search_reports import SearchCandidate, SearchReport
from workbench.domain.study import Budgets, Cost, KnobInPlay, Stop, StrategyChoice, Study
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers

COSTS: dict[Cost, str] = {
    "latency": "Latency",
    "size": "File size",
    "macs": "Multiplications",
    "params": "Parameters",
    "memory": "Peak memory",
    "bitops": "Bit operations",
}


_FEWEST_BITS, _MOST_BITS = 1, 8


@dataclass(frozen=True)
class SearchExtras:
    """What only some searches need.

    Attributes:
        second: Another cost.
        knobs: In play; those that the steps read without any.
        bits: Of weights, to choose from; alike in all layers.
        tie: Layers that get equal values.
        candidates, stagnation: Other ends of the search; see Stop.
        workers: Candidates that are built at the same time.
    """

    second: Cost | None = None
    knobs: tuple[str, ...] = ()
    bits: tuple[int, ...] = (8,)
    tie: tuple[str, ...] = ()
    candidates: int | None = None
    stagnation: int | None = None
    workers: int = 1


@dataclass(frozen=True)
class SearchForm:
    """What the user chose.

    Attributes:
        cost: What the metric is traded against.
        drop: Largest loss of the metric in its own unit, or None.
        ratio: Largest share of the original's cost, or None.
        strategy: Its word.
        minutes: Of wall time.
        own_steps: Vary the recipe's steps instead of those that suit the model.
        pinned: Keep the plan's own lines as they are.
        layers: In play; all without any.
        budgets: Further ones, as people say them ("≤ 5 ms; ≤ 300 KB"); they take the place of those above.
        extras: What only some searches need.
    """

    cost: Cost = "latency"
    drop: float | None = 0.01
    ratio: float | None = None
    strategy: str = "greedy"
    minutes: float = 15.0
    own_steps: bool = False
    pinned: bool = True
    layers: tuple[str, ...] = ()
    budgets: str = ""
    extras: SearchExtras = SearchExtras()

    def study(self, state: ProjectState, readable: Collection[str] = ()) -> Study:
        """Return the study of a project with a model and data.

        Args:
            state: The document's value.
            readable: Names of the knobs that the steps read, for a choice of bits.

        Raises:
            ValueError: a budget is not understood.
        """
        extras = self.extras
        second = () if extras.second is None else (extras.second,)
        metric = None if state.data is None else state.data.metric
        budgets = {"metric_drop": self.drop, f"{self.cost}_ratio": self.ratio} | budgets_of(self.budgets, metric)
        return Study(
            seed=state.seed,
            data=state.data,
            steps=state.steps if self.own_steps else (),
            layers=self.layers or ("*",),
            pins=dict(state.plan.layers) if self.pinned else {},
            ties=(extras.tie,) if extras.tie else (),
            knobs=self._knobs(readable),
            objectives=("metric", self.cost, *second),
            budgets=Budgets.model_validate({name: value for name, value in budgets.items() if value is not None}),
            strategy=StrategyChoice(name=self.strategy),
            stop=Stop(minutes=self.minutes, candidates=extras.candidates, stagnation=extras.stagnation),
            workers=extras.workers,
            evaluate=state.evaluate,
            batch=state.latency.batch,
            threads=state.latency.threads or 1,
            device=state.latency.device,
            dimensions=state.dimensions,
        )

    def _knobs(self, readable: Collection[str]) -> dict[str, KnobInPlay]:
        """Return the knobs in play where the form says anything of them: bits are alike in all layers."""
        extras = self.extras
        if not extras.knobs and extras.bits == SearchExtras.bits:
            return {}
        found = {}
        for name in extras.knobs or readable:
            values = extras.bits if name == WEIGHT_BITS.name else ()
            found[name] = KnobInPlay(values=values, together=name in (WEIGHT_BITS.name, ACTIVATION_BITS.name))
        return found


def budgets_of(text: str, metric: str | None = None) -> dict[str, float]:
    """Return the budgets that a text names, by key.

    Raises:
        ValueError: one of them is not understood.
    """
    try:
        found: dict[str, float] = budgets_from(text, metric)
    except ValueError as error:
        raise ValueError(f"Other budgets: {error}") from error
    return found


def bits_of(text: str) -> tuple[int, ...]:
    """Return the numbers of bits that a text names.

    Raises:
        ValueError: something else stands there, or numbers out of range.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() and _FEWEST_BITS <= int(part) <= _MOST_BITS for part in parts):
        raise ValueError(f"Bits to try: whole numbers from {_FEWEST_BITS} to {_MOST_BITS}, such as 8, 4")
    return tuple(dict.fromkeys(map(int, parts)))


def found_in_words(report: SearchReport) -> str:
    """Return how many candidates there are, and the one that suits best."""
    text = f"{numbers.plural(len(report.candidates), 'candidate')}, {len(report.front)} on the front"
    if report.failed:
        text = f"{text}, {numbers.plural(len(report.failed), 'failed trial')}"
    chosen = next((one for one in report.candidates if one.number == report.chosen), None)
    if chosen is not None:
        return f"{text}. Best within the budgets: {_candidate(chosen, report)}."
    return f"{text}. None is within the budgets yet." if report.budgets else f"{text}."


def ended_in_words(report: SearchReport) -> str:
    """Return why the search ended, and what holds the chosen candidate back; "" while it runs."""
    lines = [f"Ended: {report.stopped}."] if report.stopped else []
    lines.extend(relaxation.text for relaxation in report.binding)
    lines.extend(f"A trial failed: {failed.reason}" for failed in report.failed[-3:])
    return "\n".join(lines)


def held_back_in_words(report: SearchReport, candidate: Candidate) -> str:
    """Return what holds back any candidate of an ended search; "" for those of others, and while it runs."""
    own = candidate.report
    key = (own.candidate.sha256, own.recipe_sha256)
    found = next((one for one in report.candidates if (one.candidate.sha256, one.recipe_sha256) == key), None)
    if found is None or found.number == report.chosen or found.number not in report.bindings:
        return ""
    said = [relaxation.text for relaxation in report.bindings[found.number]]
    return f"{candidate.name}: {' '.join(said) or 'no budget that more of would notably help holds it back.'}"


def _candidate(candidate: SearchCandidate, report: SearchReport) -> str:
    parts = [f"Search {candidate.number}"]
    if candidate.metric is not None:
        name = candidate.metric.metric
        factor = 100 if is_share(name) else 1
        unit = "\N{NO-BREAK SPACE}%" if is_share(name) else ""
        parts.append(f"{numbers.fixed(factor * candidate.metric.value, 2)}{unit}")
    for name in report.objective[1:]:
        share = candidate.costs.get(name)
        if share is not None:
            parts.append(f"{numbers.fixed(share, 3)} of the original's {name}")
    return ", ".join(parts)
