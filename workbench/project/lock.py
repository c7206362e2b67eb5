"""Tells a second window who has a project open.

The lock that counts is SQLite's, which the system releases when a process dies. This file beside the project names
the owner, and keeps a second opener in the same process away from the project file: closing it there would drop the
first one's lock (POSIX advisory locks belong to the process).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.domain.errors import ProjectLockedError


class Owner(BaseModel):
    """Who has a project open; `started` (seconds since 1970) tells a process from a later one with the same id."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    host: str
    since: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return this process as owner from now on."""
        started = psutil.Process().create_time()
        return cls(pid=os.getpid(), started=started, host=platform.node(), since=datetime.now(UTC).isoformat())

    @property
    def gone(self) -> bool:
        """Whether the process is known to have ended; nothing is known of other computers."""
        if self.host != platform.node():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > 1.0
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:  # alive, but another user's
            return False


class ProjectLock:
    """The file `<project>.lock` while this process has the project open."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._path = project.with_name(project.name + ".lock")
        self._held = False

    def acquire(self) -> None:
        """Take the lock, over from a process that has died if need be.

        Raises:
            ProjectLockedError: somebody else has the project open; names process and computer.
            OSError: the file can't be written.
        """
        while True:
            try:
                descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._drop_stale()
                continue
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(Owner.this_process().model_dump_json())
            self._held = True
            return

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        if self._held:
            self._held = False
            self._path.unlink(missing_ok=True)

    def _drop_stale(self) -> None:
        owner = self._owner()
        if owner is None or owner.gone:
            self._path.unlink(missing_ok=True)
            return
        here = owner.host == platform.node()
        raise ProjectLockedError(
            "the project is open in this window already"
            if here and owner.pid == os.getpid()
            else f"the project is open elsewhere (process {owner.pid} on {owner.host}, since {owner.since[:16]} UTC)",
            where=str(self._project),
            action="Close it there first."
            if here
            else f"Close it there first; if that computer no longer has it open, delete {self._path.name}.",
        )

    def _owner(self) -> Owner | None:
        """Return who holds the lock; None if the file is gone or was left half-written."""
        with contextlib.suppress(FileNotFoundError, ValidationError, json.JSONDecodeError, UnicodeDecodeError):
            return Owner.model_validate_json(self._path.read_text(encoding="utf-8"))
        return None
