"""Finds the ranks with which a network takes no longer than it may, by timing a few of them.

All ratios are scaled by one factor. Time falls in stairs, and two small layers may take longer than the one they
replace, so that what counts is what was timed: the largest factor of those that met the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from workbench.api import JobError, LatencyTrials, ModelGraph, Tools

_MOST_TRIALS: Final = 8
_SMALLEST: Final = 1 / 16


@dataclass(frozen=True)
class Trial:
    """One timed network: what ratios were scaled by, and its time as a share of the original's."""

    scale: float
    latency_ratio: float


@dataclass(frozen=True)
class Fitted:
    """What was found: the scale, its time, and all that was timed."""

    chosen: Trial
    trials: tuple[Trial, ...]

    def note(self, allowed: float) -> str:
        """Return the same in words."""
        timed = "; ".join(f"{trial.latency_ratio:.3f} at {trial.scale:.3f} of the ratios" for trial in self.trials)
        return (
            f"Latency against the original was measured while choosing: {timed}. Kept {self.chosen.latency_ratio:.3f} "
            f"(target {allowed:g}). Another run may measure, and choose, otherwise; used as plan, this choice stays."
        )

    def details(self, allowed: float) -> dict[str, Any]:
        """Return the same in figures."""
        return {
            "latency_target": allowed,
            "latency_ratio": self.chosen.latency_ratio,
            "latency_trials": [{"scale": trial.scale, "latency_ratio": trial.latency_ratio} for trial in self.trials],
        }


def fitting_scale(build: Callable[[float], ModelGraph], allowed: float, tools: Tools, method: str) -> Fitted:
    """Return the largest of at most eight timed scales of all ratios that meets the target.

    Args:
        build: Returns the network for a scale in (0, 1].
        allowed: Time as a share of the original's.
        tools: Of the step; its progress counts the trials.
        method: Names it in messages.

    Raises:
        JobError: nothing can be timed here, or even a sixteenth of the ratios takes longer.
        CancelledError: cancelled.
    """
    action = "Run the recipe with `workbench compress` or in the window, or set latency_ratio to 0."
    ratios = LatencyTrials(tools, method, "latency_ratio", action)
    trials: list[Trial] = []

    def timed(scale: float) -> Trial:
        tools.progress.update(len(trials) / _MOST_TRIALS, f"timing trial {len(trials) + 1}")
        trials.append(Trial(scale, ratios.ratio(scale, lambda: build(scale), f"at {scale:.3f} of the ratios")))
        return trials[-1]

    if timed(1.0).latency_ratio <= allowed:
        return Fitted(trials[0], tuple(trials))
    if timed(_SMALLEST).latency_ratio > allowed:
        raise JobError(
            f"the target of {allowed:g} of the original's time can't be met by lower ranks",
            where=f"{method}, latency_ratio",
            found=f"{min(trial.latency_ratio for trial in trials):.3f} at the shortest",
            action="Allow more time, or factorise more layers.",
        )
    low, high = _SMALLEST, 1.0
    best = trials[-1]
    while len(trials) < _MOST_TRIALS and not ratios.close(best.latency_ratio, allowed):
        trial = timed((low + high) / 2)
        if trial.latency_ratio <= allowed:
            low = trial.scale
            best = trial
        else:
            high = trial.scale
    return Fitted(best, tuple(trials))
