"""Measurements that outlive the connection which asked for them: started, watched, stopped and cleared away.

A run is a folder: job.json, status.json, result.json, log.txt, pid, and a lock that its process holds while it lives,
which tells a living process from another one that was given the same number later. Nothing compares clocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

from workbench.devices.agent.answers import DONE, AgentError, Answers
from workbench.devices.agent.bandwidth import measure_bandwidth
from workbench.devices.agent.energy import measure_energy
from workbench.devices.agent.kernels import time_kernels
from workbench.devices.agent.measuring import added_memory, measure
from workbench.devices.agent.store import ModelStore
from workbench.devices.agent.throughput import measure_throughput

_LOOK_S = 0.1
_STATUS_EVERY_S = 0.3
_KEPT_ENDED = 8
_TAIL_BYTES = 4000


class Runs:
    """The runs in a folder.

    Args:
        folder: Of the agent.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._folder = folder / "runs"
        self._store = ModelStore(folder)

    def start(self, run: str, job: Mapping[str, Any]) -> list[str]:
        """Begin a run in a process of its own, and return the hashes of models that must be sent before it can begin.

        A run that was begun already stays as it is: the answer to an earlier call got lost.
        """
        place = self._folder / run
        if place.exists():
            return []
        needed = [model["sha256"] for model in job["models"]]
        lacking = sorted({sha256 for sha256 in needed if not self._store.has(sha256)})
        if lacking:
            return lacking
        self._store.make_room(needed)
        self._clear_ended()
        part = self._folder / f".{run}.{os.getpid()}"
        part.mkdir(parents=True)
        (part / "job.json").write_text(json.dumps(job))
        with open(part / "lock", "wb") as lock, open(part / "log.txt", "ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(part, place)
            process = subprocess.Popen(
                self._command("work", run),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # the end of the connection is no end of it
                pass_fds=[lock.fileno()],
            )
            (place / "pid").write_text(str(process.pid))
        return []

    def watch(self, run: str, stdin: BinaryIO, answers: Answers) -> None:
        """Tell how far a run is until it has ended and the result is acknowledged, or nobody listens any more.

        Raises:
            AgentError: there is no such run.
        """
        place = self._folder / run
        if not place.is_dir():
            raise AgentError("gone", "the run is not there any more")
        told = ""
        while True:
            alive = _locked(place)  # before the result is looked for, which is there before the process ends
            if (place / "result.json").is_file():
                answers.say("result", text=(place / "result.json").read_text(errors="replace"))
                break
            if not alive:
                answers.say("dead", log=_tail(place / "log.txt"))
                break
            with contextlib.suppress(OSError):
                status = (place / "status.json").read_text()
                if status != told:
                    told = status
                    answers.say("progress", **json.loads(status))
            if select.select([stdin], [], [], _LOOK_S)[0]:
                return  # the other end hung up
        if stdin.readline() == DONE:
            shutil.rmtree(place, ignore_errors=True)

    def stop(self, run: str) -> None:
        """End a run with all its processes and clear it away."""
        place = self._folder / run
        if _locked(place):
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int((place / "pid").read_text()), signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)

    def work(self, run: str) -> None:
        """Be the process of a run: measure, and leave the result with its hash."""
        place = self._folder / run
        status = _Status(place)
        content: dict[str, object]
        try:
            job = json.loads((place / "job.json").read_text())
            with self._turn(status):
                content = self._measured(run, job, status)
        except AgentError as error:
            content = {"error": error.to_json()}
        except MemoryError:
            content = {"error": AgentError("memory", "memory ran out").to_json()}
        except Exception:  # the border of this process: whoever waits is told, and the log keeps it
            traceback.print_exc()
            content = {"error": AgentError("fault", traceback.format_exc(limit=-1)).to_json()}
        payload = json.dumps(content)
        digest = hashlib.sha256(payload.encode()).hexdigest()
        _write(place / "result.json", json.dumps({"sha256": digest, "payload": payload}))

    def memory(self, run: str, number: int) -> dict[str, int | None]:
        """Return the memory that one model of a run takes; see `measuring.added_memory`."""
        return added_memory(json.loads((self._folder / run / "job.json").read_text()), self._store, number)

    def _measured(self, run: str, job: Mapping[str, Any], status: _Status) -> dict[str, object]:
        task = job["task"]
        if task == "kernels":
            return time_kernels(job, self._store, status.update)
        if task == "bandwidth":
            return measure_bandwidth(job, status.update)
        if task == "throughput":
            return measure_throughput(job, self._store, status.update)
        if task == "energy":
            return measure_energy(job, self._store, status.update)
        return measure(job, self._store, status.update, self._command("memory", run))

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, os.path.abspath(sys.argv[0]), str(self._root), *words]

    @contextlib.contextmanager
    def _turn(self, status: _Status) -> Any:
        """Wait until no other run measures: two at once would measure each other."""
        with open(self._root / "measuring.lock", "wb") as lock:
            if not _take(lock):
                status.update(0.0, "waiting for another measurement on the device")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _clear_ended(self) -> None:
        """Keep the last few runs that ended and were not fetched: their connection may come back."""
        if self._folder.is_dir():
            ended = [place for place in self._folder.iterdir() if not _locked(place)]
            for place in sorted(ended, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT_ENDED:]:
                shutil.rmtree(place, ignore_errors=True)


class _Status:
    """Writes how far a run is, seldom enough not to disturb what it times."""

    def __init__(self, place: Path) -> None:
        self._path = place / "status.json"
        self._next = 0.0

    def update(self, fraction: float, text: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _STATUS_EVERY_S
            _write(self._path, json.dumps({"fraction": fraction, "text": text}))


def _locked(place: Path) -> bool:
    """Whether the process of a run lives."""
    try:
        with open(place / "lock", "rb") as lock:
            return not _take(lock)
    except OSError:
        return False


def _take(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def _tail(path: Path) -> str:
    try:
        return path.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""
