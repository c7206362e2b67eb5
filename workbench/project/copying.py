"""Copies a file whole or not at all, so that no half-written model is ever deployed."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.domain.errors import StorageError


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file; what stood at `path` stays until the copy is complete.

    Raises:
        StorageError: the file can't be written.
    """
    staged = path.with_name(path.name + ".part")
    try:
        shutil.copyfile(source, staged)
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise StorageError(
            f"can't write {path.name}: {error.strerror}",
            where=str(path.parent),
            action="Choose another folder. The candidate itself is untouched.",
        ) from error
