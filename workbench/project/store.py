"""The project file: one SQLite database that is never half-written.

Every change is one transaction that is on disk before `write` returns. The journal is a write-ahead log (WAL) with
`synchronous=FULL`: one flush a commit where the rollback journal needs three, so an edit stays far below what a hand
notices, and after a crash SQLite replays or drops whole transactions. `locking_mode=EXCLUSIVE` makes the log work
without shared memory, on network drives too, and keeps other processes out. Closing folds the log into the one file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from workbench.domain.errors import ProjectError, ProjectLockedError, StorageError, WorkbenchError
from workbench.project import codec
from workbench.project.log_sync import LogSync
from workbench.project.schema import APPLICATION_ID, check_header, migrate, refuse_newer
from workbench.project.state import Candidate, ProjectState, Sensitivities

_Value = TypeVar("_Value")

_LOG_PAGES = 250  # fold the log back after about a megabyte: a copy of the file alone is then never far behind


class Store:
    """An open project file. All calls come from one thread.

    Args:
        path: The file; it must exist.
        read_only: Only read, e.g. in a folder that can't be written.
        holding: What the file is known to say because it was just written; it is not read again then.

    Raises:
        ProjectError: not a project, damaged, or written by a newer program; nothing was changed.
        ProjectLockedError: another process has it open.
        StorageError: the folder can't be written.
    """

    def __init__(self, path: Path, *, read_only: bool = False, holding: ProjectState | None = None) -> None:
        self.path = path
        check_header(path)
        self._sync = LogSync(path)
        mode = "ro&immutable=1" if read_only else "rw"
        with self._faults():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=0.5, isolation_level=None
            )
        try:
            with self._faults():
                self._prepare(read_only)
            self._stored = self._load() if holding is None else holding
        except BaseException:  # not even Ctrl-C may leave the file open
            self._connection.close()
            raise

    @property
    def state(self) -> ProjectState:
        """What is in the file."""
        return self._stored

    def write(self, state: ProjectState) -> None:
        """Make the file say `state`, in one transaction of only what differs.

        Raises:
            StorageError: nothing was written; the file still says what it said before. The next `write` that
                succeeds brings everything up to date.
        """
        with self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                _write(self._connection, self._stored, state)
                self._connection.execute("COMMIT")
            except BaseException:  # not even Ctrl-C may leave half an edit
                with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after a full disk
                    self._connection.execute("ROLLBACK")
                raise
        self._stored = state
        self._sync.soon()

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self._sync.close()  # first, or the log would still be open when SQLite takes it away
        self._connection.close()

    @staticmethod
    def create(path: Path, state: ProjectState) -> None:
        """Write a new project file that appears whole or not at all, in the place of any file of that name.

        Raises:
            StorageError: the folder is missing, read-only or full; nothing is left behind.
        """
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with _faults(path):
                part.unlink(missing_ok=True)
                with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as connection:
                    connection.execute("PRAGMA synchronous = FULL")
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    migrate(connection)
                    connection.execute("BEGIN")
                    _write(connection, None, state)
                    connection.execute("COMMIT")
                # the log of a replaced project must not be replayed into the new one
                for suffix in ("-wal", "-shm", "-journal"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                os.replace(part, path)
                _sync_folder(path.parent)
        finally:
            for leftover in (part, part.with_name(part.name + "-journal")):
                leftover.unlink(missing_ok=True)

    def _prepare(self, read_only: bool) -> None:
        connection = self._connection
        if not read_only:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        refuse_newer(connection, self.path)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise _damaged(self.path, "its pages contradict each other")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # `LogSync` does the rest, without keeping the window
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            migrate(connection)

    def _load(self) -> ProjectState:
        with self._faults():
            fields = self._connection.execute("SELECT name, value FROM field").fetchall()
            candidates = self._connection.execute("SELECT value FROM candidate ORDER BY position").fetchall()
            series = self._connection.execute(
                "SELECT series, method, knob, metric, baseline FROM sensitivity ORDER BY series"
            ).fetchall()
            points = self._connection.execute(
                "SELECT series, value FROM sensitivity_point ORDER BY series, position"
            ).fetchall()
        of_series: dict[int, list[str]] = {}
        for number, text in points:
            of_series.setdefault(number, []).append(text)
        try:
            values = {name: self._decoded(name, partial(codec.decode_field, name), text) for name, text in fields}
            values["candidates"] = tuple(
                self._decoded("candidate", codec.decode_candidate, text) for (text,) in candidates
            )
            values["sensitivities"] = tuple(
                Sensitivities(
                    method=method,
                    knob=knob,
                    metric=metric,
                    baseline=self._decoded("sensitivity", codec.decode_measurement, baseline),
                    points=tuple(
                        self._decoded("sensitivity point", codec.decode_point, text)
                        for text in of_series.get(number, ())
                    ),
                )
                for number, method, knob, metric, baseline in series
            )
            return ProjectState(**values)
        except (ValueError, TypeError) as error:
            raise _damaged(self.path, _briefly(error)) from error

    def _decoded(self, what: str, decode: Callable[[str], _Value], text: str) -> _Value:
        try:
            return decode(text)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(self.path, f"{what}: {_briefly(error)}") from error

    def _faults(self) -> contextlib.AbstractContextManager[None]:
        return _faults(self.path)


def _write(connection: sqlite3.Connection, old: ProjectState | None, new: ProjectState) -> None:
    for name in codec.FIELDS:
        value = getattr(new, name)
        if old is None or _differ(getattr(old, name), value):
            connection.execute("INSERT OR REPLACE INTO field VALUES (?, ?)", (name, codec.encode_field(name, value)))
    _write_candidates(connection, () if old is None else old.candidates, new.candidates)
    _write_sensitivities(connection, () if old is None else old.sensitivities, new.sensitivities)


def _write_candidates(connection: sqlite3.Connection, old: tuple[Candidate, ...], new: tuple[Candidate, ...]) -> None:
    if old is new:
        return
    known = {candidate.id: (position, candidate) for position, candidate in enumerate(old)}
    for position, candidate in enumerate(new):
        before, same = known.pop(candidate.id, (None, None))
        if before != position or same is None or _differ(same, candidate):
            connection.execute(
                "INSERT OR REPLACE INTO candidate VALUES (?, ?, ?)",
                (candidate.id, position, codec.encode_candidate(candidate)),
            )
    connection.executemany("DELETE FROM candidate WHERE id = ?", [(id,) for id in known])


def _write_sensitivities(
    connection: sqlite3.Connection, old: tuple[Sensitivities, ...], new: tuple[Sensitivities, ...]
) -> None:
    if old is new:
        return
    for number, series in enumerate(new):
        before = old[number] if number < len(old) else None
        if before is series:
            continue
        header = (series.method, series.knob, series.metric, codec.encode_model(series.baseline))
        connection.execute("INSERT OR REPLACE INTO sensitivity VALUES (?, ?, ?, ?, ?)", (number, *header))
        points = () if before is None else before.points
        for position, point in enumerate(series.points):
            if position >= len(points) or _differ(points[position], point):
                connection.execute(
                    "INSERT OR REPLACE INTO sensitivity_point VALUES (?, ?, ?)",
                    (number, position, codec.encode_model(point)),
                )
        connection.execute(
            "DELETE FROM sensitivity_point WHERE series = ? AND position >= ?", (number, len(series.points))
        )
    connection.execute("DELETE FROM sensitivity WHERE series >= ?", (len(new),))
    connection.execute("DELETE FROM sensitivity_point WHERE series >= ?", (len(new),))


def _sync_folder(folder: Path) -> None:
    """Bring a rename to disk; Windows does so by itself and can't open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _differ(left: object, right: object) -> bool:
    return left is not right and left != right


def _briefly(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error)


def _damaged(path: Path, why: str) -> ProjectError:
    return ProjectError(
        "the project is damaged",
        where=str(path),
        found=why,
        action="Nothing was overwritten: keep the file, and restore a copy of it if you have one.",
    )


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system report into errors of ours."""
    try:
        yield
    except (WorkbenchError, sqlite3.ProgrammingError):  # the latter is a fault of ours, not of the disk
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise _damaged(path, str(error)) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ProjectLockedError(
                "the project is open elsewhere", where=str(path), action="Close it there first."
            ) from error
        raise _unwritable(path, "the disk is full" if code == sqlite3.SQLITE_FULL else str(error)) from error
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, why: str) -> StorageError:
    return StorageError(
        f"the project can't be saved: {why}",
        where=str(path),
        action="Nothing is lost while the program runs: make room or choose Save As; the next save writes everything.",
    )
