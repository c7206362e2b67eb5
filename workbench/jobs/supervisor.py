"""Runs jobs in worker processes, so that whatever a job does (block, leak, crash) the caller goes on."""

from __future__ import annotations

import collections
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.domain.errors import JobError, WorkbenchError
from workbench.jobs.child import Child
from workbench.jobs.messages import (
    Cancelled,
    Failed,
    LogMessage,
    Message,
    Partial,
    ProgressMessage,
    Result,
    Started,
    message_adapter,
)
from workbench.jobs.record import JobRecord, Lane
from workbench.jobs.specs import JobSpec

__all__ = ["JobRecord", "Lane", "Supervisor"]

_LOG_LINES = 500
_KEPT_RECORDS = 500
_CLOSE_WAIT_S = 2.0
_PRINTED_S = 2.0


@dataclass
class _Lane:
    """One worker and the jobs that wait for it; guarded by the supervisor's lock."""

    name: Lane
    queue: collections.deque[tuple[str, JobSpec]] = field(default_factory=collections.deque)
    current: str | None = None
    sent: bool = False
    child: Child | None = None
    killer: threading.Timer | None = None
    thread: threading.Thread | None = None


class Supervisor:
    """Queues jobs, one at a time for each lane, each lane with a worker process that is started when first needed.

    Cancelling has three steps: the worker sets the job's token, which the job polls; the token interrupts blocking
    calls that registered with it; a job that still runs after the grace period is killed with its worker.

    Args:
        command: Starts a worker that calls `workbench.jobs.channel.serve`.
        listener: Called with every message of every job, on threads of the supervisor (a cancel of a queued job: on
            the caller's), one call at a time, after `jobs` shows it. Not called any more once `close` has begun.
        grace_s: Seconds between a cancel and the kill.
        log_folder: Where the workers' standard error is appended to `worker-<lane>.log`, or None.
        polite: Whether workers let other processes have the processor first, as those of a window should.
    """

    def __init__(
        self,
        command: Sequence[str],
        listener: Callable[[Message], None],
        *,
        grace_s: float = 5.0,
        log_folder: Path | None = None,
        polite: bool = True,
    ) -> None:
        self._command = tuple(command)
        self._listener = listener
        self._grace_s = grace_s
        self._log_folder = log_folder
        self._polite = polite
        self._changed = threading.Condition()
        self._telling = threading.RLock()
        self._records: dict[str, JobRecord] = {}
        self._lanes: dict[Lane, _Lane] = {}
        self._closed = False

    @property
    def jobs(self) -> tuple[JobRecord, ...]:
        """All jobs, oldest first."""
        with self._changed:
            return tuple(self._records.values())

    def record(self, job: str) -> JobRecord:
        """Return one job; KeyError if there is none."""
        with self._changed:
            return self._records[job]

    def submit(self, spec: JobSpec, *, title: str, lane: Lane = "batch") -> str:
        """Queue a job and return its id.

        Raises:
            JobError: the supervisor is closed.
        """
        job = uuid.uuid4().hex
        with self._changed:
            if self._closed:
                raise JobError("the program is closing; no job can be started")
            self._records[job] = JobRecord(job, title, lane, datetime.now(UTC))
            self._forget_old()
            place = self._lanes.setdefault(lane, _Lane(lane))
            place.queue.append((job, spec))
            if place.thread is None:
                place.thread = threading.Thread(
                    target=self._drive, args=(place,), name=f"supervisor-{lane}", daemon=True
                )
                place.thread.start()
            self._changed.notify_all()
        return job

    def cancel(self, job: str) -> None:
        """Stop a job: a queued one at once, a running one within the grace period; a finished one stays as it is."""
        with self._changed:
            record = self._records.get(job)
            if record is None or record.finished or record.cancelling:
                return
            lane = self._lanes[record.lane]
            queued = [entry for entry in lane.queue if entry[0] == job]
            if queued:
                lane.queue.remove(queued[0])
            else:
                self._records[job] = replace(record, cancelling=True)
                if lane.sent and lane.current == job:
                    self._begin_cancel(lane, job)
        if queued:
            self._tell(Cancelled(job=job))

    def wait(self, job: str, timeout_s: float | None = None) -> JobRecord:
        """Block until a job is finished (or the timeout is over) and return its record."""
        with self._changed:
            self._changed.wait_for(lambda: self._records[job].finished, timeout_s)
            record = self._records[job]
        with self._telling:  # the listener has heard of it too
            return record

    def close(self) -> None:
        """End all workers; jobs that are not finished count as cancelled. Nothing is left behind."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            now = datetime.now(UTC)
            for lane in self._lanes.values():
                lane.queue.clear()
            self._changed.notify_all()
            children = [lane.child for lane in self._lanes.values() if lane.child is not None]
        for child in children:
            child.hang_up()
        for child in children:
            child.close(min(self._grace_s, _CLOSE_WAIT_S))
        for lane in self._lanes.values():
            if lane.thread is not None and lane.thread is not threading.current_thread():
                lane.thread.join()
        with self._changed:
            for record in list(self._records.values()):
                if not record.finished:
                    self._records[record.id] = replace(record, state="cancelled", ended=now, seconds_left=None)
            self._changed.notify_all()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _drive(self, lane: _Lane) -> None:
        """Take one job after the other until the supervisor closes; runs on the lane's thread."""
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or bool(lane.queue))
                    if self._closed:
                        return
                    job, spec = lane.queue.popleft()
                    lane.current = job
                self._run(lane, job, spec)
                with self._changed:
                    lane.current = None
        finally:
            if lane.child is not None:
                lane.child.close(0.0)
                lane.child.release()

    def _run(self, lane: _Lane, job: str, spec: JobSpec) -> None:
        try:
            child = self._living_child(lane)
        except OSError as error:
            failure = JobError("the worker process can't be started", found=str(error), where=self._command[0])
            self._tell(Failed(job=job, error=failure.to_json()))
            return
        child.send({"job": job, "spec": spec.model_dump(mode="json")})
        with self._changed:
            lane.sent = True
            if self._records[job].cancelling:  # asked for while the worker was being started
                self._begin_cancel(lane, job)
        last = self._listen(child, job)
        with self._changed:
            lane.sent = False
            if lane.killer is not None:
                lane.killer.cancel()
                lane.killer = None
        if last is None:
            crash, output = child.crash()
            cancelling = self.record(job).cancelling
            last = Cancelled(job=job) if cancelling else Failed(job=job, error=crash.to_json(), traceback=output)
            with self._changed:
                lane.child = None
            child.release()
        else:
            child.wait_printed(job, _PRINTED_S)
        self._tell(last)

    def _listen(self, child: Child, job: str) -> Message | None:
        """Pass on messages until the job's last one, which is returned; None if the worker died first."""
        for line in child.lines():
            try:
                message = message_adapter.validate_json(line)
            except ValueError:
                text = line.decode("utf-8", "replace").rstrip()
                self._tell(LogMessage(job=job, text=f"unexpected output of the worker: {text}"))
                continue
            if message.job != job:
                continue  # a late word of a job that is finished
            if isinstance(message, (Result, Failed, Cancelled)):
                return message
            self._tell(message)
        return None

    def _living_child(self, lane: _Lane) -> Child:
        if lane.child is not None and not lane.child.alive:
            lane.child.release()
            lane.child = None
        if lane.child is None:
            log = None if self._log_folder is None else Path(self._log_folder) / f"worker-{lane.name}.log"
            child = Child(self._command, lambda text: self._on_stderr(lane, text), log, polite=self._polite)
            with self._changed:
                lane.child = child
                if self._closed:
                    child.kill()
        return lane.child

    def _begin_cancel(self, lane: _Lane, job: str) -> None:
        child = lane.child
        if child is None or lane.killer is not None:
            return
        child.send({"cancel": job})
        lane.killer = threading.Timer(self._grace_s, self._kill, (lane, job, child))
        lane.killer.daemon = True
        lane.killer.start()

    def _kill(self, lane: _Lane, job: str, child: Child) -> None:
        with self._changed:
            if lane.sent and lane.current == job and lane.child is child:
                child.kill()

    def _on_stderr(self, lane: _Lane, text: str) -> None:
        with self._changed:
            job = lane.current
        if job is not None and text:
            self._tell(LogMessage(job=job, text=text))

    def _tell(self, message: Message) -> None:
        """Bring the record up to date, then call the listener."""
        with self._telling:
            with self._changed:
                record = self._records.get(message.job)
                if record is None or record.finished or self._closed:
                    return
                self._records[message.job] = _updated(record, message)
                self._changed.notify_all()
            self._listener(message)

    def _forget_old(self) -> None:
        finished = [record.id for record in self._records.values() if record.finished]
        for job in finished[: max(0, len(self._records) - _KEPT_RECORDS)]:
            del self._records[job]


def _updated(record: JobRecord, message: Message) -> JobRecord:
    now = datetime.now(UTC)
    over: dict[str, Any] = {"ended": now, "seconds_left": None, "cancelling": False}
    match message:
        case Started():
            return replace(record, state="running", started=now)
        case ProgressMessage():
            return replace(record, fraction=message.fraction, text=message.text, seconds_left=message.seconds_left)
        case LogMessage():
            return replace(record, log=(*record.log, message.text)[-_LOG_LINES:])
        case Partial():
            return record
        case Result():
            return replace(record, state="done", fraction=1.0, **over)
        case Failed():
            lines = tuple(message.traceback.splitlines())
            log = (*record.log, *lines)[-_LOG_LINES:]
            error = WorkbenchError.from_json(message.error)
            return replace(record, state="failed", error=error, log=log, **over)
        case Cancelled():
            return replace(record, state="cancelled", **over)
