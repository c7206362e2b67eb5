"""The layout of a project file, its versions, and how an older file is brought to the current one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from workbench.domain.errors import ProjectError

APPLICATION_ID = 0x4D435731  # "MCW1": tells a project from any other SQLite file

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE field (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE candidate (id TEXT PRIMARY KEY, position INTEGER NOT NULL, value TEXT NOT NULL)",
        "CREATE TABLE sensitivity (series INTEGER PRIMARY KEY, method TEXT NOT NULL, knob TEXT NOT NULL,"
        " metric TEXT NOT NULL, baseline TEXT NOT NULL)",
        "CREATE TABLE sensitivity_point (series INTEGER NOT NULL, position INTEGER NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (series, position)) WITHOUT ROWID",
    ),
    # New fields (sizes of dynamic dimensions, blocks of the drawing) need no statement, but older programs must refuse.
    (),
)
"""The statements that lead from version n to n + 1, by n; a file of version 0 is empty."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100


def check_header(path: Path) -> None:
    """Look at a file's first bytes before SQLite touches it.

    Raises:
        ProjectError: it is missing, empty, cut off, or not a project.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER_BYTES)
    except FileNotFoundError as error:
        raise ProjectError("there is no such project", where=str(path), action="Choose another file.") from error
    except OSError as error:
        raise ProjectError(f"the project can't be read: {error.strerror}", where=str(path)) from error
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        found = "an empty file" if not header else f"a file of another kind that begins with {header[:8]!r}"
        raise ProjectError("not a project", where=str(path), expected="a .mcw project", found=found)
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise ProjectError("not a project", where=str(path), expected="a .mcw project", found="another SQLite database")


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of an open file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Raise ProjectError if the file was written by a newer program."""
    version = version_of(connection)
    if version > len(migrations):
        raise ProjectError(
            "the project was written by a newer version of this program",
            where=str(path),
            expected=f"project format {len(migrations)} or older",
            found=f"format {version}",
            action="Install the newer version; the file was not touched.",
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring an open file to the current version; each step is done whole or not at all."""
    for version in range(version_of(connection), len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        except BaseException:  # not even Ctrl-C may leave half a migration
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
