"""Says what arrays NumPy files hold without loading one, so that looking at a large archive costs a few reads."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workbench.domain.data_reports import ArrayReport, ArraysReport
from workbench.domain.errors import DataError

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError, struct.error)
"""What reading a damaged archive or file raises."""
_MOST_FILES = 500


def list_arrays(path: Path) -> ArraysReport:
    """Return names, types and shapes of the arrays of an .npz archive, of a .npy file and those beside it, or a folder.

    Arrays of Python objects are listed as "object"; nothing is unpickled.

    Raises:
        DataError: there is no such file, or it is neither.
    """
    if path.is_dir():
        return ArraysReport(arrays=tuple(_files(path.glob("*.npy"))))
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    if path.suffix.lower() == ".npy":
        own = _file(path)
        beside = (found for found in _files(path.parent.glob("*.npy")) if found.name != own.name)
        return ArraysReport(arrays=(own, *beside), itself=own.name)
    try:
        with zipfile.ZipFile(path) as archive:
            return ArraysReport(arrays=tuple(_members(archive)))
    except BROKEN as error:
        raise DataError("not a readable .npz archive", where=str(path), found=str(error)) from error


def array_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether it lies in Fortran order, and type from the head of a .npy stream; ValueError if broken."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _members(archive: zipfile.ZipFile) -> Iterable[ArrayReport]:
    for name in archive.namelist():
        if name.endswith(".npy"):
            with archive.open(name) as stream:
                yield _described(name.removesuffix(".npy"), stream)  # type: ignore[arg-type]


def _files(paths: Iterable[Path]) -> Iterable[ArrayReport]:
    """Describe the files that can be read; others in the folder are none of the user's concern here."""
    for path in sorted(paths)[:_MOST_FILES]:
        try:
            yield _file(path)
        except DataError:
            continue


def _file(path: Path) -> ArrayReport:
    try:
        with path.open("rb") as stream:
            return _described(path.stem, stream)
    except BROKEN as error:
        raise DataError(f"{path.name} is not a readable .npy file", where=str(path), found=str(error)) from error


def _described(name: str, stream: BinaryIO) -> ArrayReport:
    shape, _, dtype = array_header(stream)
    return ArrayReport(name=name, dtype=np.dtype(dtype).name, shape=shape)
