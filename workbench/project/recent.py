"""The projects and models opened last, for the welcome page."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from workbench.project.places import config_folder

_LIMIT = 20


class RecentFile(BaseModel):
    """A file that was opened; `opened` is ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True)

    path: Path
    opened: str

    @property
    def missing(self) -> bool:
        """Whether the file is not there now (it may lie on a drive that is not connected, so it stays listed)."""
        return not os.path.exists(self.path)

    @property
    def why_missing(self) -> str | None:
        """Why the file can't be opened now, in words that say what may have become of it, or None."""
        if not self.missing:
            return None
        if os.path.exists(self.path.parent):
            return "It is not there now: it was moved, renamed or deleted."
        return "Its folder is not there now: it was moved or deleted, or lies on a drive that is not connected."


_entries = TypeAdapter(tuple[RecentFile, ...])


class RecentFiles:
    """The list, newest first, kept in a small file that all windows share.

    Args:
        file: Where it is kept; by default in the user's configuration folder.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or config_folder() / "recent.json"

    @property
    def entries(self) -> tuple[RecentFile, ...]:
        """Newest first; empty if the list is missing or unreadable, which costs nothing but convenience."""
        try:
            return _entries.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return ()

    def add(self, path: Path) -> None:
        """Put a file at the top; OSError if the list can't be written."""
        entry = RecentFile(path=path.absolute(), opened=datetime.now(UTC).isoformat(timespec="seconds"))
        self._write((entry, *(other for other in self.entries if other.path != entry.path))[:_LIMIT])

    def remove(self, path: Path) -> None:
        """Take a file off the list; the file itself stays. OSError if the list can't be written."""
        self._write(tuple(other for other in self.entries if other.path != path.absolute()))

    def remove_missing(self) -> None:
        """Take those off the list that are not there now; OSError if the list can't be written."""
        self._write(tuple(entry for entry in self.entries if not entry.missing))

    def clear(self) -> None:
        """Forget all."""
        self._write(())

    def _write(self, entries: tuple[RecentFile, ...]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self._file.with_name(f".{self._file.name}.{os.getpid()}.part")
        part.write_bytes(_entries.dump_json(entries, indent=1))
        os.replace(part, self._file)
