"""A job as the jobs panel shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from workbench.domain.errors import WorkbenchError

Lane = Literal["interactive", "batch"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class JobRecord:
    """A snapshot of one job.

    Attributes:
        lane: The worker it runs in; "interactive" jobs don't wait behind long ones.
        fraction: Share that is done, 0-1.
        text: What is being done.
        seconds_left: Estimate, or None while it can't be said.
        cancelling: A cancel was asked for and has not taken effect yet.
        submitted, started, ended: In UTC; None for what has not happened yet.
        log: The last lines.
        error: Why it failed.
    """

    id: str
    title: str
    lane: Lane
    submitted: datetime
    state: JobState = "queued"
    fraction: float = 0.0
    text: str = ""
    seconds_left: float | None = None
    cancelling: bool = False
    started: datetime | None = None
    ended: datetime | None = None
    log: tuple[str, ...] = ()
    error: WorkbenchError | None = None

    @property
    def finished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in ("done", "failed", "cancelled")
