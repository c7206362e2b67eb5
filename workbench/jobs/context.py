"""What a running job may do besides computing: say how far it is, hand over partial results, notice a cancel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.domain.cancel import CancelToken, Progress


@dataclass(frozen=True)
class JobContext:
    """Handed to every job handler.

    Attributes:
        progress: Of the whole job.
        cancel: Polled between batches.
        log: Takes a line for the job's log.
        partial: Takes (name, JSON payload) of a result that is already final.
    """

    progress: Progress = field(default_factory=Progress)
    cancel: CancelToken = field(default_factory=CancelToken)
    log: Callable[[str], None] = lambda text: None
    partial: Callable[[str, dict[str, Any]], None] = lambda name, payload: None
