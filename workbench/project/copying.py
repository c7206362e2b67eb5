"""Copies a file whole or not at all, so that no half-written model is ever deployed."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from workbench.domain.errors import StorageError
from workbench.project.companions import companion


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file; what stood at `path` stays until the copy is complete.

    Weights that lie beside a big model come along under their own name, which the model's structure holds.

    Raises:
        StorageError: the file can't be written, or another model's weights have that name there.
    """
    staged = path.with_name(path.name + ".part")
    try:
        weights = companion(source)
        if weights is not None and path.parent.resolve() != source.parent.resolve():
            _copy_weights(weights, path.parent / weights.name)
        shutil.copyfile(source, staged)
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise StorageError(
            f"can't write {path.name}: {error.strerror}",
            where=str(path.parent),
            action="Choose another folder. The candidate itself is untouched.",
        ) from error


def _copy_weights(source: Path, path: Path) -> None:
    if path.exists():
        if filecmp.cmp(source, path, shallow=False):
            return
        raise StorageError(
            f"there are other weights called {path.name} already",
            where=str(path.parent),
            action="Choose another folder: the model looks for its weights under that name.",
        )
    staged = path.with_name(path.name + ".part")
    try:
        shutil.copyfile(source, staged)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
