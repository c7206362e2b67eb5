"""What times graphs for methods that aim at a latency, so that no method needs to know about devices."""

from __future__ import annotations

from typing import Protocol

from workbench.domain.cancel import CancelToken
from workbench.graph.model import ModelGraph


class LatencyGauge(Protocol):
    """Times a step's trial graphs against the original, the way the candidate will be timed in the end."""

    @property
    def setting(self) -> str:
        """Device, threads, batch and sizes in words: what else than the graph decides the result."""
        ...

    def ratio(self, graph: ModelGraph, cancel: CancelToken) -> float:
        """Return the graph's time as a share of the original's; both are run in interleaved rounds.

        Raises:
            ModelFileError: the runtime refuses the graph.
            BadInputError: there is no such device, or a dynamic dimension without a value.
            CancelledError: `cancel` was set.
        """
        ...
