"""A supervisor without processes: it remembers what was submitted, and a test says what the worker answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.jobs.messages import Cancelled, Failed, LogMessage, Message, ProgressMessage, Result, Started
from workbench.jobs.specs import JobSpec


class FakeRunner:
    """Runner for JobsBridge; `specs` holds every submitted spec by job id."""

    def __init__(self) -> None:
        self.specs: dict[str, JobSpec] = {}
        self.cancelled: list[str] = []
        self.closed = False
        self._send: dict[str, Callable[[Message], None]] = {}

    def submit(self, spec: JobSpec, on_message: Callable[[Message], None], *, lane: str, **_: Any) -> str:
        """Remember the job."""
        job = f"job{len(self.specs) + 1}"
        self.specs[job] = spec
        self._send[job] = on_message
        return job

    def cancel(self, job: str) -> None:
        """Remember the wish; `confirm_cancel` answers it."""
        self.cancelled.append(job)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def start(self, job: str) -> None:
        """Say that a worker took the job up."""
        self._send[job](Started(job=job))

    def progress(self, job: str, fraction: float, text: str = "", seconds_left: float | None = None) -> None:
        """Say how far the job is."""
        self._send[job](ProgressMessage(job=job, fraction=fraction, text=text, seconds_left=seconds_left))

    def log(self, job: str, text: str) -> None:
        """Add a line to the job's log."""
        self._send[job](LogMessage(job=job, text=text))

    def finish(self, job: str, payload: dict[str, Any]) -> None:
        """Hand in the job's report."""
        self._send[job](Result(job=job, payload=payload))

    def fail(self, job: str, error: dict[str, Any], traceback: str = "") -> None:
        """Let the job fail."""
        self._send[job](Failed(job=job, error=error, traceback=traceback))

    def confirm_cancel(self, job: str) -> None:
        """Say that the job stopped."""
        self._send[job](Cancelled(job=job))
