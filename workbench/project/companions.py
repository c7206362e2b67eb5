"""Knows that a big model is two files, its structure and its weights beside it, which are kept and copied together."""

from __future__ import annotations

import mmap
from pathlib import Path

SUFFIX = ".data"  # what saving a model of more than 2 GB appends to its name for the weights


def companion(path: Path) -> Path | None:
    """Return the file beside a model that holds its weights, or None where they lie in the model itself.

    The model is not parsed: its structure holds the file's name. A file that was left from an earlier model is not it.

    Raises:
        OSError: the model can't be read.
    """
    data = path.with_name(path.name + SUFFIX)
    return data if data.is_file() and _names(path, data.name.encode()) else None


def _names(path: Path, name: bytes) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(name) >= 0
