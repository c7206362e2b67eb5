"""Times what a method tries out on its way to a target of latency: nothing twice, and nothing again after a crash.

Time falls in stairs, so what counts is what was timed, never what multiplications promise. The same recipe may choose
otherwise another day; what was timed is kept beside the step's checkpoint, so that a step that was killed goes on with
the choice that it began with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workbench.domain.errors import JobError
from workbench.graph.model import ModelGraph
from workbench.methods.method import Tools

# Sessions of one file agree within 2 %; closer to the target than that, another trial says nothing more.
_CLOSE: Final = 0.01


class LatencyTrials:
    """Times graphs of one step against the original and remembers them.

    Args:
        tools: Of the step.
        method: Names it in messages.
        where: The parameter that asks for a latency.
        action: What to do where nothing can be timed.

    Raises:
        JobError: nothing can be timed here.
    """

    def __init__(self, tools: Tools, method: str, where: str, action: str) -> None:
        if tools.latency_ratio is None:
            raise JobError(f"{method} aims at a latency, and nothing measures latency here", where=where, action=action)
        self._measure = tools.latency_ratio
        self._tools = tools
        self._found: dict[str, float] = {}
        checkpoint = tools.checkpoint
        self._file = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.timed")
        self._earlier = _stored(self._file)

    def __len__(self) -> int:
        """Return how many graphs were timed."""
        return len(self._found)

    @staticmethod
    def close(ratio: float, allowed: float) -> bool:
        """Whether a ratio meets a target so closely that a search may end."""
        return allowed - _CLOSE <= ratio <= allowed

    def knows(self, key: object) -> bool:
        """Whether this was timed in this run."""
        return _digest(key) in self._found

    def ratio(self, key: object, build: Callable[[], ModelGraph], what: str) -> float:
        """Return the time that a graph takes as a share of the original's.

        Args:
            key: What decides the graph, beside the step; anything whose `repr` says all of it.
            build: Returns the graph; not called where it was timed before.
            what: The graph in words, for the log.

        Raises:
            CancelledError: cancelled.
        """
        digest = _digest(key)
        if digest not in self._found:
            self._tools.cancel.raise_if_cancelled()
            earlier = self._earlier.get(digest)
            self._found[digest] = float(self._measure(build())) if earlier is None else earlier
            self._store()
            self._tools.log(f"Timed: {self._found[digest]:.3f} {what}")
        return self._found[digest]

    def _store(self) -> None:
        if self._file is None:
            return
        temporary = self._file.with_name(f"{self._file.name}.tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._found), encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:
            # Not being able to go on after a crash is no reason to stop now.
            self._tools.log(f"Warning: what was timed can't be stored in {self._file.parent}: {error}")
            self._file = None


def _digest(key: object) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()


def _stored(file: Path | None) -> dict[str, float]:
    if file is None:
        return {}
    try:
        return {str(key): float(value) for key, value in json.loads(file.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        # Nothing was timed yet, or what was is damaged: it is timed again.
        return {}
