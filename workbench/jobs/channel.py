"""The worker's end of the line: takes job specs from a stream, runs them one by one and sends typed messages back.

Input is read on a thread of its own, so that a cancel arrives while a job runs. Each line is {"job": id, "spec": {...}}
or {"cancel": id}. The end of the input means that the parent is gone: the running job is cancelled and `serve` returns.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from workbench.domain.cancel import CancelToken, Progress, TimeLeft
from workbench.domain.errors import CancelledError, JobError, WorkbenchError
from workbench.jobs.context import JobContext
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
from workbench.jobs.specs import JobSpec, job_spec_adapter

Handler = Callable[[JobSpec, JobContext], dict[str, Any]]

# Stands on standard error, before the job's id, once a job has printed all it will: the two pipes keep no order between
# them. The character is ASCII's record separator, which no text has.
END_OF_OUTPUT = b"\x1eend of job "

_PROGRESS_INTERVAL_S = 0.05
_ORPHAN_GRACE_S = 5.0


def serve(handler: Handler, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> None:
    """Run jobs until the input ends.

    Without streams the process's own standard input and output are taken over: whatever libraries print from then
    on goes to standard error, and children of the worker can't swallow its input.

    Args:
        handler: Does one job and returns its report as JSON; it polls `context.cancel`.
        stdin: Lines from the supervisor.
        stdout: Where messages go.
    """
    printed = _mark_end_of_output if stdout is None else lambda job: None
    if stdin is None:
        stdin = _take_over_input()
    if stdout is None:
        stdout = _take_over_output()
    _Server(handler, stdin, stdout, printed).run()


def _take_over_input() -> BinaryIO:
    own = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return os.fdopen(own, "rb")


def _take_over_output() -> BinaryIO:
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(own, "wb")


def _mark_end_of_output(job: str) -> None:
    with contextlib.suppress(OSError):  # a parent that is gone is noticed at the end of the input
        sys.stderr.flush()
        os.write(2, END_OF_OUTPUT + job.encode() + b"\n")


class _Server:
    """Reads lines on a thread, runs jobs on the caller's thread, writes messages from any thread.

    Args:
        handler: Does one job.
        stdin: Lines from the supervisor.
        stdout: Where messages go.
        printed: Called with a job's id once it has printed all it will, before its last message.
    """

    def __init__(self, handler: Handler, stdin: BinaryIO, stdout: BinaryIO, printed: Callable[[str], None]) -> None:
        self._handler = handler
        self._printed = printed
        self._stdin = stdin
        self._stdout = stdout
        self._write_lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[str, JobSpec] | None] = queue.SimpleQueue()
        self._tokens: dict[str, CancelToken] = {}
        self._finished = threading.Event()

    def run(self) -> None:
        """Work until the input ends."""
        threading.Thread(target=self._read, name="worker-input", daemon=True).start()
        try:
            while (job := self._jobs.get()) is not None:
                self._run_job(*job)
        finally:
            self._finished.set()

    def send(self, message: Message) -> None:
        """Write one message; a parent that is gone is noticed at the end of the input."""
        line = message_adapter.dump_json(message) + b"\n"
        with self._write_lock:
            try:
                self._stdout.write(line)
                self._stdout.flush()
            except OSError:
                self._cancel_all()

    def _read(self) -> None:
        for line in self._stdin:
            if line.strip():
                self._take(line)
        self._cancel_all()
        self._jobs.put(None)
        # A job that doesn't poll its token must not outlive the window that started it.
        if not self._finished.wait(_ORPHAN_GRACE_S):
            os._exit(1)

    def _take(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            if "cancel" in request:
                token = self._tokens.get(request["cancel"])
                if token is not None:
                    token.cancel()
                return
            job = str(request["job"])
        except (ValueError, TypeError, KeyError) as error:
            print(f"worker: ignored a malformed line ({error!r})", file=sys.stderr, flush=True)
            return
        try:
            spec = job_spec_adapter.validate_python(request.get("spec"))
        except ValueError as error:
            refusal = JobError("the worker does not understand this job", found=str(error))
            self._printed(job)
            self.send(Failed(job=job, error=refusal.to_json()))
            return
        self._tokens[job] = CancelToken()
        self._jobs.put((job, spec))

    def _cancel_all(self) -> None:
        for token in list(self._tokens.values()):
            token.cancel()

    def _run_job(self, job: str, spec: JobSpec) -> None:
        token = self._tokens[job]
        self.send(Started(job=job))
        pace = _Pace(job, self.send)
        context = JobContext(
            progress=Progress(pace.update),
            cancel=token,
            log=lambda text: self.send(LogMessage(job=job, text=text)),
            partial=lambda name, payload: self.send(Partial(job=job, name=name, payload=payload)),
        )
        try:
            last = self._outcome(job, spec, context)
        finally:
            pace.close()
            self._tokens.pop(job, None)
        self._printed(job)
        try:
            self.send(last)
        except ValueError as error:
            unsendable = JobError("the job's report can't be written as JSON", found=str(error))
            self.send(Failed(job=job, error=unsendable.to_json()))

    def _outcome(self, job: str, spec: JobSpec, context: JobContext) -> Message:
        try:
            context.cancel.raise_if_cancelled()
            return Result(job=job, payload=self._handler(spec, context))
        except CancelledError:
            return Cancelled(job=job)
        except WorkbenchError as error:
            return Failed(job=job, error=error.to_json(), traceback=traceback.format_exc())
        except (Exception, SystemExit) as error:  # the process border: whatever a plugin raises is the job's failure
            said = str(error).strip()
            name = type(error).__name__
            failure = JobError(
                f"{name}: {said}" if said else name,
                action="This is a fault of the program or of a plugin; the job's log has the details.",
            )
            return Failed(job=job, error=failure.to_json(), traceback=traceback.format_exc())


class _Pace:
    """Sends at most twenty progress messages a second, and never leaves the last one unsent."""

    def __init__(self, job: str, send: Callable[[Message], None]) -> None:
        self._job = job
        self._send = send
        self._time_left = TimeLeft()
        self._lock = threading.Lock()
        self._pending: tuple[float, str] | None = None
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-progress", daemon=True)
        self._thread.start()

    def update(self, fraction: float, text: str) -> None:
        """Note how far the job is."""
        with self._lock:
            self._pending = (fraction, text)
        self._wake.set()

    def close(self) -> None:
        """Send what is pending; nothing follows."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        self._flush()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            self._flush()
            self._closed.wait(_PROGRESS_INTERVAL_S)

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, None
        if pending is not None:
            fraction, text = pending
            left = self._time_left.seconds(fraction)
            self._send(ProgressMessage(job=self._job, fraction=fraction, text=text, seconds_left=left))
