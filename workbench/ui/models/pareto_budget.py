"""Where the lines of a budget stand at first, and what they let through, whichever way a measure is better."""

from __future__ import annotations

from workbench.domain.measurements import is_share
from workbench.ui.models.candidate_filter import Bound
from workbench.ui.models.candidate_table import BASELINE, Axis, CandidateTable
from workbench.ui.models.pareto_scene import Budget, resolve_scene


def first_budget(table: CandidateTable, cost: Axis, score: Axis) -> Budget:
    """Return bounds to start from: the original's upright figure less a hundredth, and the best three quarters."""
    marks = resolve_scene(table, cost, score=score).marks
    if not marks:
        return Budget()
    sign = cost.sign(table)
    xs = sorted(sign * mark.x for mark in marks)
    baseline = next((mark for mark in marks if mark.id == BASELINE), marks[-1])
    shares = score.key in ("metric", "drop") and is_share(table.metric)
    step = 1.0 if shares else abs(baseline.y) * 0.01
    if score.key in ("metric", "drop"):
        return Budget(sign * xs[(3 * (len(xs) - 1)) // 4], baseline.y + score.sign(table) * step)
    ys = sorted(score.sign(table) * mark.y for mark in marks)
    return Budget(sign * xs[(3 * (len(xs) - 1)) // 4], score.sign(table) * ys[(3 * (len(ys) - 1)) // 4])


def bounds_of(budget: Budget, table: CandidateTable, cost: Axis, score: Axis) -> tuple[Bound, ...]:
    """Return what the lines mean: at most where lower is better, at least where higher is."""
    found = []
    for value, axis in ((budget.cost, cost), (budget.score, score)):
        if value is not None:
            low = axis.lower_is_better(table)
            found.append(Bound(axis.key, None if low else value, value if low else None))
    return tuple(found)
