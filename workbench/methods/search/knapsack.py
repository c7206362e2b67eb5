"""Finds the proposal that loses least while it saves enough: a multiple-choice knapsack, solved as an integer program.

Notation: n columns, k costs; x (n,) is 1 where a column's choice replaces the base's. Losses and savings add up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from workbench.methods.search.space import Proposal, Space

_SECONDS = 5.0
_GAP = 1e-4


def least_loss(
    space: Space,
    base: Proposal,
    columns: Sequence[tuple[int, int]],
    losses: np.ndarray,
    savings: np.ndarray,
    needed: Sequence[float],
    allowed: Sequence[Sequence[int]] | None = None,
) -> Proposal | None:
    """Return the proposal of least loss whose savings reach what is needed, or None if none does.

    Args:
        space: Of the study.
        base: What losses and savings are counted from.
        columns: (dimension, choice) of every column.
        losses: (n,) of quality; may be negative.
        savings: (k, n) of each cost.
        needed: (k,) to save at least.
        allowed: Choices of every dimension that may be taken; None allows all.
    """
    n = len(columns)
    rows = [np.array([float(where == place) for where, _ in columns]) for place in range(len(space.dimensions))]
    for gone, other in space.exclusive:
        rows.append(
            np.array(
                [
                    float(
                        (where == gone and space.dimensions[gone].choices[choice].get("keep") == "no") or where == other
                    )
                    for where, choice in columns
                ]
            )
        )
    constraints = [LinearConstraint(np.stack(rows), -np.inf, 1.0)]
    scale = np.maximum(np.abs(savings).max(axis=1, initial=0.0), 1e-12)
    constraints.append(LinearConstraint(savings / scale[:, None], np.asarray(needed) / scale, np.inf))
    upper = np.array([1.0 if allowed is None or choice in allowed[place] else 0.0 for place, choice in columns])
    objective = losses / max(float(np.abs(losses).max(initial=0.0)), 1e-12)
    # Of two that lose alike the one with fewer changes is taken.
    found = milp(
        objective + 1e-6,
        integrality=np.ones(n),
        bounds=Bounds(0, upper),
        constraints=constraints,
        options={"mip_rel_gap": _GAP, "time_limit": _SECONDS},
    )
    if found.x is None:
        return None
    proposal = list(base)
    for (place, choice), taken in zip(columns, found.x, strict=True):
        if taken > 0.5:
            proposal[place] = choice
    return space.canonical(proposal)
