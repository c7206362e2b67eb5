"""What a search form says as a study, and what a search has found so far in words."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.domain.measurements import is_share
from workbench.domain.search_reports import SearchCandidate, SearchReport
from workbench.domain.study import Budgets, Cost, Stop, StrategyChoice, Study
from workbench.project.state import ProjectState
from workbench.ui.models import numbers

COSTS: dict[Cost, str] = {
    "latency": "Latency",
    "size": "File size",
    "macs": "Multiplications",
    "params": "Parameters",
    "memory": "Peak memory",
    "bitops": "Bit operations",
}


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
    """

    cost: Cost = "latency"
    drop: float | None = 0.01
    ratio: float | None = None
    strategy: str = "greedy"
    minutes: float = 15.0
    own_steps: bool = False
    pinned: bool = True
    layers: tuple[str, ...] = ()

    def study(self, state: ProjectState) -> Study:
        """Return the study of a project with a model and data."""
        budgets = {"metric_drop": self.drop, f"{self.cost}_ratio": self.ratio}
        return Study(
            seed=state.seed,
            data=state.data,
            steps=state.steps if self.own_steps else (),
            layers=self.layers or ("*",),
            pins=dict(state.plan.layers) if self.pinned else {},
            objectives=("metric", self.cost),
            budgets=Budgets.model_validate({name: value for name, value in budgets.items() if value is not None}),
            strategy=StrategyChoice(name=self.strategy),
            stop=Stop(minutes=self.minutes),
            evaluate=state.evaluate,
            batch=state.latency.batch,
            threads=state.latency.threads or 1,
            device=state.latency.device,
            dimensions=state.dimensions,
        )


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
