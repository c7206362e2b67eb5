"""Brings what was written to the disk's own memory, off the window's thread: a slow disk takes many frames for it.

A commit leaves the project's write-ahead log with the operating system, which survives the death of the program; what
this adds is that, moments later, it survives a power cut, too.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_log = logging.getLogger("workbench")


class LogSync:
    """Syncs one SQLite log, at most one sync at a time and one waiting.

    Args:
        project: The file whose log it is.
    """

    def __init__(self, project: Path) -> None:
        self._path = project.with_name(project.name + "-wal")
        self._thread = ThreadPoolExecutor(1, "project log")
        self._waiting = False

    def soon(self) -> None:
        """Sync what is in the log by now."""
        if not self._waiting:
            self._waiting = True
            self._thread.submit(self._sync)

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown()

    def _sync(self) -> None:
        self._waiting = False  # what is written from here on needs another sync
        try:
            log = os.open(self._path, os.O_RDWR)
            try:
                os.fsync(log)
            finally:
                os.close(log)
        except FileNotFoundError:  # everything is in the project's file, which SQLite has synced
            return
        except OSError as error:
            _log.warning("%s could not be synced: %s", self._path.name, error)
