"""Reads plain NumPy files (.npy), memory-mapped, so that data larger than memory costs nothing to open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.data.readers._base import ArraySource, Reader, Request, checked_arrays
from workbench.domain.errors import DataError


class NpyReader(Reader):
    """`{reader: npy, path: x.npy, targets: y.npy}`; or `path: folder` and `inputs`, `targets` naming files in it."""

    name = "npy"
    title = "NumPy file"
    suffixes = (".npy",)

    def open(self, request: Request) -> ArraySource:
        """Memory-map the input file (or the named files of a folder) and the targets' file."""
        self.options(request)
        base = request.path()
        where = f"{request.where} ({base.name})"
        if base.is_dir():
            if not request.keys:
                raise DataError(
                    "it is not said which file is the input", where=where, expected=f"{request.where}.inputs"
                )
            files = {key: _named(base, key, f"{request.where}.inputs") for key in request.keys}
            folder = base
        else:
            files = {request.keys[0] if request.keys else base.stem: base}
            folder = base.parent
        arrays = {key: mapped_array(path, where) for key, path in files.items()}
        labels, paths = None, list(files.values())
        if request.split.targets:
            target = _named(folder, request.split.targets, f"{request.where}.targets")
            labels = mapped_array(target, where)
            paths.append(target)
        return checked_arrays(arrays, labels, paths, where)


def _named(folder: Path, name: str, where: str) -> Path:
    path = folder / (name if name.endswith(".npy") else f"{name}.npy")
    if not path.is_file():
        raise DataError(f"{path} does not exist", where=where, expected="a .npy file")
    return path


def mapped_array(path: Path, where: str) -> np.ndarray:
    """Return a read-only memory map of a .npy file; DataError if it is not one, or is cut off."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path.name} is not a readable .npy file", where=where, found=str(error)) from error
    return array
