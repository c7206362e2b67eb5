"""Carries the supervisor's messages, which arrive on its threads, into the window's thread as Qt signals.

Messages that come in a crowd are spread over turns of the event loop, which Qt would not do with queued signals: it
delivers all of them before the window may paint or hear its user. Panels see frozen records; whoever submits a job
hands in callbacks that are called in the window's thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from workbench.domain.errors import WorkbenchError
from workbench.jobs.messages import Cancelled, Failed, Message, Partial, Result
from workbench.jobs.record import JobRecord, Lane
from workbench.jobs.specs import JobSpec
from workbench.ui.turns import TURN_MS

__all__ = ["JobRecord", "JobsBridge", "Lane", "Runner"]

_TURN_S = 0.010


class Runner(Protocol):
    """What the bridge needs of `workbench.jobs.supervisor.Supervisor`."""

    @property
    def jobs(self) -> tuple[JobRecord, ...]:
        """All jobs, oldest first."""
        ...

    def record(self, job: str) -> JobRecord:
        """Return one job; KeyError if there is none."""
        ...

    def submit(self, spec: JobSpec, *, title: str, lane: Lane = "batch") -> str:
        """Queue a job and return its id."""
        ...

    def cancel(self, job: str) -> None:
        """Begin to stop a job; answers at once."""
        ...

    def close(self) -> None:
        """Stop everything."""
        ...


@dataclass(frozen=True)
class _Callbacks:
    on_result: Callable[[dict[str, Any]], None] | None
    on_partial: Callable[[str, dict[str, Any]], None] | None
    on_failed: Callable[[WorkbenchError], None] | None
    on_cancelled: Callable[[dict[str, Any] | None], None] | None


class JobsBridge(QObject):
    """The window's view of all jobs.

    Args:
        start: Makes the supervisor, given the listener that it calls with every message.

    Signals:
        jobChanged: Id of a job whose record changed or is new; sent after the submitter's callback was called.
        jobFailed: (id, WorkbenchError) of a job that failed and whose submitter does not handle failures.
    """

    jobChanged = Signal(str)
    jobFailed = Signal(str, object)
    _arrived = Signal(object)

    def __init__(self, start: Callable[[Callable[[Message], None]], Runner], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._callbacks: dict[str, _Callbacks] = {}
        self._specs: dict[str, JobSpec] = {}
        self._closed = False
        self._waiting: deque[Message] = deque()
        self._spent_s = 0.0
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.setInterval(TURN_MS)
        self._turn.timeout.connect(self._next_turn)
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._runner = start(self._arrived.emit)

    @property
    def records(self) -> tuple[JobRecord, ...]:
        """All jobs since the window opened, oldest first."""
        return self._runner.jobs

    @property
    def active(self) -> tuple[JobRecord, ...]:
        """The jobs that wait or work."""
        return tuple(record for record in self._runner.jobs if not record.finished)

    def record(self, job: str) -> JobRecord:
        """Return one job's record; KeyError if there is none."""
        return self._runner.record(job)

    def spec(self, job: str) -> JobSpec | None:
        """Return what a job was asked to do, so that a panel can show where its result will land."""
        return self._specs.get(job)

    def submit(
        self,
        spec: JobSpec,
        title: str,
        lane: Lane = "batch",
        on_result: Callable[[dict[str, Any]], None] | None = None,
        on_partial: Callable[[str, dict[str, Any]], None] | None = None,
        on_failed: Callable[[WorkbenchError], None] | None = None,
        on_cancelled: Callable[[dict[str, Any] | None], None] | None = None,
    ) -> str:
        """Queue a job and return its id; callbacks come later, in the window's thread.

        Args:
            spec: What to do.
            title: What the jobs panel says, e.g. "Sensitivity of weight bits".
            lane: "interactive" for what the user waits for, "batch" for the rest; lanes don't wait for each other.
            on_result: Takes the report's JSON.
            on_partial: Takes (name, payload) of each early result.
            on_failed: Takes the error; without it the window shows the error in its banner.
            on_cancelled: Takes what was finished by then.
        """
        job = self._runner.submit(spec, title=title, lane=lane)
        self._specs[job] = spec
        self._callbacks[job] = _Callbacks(on_result, on_partial, on_failed, on_cancelled)
        self.jobChanged.emit(job)
        return job

    def cancel(self, job: str) -> None:
        """Stop a job; its record says so at once."""
        self._runner.cancel(job)
        self.jobChanged.emit(job)

    def forget(self, job: str) -> None:
        """Stop a job whose result nobody wants any more, because its project is no longer shown."""
        self._callbacks[job] = _Callbacks(None, None, _nothing, None)
        self.cancel(job)

    def close(self) -> None:
        """Stop everything and forget who waits for it."""
        self._closed = True
        self._waiting.clear()
        self._callbacks.clear()
        self._runner.close()

    def _take(self, message: Message) -> None:
        """Handle a message now, or in a later turn if this one was long enough already."""
        if self._closed:
            return
        self._waiting.append(message)
        if not self._turn.isActive():
            self._turn.start()
            self._spent_s = 0.0
        self._handle_waiting()

    def _next_turn(self) -> None:
        self._spent_s = 0.0
        if self._waiting:
            self._handle_waiting()
            self._turn.start()

    def _handle_waiting(self) -> None:
        while self._waiting and self._spent_s < _TURN_S:
            began = time.perf_counter()
            self._handle(self._waiting.popleft())
            self._spent_s += time.perf_counter() - began

    def _handle(self, message: Message) -> None:
        callbacks = self._callbacks.get(message.job)
        match message:
            case Partial():
                if callbacks and callbacks.on_partial:
                    callbacks.on_partial(message.name, message.payload)
            case Result() | Failed() | Cancelled():
                self._callbacks.pop(message.job, None)
                self._finish(message, callbacks)
        self.jobChanged.emit(message.job)

    def _finish(self, message: Result | Failed | Cancelled, callbacks: _Callbacks | None) -> None:
        match message:
            case Result():
                if callbacks and callbacks.on_result:
                    callbacks.on_result(message.payload)
            case Failed():
                error = WorkbenchError.from_json(message.error)
                if callbacks and callbacks.on_failed:
                    callbacks.on_failed(error)
                else:
                    self.jobFailed.emit(message.job, error)
            case Cancelled():
                if callbacks and callbacks.on_cancelled:
                    callbacks.on_cancelled(message.payload)


def _nothing(error: WorkbenchError) -> None:
    """Take an error that concerns nobody any more."""
