"""Times prunings on the way to a target of latency: few of them, none twice, each written into the report.

Time falls in stairs (runtimes work in blocks of channels), so what counts is what was timed, never what multiplications
promise. The same recipe may choose otherwise another day; what was timed is kept beside a training's checkpoint, so
that one that was killed goes on with the channels that it began with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from workbench.api import JobError, ModelGraph, Tools, remove_channels

from .cost import counted
from .parameters import Target

_MOST_TRIALS: Final = 10
# Sessions of one file agree within 2 %; closer to the target than that, another trial says nothing more.
_CLOSE: Final = 0.01


@dataclass(frozen=True)
class Trial:
    """One timed pruning: units gone, and multiplications and time left as shares of the original's."""

    units_removed: int
    macs_ratio: float
    latency_ratio: float


class LatencyTrials:
    """Times prunings of one model and remembers them.

    Args:
        tools: Of the step; its progress counts the trials.
        method: Names it in messages.

    Raises:
        JobError: nothing can be timed here.
    """

    def __init__(self, tools: Tools, method: str) -> None:
        if tools.latency_ratio is None:
            raise JobError(
                f"{method} aims at a latency, and nothing measures latency here",
                where="target",
                action="Run the recipe with `workbench compress` or in the window, or choose target macs.",
            )
        self._measure = tools.latency_ratio
        self._tools = tools
        self._original_macs = max(counted(tools.reference, "macs"), 1)
        self._trials: dict[str, Trial] = {}
        checkpoint = tools.checkpoint
        self._file = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.timed")
        self._earlier = _stored(self._file)

    @staticmethod
    def of(target: Target, tools: Tools, method: str) -> LatencyTrials | None:
        """Return trials where the target is a latency, else None."""
        return LatencyTrials(tools, method) if target == "latency" else None

    @property
    def spent(self) -> bool:
        """Whether no trial is left."""
        return len(self._trials) >= _MOST_TRIALS

    @staticmethod
    def close(ratio: float, allowed: float) -> bool:
        """Whether a ratio meets a target so closely that a search may end."""
        return allowed - _CLOSE <= ratio <= allowed

    def ratio(self, graph: ModelGraph, removal: Mapping[str, Sequence[int]]) -> float:
        """Return the time that the graph takes without these units, as a share of the original's.

        Raises:
            CancelledError: cancelled.
        """
        key = hashlib.sha256(repr(sorted(removal.items())).encode()).hexdigest()
        if key not in self._trials:
            number = len(self._trials) + 1
            self._tools.progress.update((number - 1) / _MOST_TRIALS, f"timing trial {number}")
            smaller = remove_channels(graph, removal) if removal else graph
            found = self._earlier.get(key)
            trial = Trial(
                sum(map(len, removal.values())),
                counted(smaller, "macs") / self._original_macs,
                float(self._measure(smaller)) if found is None else found,
            )
            self._trials[key] = trial
            self._store()
            self._tools.log(f"Timed: {_said(trial)}")
        return self._trials[key].latency_ratio

    def notes(self, allowed: float) -> list[str]:
        """Return what was timed, and what of it was kept, in words."""
        kept = self._kept(allowed)
        if kept is None:
            return []
        timed = "; ".join(map(_said, self._trials.values()))
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
            "latency_trials": [asdict(trial) for trial in self._trials.values()],
            "latency_ratio": None if kept is None else kept.latency_ratio,
        }

    def _kept(self, allowed: float) -> Trial | None:
        meeting = [trial for trial in self._trials.values() if trial.latency_ratio <= allowed]
        return min(meeting, key=lambda trial: trial.units_removed, default=None)

    def _store(self) -> None:
        if self._file is None:
            return
        content = json.dumps({key: trial.latency_ratio for key, trial in self._trials.items()})
        temporary = self._file.with_name(f"{self._file.name}.tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:
            # Not being able to go on after a crash is no reason to stop now.
            self._tools.log(f"Warning: what was timed can't be stored in {self._file.parent}: {error}")
            self._file = None


def _stored(file: Path | None) -> dict[str, float]:
    if file is None:
        return {}
    try:
        return {str(key): float(value) for key, value in json.loads(file.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        # Nothing was timed yet, or what was is damaged: it is timed again.
        return {}


def _said(trial: Trial) -> str:
    return f"{trial.latency_ratio:.2f} at {trial.macs_ratio:.2f} of the multiplications"
