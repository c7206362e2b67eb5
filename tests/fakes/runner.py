"""A supervisor without processes: it remembers what was submitted, and a test says what the worker answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from workbench.domain.errors import WorkbenchError
from workbench.jobs.messages import Cancelled, Failed, LogMessage, Message, Partial, ProgressMessage, Result, Started
from workbench.jobs.record import JobRecord, Lane
from workbench.jobs.specs import JobSpec


class FakeRunner:
    """Runner for JobsBridge(FakeRunner); `specs` holds every submitted spec by job id ("job1", "job2", …)."""

    def __init__(self, listener: Callable[[Message], None]) -> None:
        self.specs: dict[str, JobSpec] = {}
        self.cancelled: list[str] = []
        self.closed = False
        self._listener = listener
        self._records: dict[str, JobRecord] = {}

    @property
    def jobs(self) -> tuple[JobRecord, ...]:
        """All jobs, oldest first."""
        return tuple(self._records.values())

    def record(self, job: str) -> JobRecord:
        """Return one job; KeyError if there is none."""
        return self._records[job]

    def submit(self, spec: JobSpec, *, title: str, lane: Lane = "batch") -> str:
        """Remember the job."""
        job = f"job{len(self.specs) + 1}"
        self.specs[job] = spec
        self._records[job] = JobRecord(job, title, lane, datetime.now(UTC))
        return job

    def cancel(self, job: str) -> None:
        """Remember the wish; `confirm_cancel` answers it."""
        self.cancelled.append(job)
        self._change(job, cancelling=True)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def last(self, kind: str) -> str:
        """Return the id of the newest job of a kind; LookupError if there is none."""
        found = [job for job, spec in self.specs.items() if spec.kind == kind]
        if not found:
            raise LookupError(f"no {kind} job among {[spec.kind for spec in self.specs.values()]}")
        return found[-1]

    def start(self, job: str) -> None:
        """Say that a worker took the job up."""
        self._change(job, state="running", started=datetime.now(UTC))
        self._listener(Started(job=job))

    def progress(self, job: str, fraction: float, text: str = "", seconds_left: float | None = None) -> None:
        """Say how far the job is."""
        self._change(job, fraction=fraction, text=text, seconds_left=seconds_left)
        self._listener(ProgressMessage(job=job, fraction=fraction, text=text, seconds_left=seconds_left))

    def log(self, job: str, text: str) -> None:
        """Add a line to the job's log."""
        self._change(job, log=(*self._records[job].log, text))
        self._listener(LogMessage(job=job, text=text))

    def partial(self, job: str, name: str, payload: dict[str, Any]) -> None:
        """Hand in an early result."""
        self._listener(Partial(job=job, name=name, payload=payload))

    def finish(self, job: str, payload: dict[str, Any]) -> None:
        """Hand in the job's report."""
        self._end(job, state="done", fraction=1.0)
        self._listener(Result(job=job, payload=payload))

    def fail(self, job: str, error: WorkbenchError, traceback: str = "") -> None:
        """Let the job fail."""
        log = (*self._records[job].log, *traceback.splitlines())
        self._end(job, state="failed", error=error, log=log)
        self._listener(Failed(job=job, error=error.to_json(), traceback=traceback))

    def confirm_cancel(self, job: str) -> None:
        """Say that the job stopped."""
        self._end(job, state="cancelled")
        self._listener(Cancelled(job=job))

    def _end(self, job: str, **fields: Any) -> None:
        self._change(job, ended=datetime.now(UTC), seconds_left=None, **fields)

    def _change(self, job: str, **fields: Any) -> None:
        self._records[job] = replace(self._records[job], **fields)
