"""Carries the supervisor's messages, which arrive on its threads, into the window's thread as Qt signals.

Panels see frozen records; whoever submits a job hands in callbacks that are called in the window's thread.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from PySide6.QtCore import QObject, Qt, Signal

from workbench.domain.errors import WorkbenchError
from workbench.jobs.messages import (
    Cancelled,
    Failed,
    LogMessage,
    Message,
    Partial,
    ProgressMessage,
    Result,
    Started,
)
from workbench.jobs.specs import JobSpec

Lane = Literal["interactive", "heavy"]
Status = Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]

_LOG_LINES = 2000


class Runner(Protocol):
    """What the bridge needs of a supervisor."""

    def submit(self, spec: JobSpec, on_message: Callable[[Message], None], *, lane: str) -> str:
        """Queue a job and return its id; messages may come from any thread, from now on."""
        ...

    def cancel(self, job: str) -> None:
        """Begin to stop a job; answers at once."""
        ...

    def close(self) -> None:
        """Stop everything."""
        ...


@dataclass(frozen=True)
class JobRecord:
    """A job as panels show it.

    Attributes:
        status: "cancelling" from the click until the worker has stopped.
        fraction: 0-1 of the work that is done.
        seconds_left: Estimate, or None while it is too early.
        log: Last lines of its log.
        error: Why it failed.
    """

    id: str
    title: str
    lane: Lane
    kind: str
    status: Status = "queued"
    fraction: float = 0.0
    text: str = ""
    seconds_left: float | None = None
    log: tuple[str, ...] = ()
    error: WorkbenchError | None = None
    submitted: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    finished: datetime.datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it still waits or works."""
        return self.status in ("queued", "running", "cancelling")


@dataclass
class _Callbacks:
    on_result: Callable[[dict[str, Any]], None] | None
    on_partial: Callable[[str, dict[str, Any]], None] | None
    on_failed: Callable[[WorkbenchError], None] | None
    on_cancelled: Callable[[dict[str, Any] | None], None] | None


class JobsBridge(QObject):
    """The window's view of all jobs.

    Signals:
        jobChanged: Id of a job whose record changed or is new.
        jobFailed: Record of a job that failed, for the banner (not sent where the submitter handles failures).
    """

    jobChanged = Signal(str)
    jobFailed = Signal(object)
    _arrived = Signal(object)

    def __init__(self, runner: Runner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = runner
        self._records: dict[str, JobRecord] = {}
        self._callbacks: dict[str, _Callbacks] = {}
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)

    @property
    def records(self) -> tuple[JobRecord, ...]:
        """All jobs since the window opened, oldest first."""
        return tuple(self._records.values())

    @property
    def active(self) -> tuple[JobRecord, ...]:
        """The jobs that wait or work."""
        return tuple(record for record in self._records.values() if record.active)

    def record(self, job: str) -> JobRecord:
        """Return one job's record; KeyError if there is none."""
        return self._records[job]

    def submit(
        self,
        spec: JobSpec,
        title: str,
        lane: Lane = "heavy",
        on_result: Callable[[dict[str, Any]], None] | None = None,
        on_partial: Callable[[str, dict[str, Any]], None] | None = None,
        on_failed: Callable[[WorkbenchError], None] | None = None,
        on_cancelled: Callable[[dict[str, Any] | None], None] | None = None,
    ) -> str:
        """Queue a job and return its id; callbacks come later, in the window's thread.

        Args:
            spec: What to do.
            title: What the jobs panel says, e.g. "Sensitivity of weight bits".
            lane: "interactive" for what the user waits for, "heavy" for the rest; lanes don't wait for each other.
            on_result: Takes the report's JSON.
            on_partial: Takes (name, payload) of each early result.
            on_failed: Takes the error; without it the window shows it in the banner.
            on_cancelled: Takes what was finished by then.
        """
        job = self._runner.submit(spec, self._arrived.emit, lane=lane)
        self._records[job] = JobRecord(id=job, title=title, lane=lane, kind=spec.kind)
        self._callbacks[job] = _Callbacks(on_result, on_partial, on_failed, on_cancelled)
        self.jobChanged.emit(job)
        return job

    def cancel(self, job: str) -> None:
        """Stop a job; its record says "cancelling" at once."""
        record = self._records.get(job)
        if record is not None and record.active:
            self._update(job, status="cancelling")
            self._runner.cancel(job)

    def clear_finished(self) -> None:
        """Forget all jobs that neither wait nor work."""
        for record in tuple(self._records.values()):
            if not record.active:
                del self._records[record.id]
                self.jobChanged.emit(record.id)

    def close(self) -> None:
        """Stop everything and forget who waits for it."""
        self._callbacks.clear()
        self._runner.close()

    def _update(self, job: str, **fields: Any) -> None:
        self._records[job] = replace(self._records[job], **fields)
        self.jobChanged.emit(job)

    def _take(self, message: Message) -> None:
        record = self._records.get(message.job)
        if record is None:
            return
        callbacks = self._callbacks.get(message.job)
        match message:
            case Started():
                if record.status == "queued":
                    self._update(message.job, status="running")
            case ProgressMessage():
                self._update(
                    message.job, fraction=message.fraction, text=message.text, seconds_left=message.seconds_left
                )
            case LogMessage():
                self._update(message.job, log=(*record.log, message.text)[-_LOG_LINES:])
            case Partial():
                if callbacks and callbacks.on_partial:
                    callbacks.on_partial(message.name, message.payload)
            case Result() | Failed() | Cancelled():
                self._finish(message, callbacks)

    def _finish(self, message: Result | Failed | Cancelled, callbacks: _Callbacks | None) -> None:
        """Call the submitter first, so that whoever hears of the end finds the document up to date."""
        self._callbacks.pop(message.job, None)
        ended: dict[str, Any] = {"finished": datetime.datetime.now(datetime.UTC), "seconds_left": None}
        match message:
            case Result():
                if callbacks and callbacks.on_result:
                    callbacks.on_result(message.payload)
                self._update(message.job, status="done", fraction=1.0, **ended)
            case Failed():
                error = WorkbenchError.from_json(message.error)
                log = self._records[message.job].log
                if message.traceback:
                    log = (*log, *message.traceback.splitlines())
                self._update(message.job, status="failed", error=error, log=log, **ended)
                if callbacks and callbacks.on_failed:
                    callbacks.on_failed(error)
                else:
                    self.jobFailed.emit(self._records[message.job])
            case Cancelled():
                if callbacks and callbacks.on_cancelled:
                    callbacks.on_cancelled(message.payload)
                self._update(message.job, status="cancelled", **ended)
