"""One worker process as the supervisor holds it: started, written to, read line by line, killed with all it started."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from workbench.domain.errors import WorkerCrashError
from workbench.jobs.channel import END_OF_OUTPUT

# Windows hands inheritable handles to every process started meanwhile: one start at a time keeps pipes private.
_spawning = threading.Lock()

_TAIL_LINES = 100
_NICENESS = 10


class Child:
    """A running worker.

    Args:
        command: Program and arguments.
        on_stderr: Called on a thread of this object with every line that the worker writes to standard error.
        log: File that standard error is also appended to, or None.
        polite: Let other processes have the processor first.

    Raises:
        OSError: the program can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_stderr: Callable[[str], None],
        log: Path | None = None,
        *,
        polite: bool = True,
    ) -> None:
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        else:
            options["process_group"] = 0  # Ctrl-C in a terminal is the parent's to handle
        with _spawning:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
            )
        if polite:
            _give_way(self._process.pid)
        self._write_lock = threading.Lock()
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._on_stderr = on_stderr
        self._log = log
        self._killed = False
        self._printed: set[str] = set()
        self._printing = threading.Condition()
        self._stderr_thread = threading.Thread(target=self._collect, name="worker-stderr", daemon=True)
        self._stderr_thread.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs and is not about to end."""
        return not self._killed and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, request: dict[str, Any]) -> None:
        """Write one line; a dead worker is noticed by the reader."""
        assert self._process.stdin is not None
        with self._write_lock, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of standard output until the process ends."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            yield line

    def wait_printed(self, job: str, wait_s: float) -> None:
        """Wait until everything that a finished job printed has been passed on."""
        with self._printing:
            self._printing.wait_for(lambda: job in self._printed or not self._stderr_thread.is_alive(), wait_s)
            self._printed.discard(job)

    def crash(self) -> tuple[WorkerCrashError, str]:
        """Wait for the end of a process whose output ended; return the error and its last output."""
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:  # it closed its output but lives on: useless to us
            self.kill()
            code = self._process.wait()
        self._stderr_thread.join(1.0)
        output = "\n".join(self._tail)
        return WorkerCrashError(
            f"the worker process stopped unexpectedly ({_describe(code)})",
            found=f"as its last output: {self._tail[-1]}" if self._tail else None,
            action=_advice(code),
        ), output

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        self._killed = True
        descendants: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            descendants = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def hang_up(self) -> None:
        """Close the process's input, which asks it to end."""
        assert self._process.stdin is not None
        with self._write_lock, contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self, wait_s: float) -> None:
        """Ask the process to end and kill it if it has not after `wait_s` seconds."""
        self.hang_up()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def release(self) -> None:
        """Close the pipes of a process that has ended, once nobody reads them any more."""
        self._process.wait()
        self._stderr_thread.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None and not (stream is self._process.stderr and self._stderr_thread.is_alive()):
                with contextlib.suppress(OSError):
                    stream.close()

    def _collect(self) -> None:
        assert self._process.stderr is not None
        with contextlib.ExitStack() as stack:
            file = None
            if self._log is not None:
                with contextlib.suppress(OSError):  # a log that can't be written must not stop the work
                    self._log.parent.mkdir(parents=True, exist_ok=True)
                    file = stack.enter_context(self._log.open("ab"))
            for read in self._process.stderr:
                line, mark, job = read.partition(END_OF_OUTPUT)
                if mark:
                    with self._printing:
                        self._printed.add(job.decode("utf-8", "replace").rstrip())
                        self._printing.notify_all()
                    if not line:
                        continue
                text = line.decode("utf-8", "replace").rstrip()
                self._tail.append(text)
                if file is not None:
                    with contextlib.suppress(OSError):
                        file.write(line)
                        file.flush()
                self._on_stderr(text)


def _give_way(pid: int) -> None:
    """Let the window, which needs little, have the processor before a worker that takes all of it."""
    priority = _NICENESS
    if sys.platform == "win32":
        priority = subprocess.BELOW_NORMAL_PRIORITY_CLASS
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).nice(priority)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"signal {-code}"


def _advice(code: int) -> str:
    if code == -9:
        return "The system ends processes this way when memory runs out: close other programs, or use a smaller batch."
    return "Nothing of the project is lost; run the job again, its log has the worker's last output."
