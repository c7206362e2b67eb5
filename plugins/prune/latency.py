"""Times prunings on the way to a target of latency: few of them, each written into the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from workbench.api import LatencyTrials, ModelGraph, Tools, remove_channels

from .cost import counted
from .parameters import Target

_MOST_TRIALS: Final = 10


@dataclass(frozen=True)
class Trial:
    """One timed pruning: units gone, and multiplications and time left as shares of the original's."""

    units_removed: int
    macs_ratio: float
    latency_ratio: float


class PruningTrials:
    """Times prunings of one model and remembers them.

    Args:
        tools: Of the step; its progress counts the trials.
        method: Names it in messages.

    Raises:
        JobError: nothing can be timed here.
    """

    def __init__(self, tools: Tools, method: str) -> None:
        action = "Run the recipe with `workbench compress` or in the window, or choose target macs."
        self._timed = LatencyTrials(tools, method, "target", action)
        self._tools = tools
        self._original_macs = max(counted(tools.reference, "macs"), 1)
        self._trials: list[Trial] = []

    @staticmethod
    def of(target: Target, tools: Tools, method: str) -> PruningTrials | None:
        """Return trials where the target is a latency, else None."""
        return PruningTrials(tools, method) if target == "latency" else None

    @property
    def spent(self) -> bool:
        """Whether no trial is left."""
        return len(self._trials) >= _MOST_TRIALS

    @staticmethod
    def close(ratio: float, allowed: float) -> bool:
        """Whether a ratio meets a target so closely that a search may end."""
        return LatencyTrials.close(ratio, allowed)

    def ratio(self, graph: ModelGraph, removal: Mapping[str, Sequence[int]]) -> float:
        """Return the time that the graph takes without these units, as a share of the original's.

        Raises:
            CancelledError: cancelled.
        """
        key = sorted(removal.items())
        if self._timed.knows(key):
            return self._timed.ratio(key, lambda: graph, "")
        number = len(self._trials) + 1
        self._tools.progress.update((number - 1) / _MOST_TRIALS, f"timing trial {number}")
        smaller = remove_channels(graph, removal) if removal else graph
        macs_ratio = counted(smaller, "macs") / self._original_macs
        ratio = self._timed.ratio(key, lambda: smaller, f"at {macs_ratio:.2f} of the multiplications")
        self._trials.append(Trial(sum(map(len, removal.values())), macs_ratio, ratio))
        return ratio

    def notes(self, allowed: float) -> list[str]:
        """Return what was timed, and what of it was kept, in words."""
        kept = self._kept(allowed)
        if kept is None:
            return []
        timed = "; ".join(map(_said, self._trials))
        return [
            f"Latency against the original was measured while choosing: {timed}. "
            f"Kept {kept.latency_ratio:.2f} (target {allowed:g}). Another run may measure, and choose, otherwise; "
            "used as plan, this choice stays."
        ]

    def details(self, allowed: float) -> dict[str, Any]:
        """Return the same in figures."""
        kept = self._kept(allowed)
        return {
            "latency_target": allowed,
            "latency_trials": [asdict(trial) for trial in self._trials],
            "latency_ratio": None if kept is None else kept.latency_ratio,
        }

    def _kept(self, allowed: float) -> Trial | None:
        meeting = [trial for trial in self._trials if trial.latency_ratio <= allowed]
        return min(meeting, key=lambda trial: trial.units_removed, default=None)


def _said(trial: Trial) -> str:
    return f"{trial.latency_ratio:.2f} at {trial.macs_ratio:.2f} of the multiplications"
