"""Decides which trials have been run on enough samples: those whose rank, or whose uselessness, is settled.

A trial ends when its interval is apart from those of all trials that it is ranked with, when it is as narrow as anybody
will want to tell drops apart (absolutely, or as a share of the drop), or when it is certain that no plan would take it.
Where a budget is given, it ends when it is certain on which side of the budget it lies.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from workbench.data.statistics import Z95

# Of a drop of 20 points nobody needs to know whether it is 17.
_RELATIVE = 0.15


def settled(
    values: np.ndarray,
    errors: np.ndarray,
    groups: Sequence[Hashable],
    *,
    resolution: float,
    hopeless: float,
    budget: float | None = None,
) -> np.ndarray:
    """Return which trials need no more samples (n,).

    Args:
        values: (n,) expected drops.
        errors: (n,) their standard errors.
        groups: Trials of the same group are ranked against each other.
        resolution: Standard error below which no more is wanted.
        hopeless: A drop that certainly exceeds this is known well enough.
        budget: The drop that is accepted: where there is one, nothing but the side of it is asked for.
    """
    if budget is not None:
        return np.asarray(np.abs(values - budget) > Z95 * errors)
    done = (errors <= np.maximum(resolution, _RELATIVE * values)) | (values - Z95 * errors > hopeless)
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    for indices in members.values():
        own = np.array(indices)
        apart = np.abs(values[own, None] - values[own]) > Z95 * np.hypot(errors[own, None], errors[own])
        np.fill_diagonal(apart, True)
        done[own] |= apart.all(axis=1)
    return np.asarray(done)
