"""Reads NumPy archives (.npz): members that are stored plainly are memory-mapped, compressed ones loaded once."""

from __future__ import annotations

import struct
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

from workbench.data.array_guess import guess_arrays
from workbench.data.readers._base import ArraySource, Reader, Request, checked_arrays
from workbench.data.readers.array_headers import BROKEN, array_header, list_arrays
from workbench.domain.errors import DataError

_CACHE_BYTES = 2 * 1024**3


class _LoadedMembers:
    """Keeps the members loaded last, so that a job which opens the same archive again does not unpack it again."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._arrays: OrderedDict[tuple[str, int, int, str], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, member: str) -> np.ndarray:
        """Return a member, loaded or kept from before (read-only)."""
        status = path.stat()
        key = (str(path.resolve()), status.st_size, status.st_mtime_ns, member)
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = _load(path, member)
            self._arrays.move_to_end(key)
            while len(self._arrays) > 1 and sum(array.nbytes for array in self._arrays.values()) > self._limit:
                self._arrays.popitem(last=False)
            return self._arrays[key]


_loaded = _LoadedMembers(_CACHE_BYTES)


class NpzReader(Reader):
    """`{reader: npz, path, inputs: key, targets: key}`."""

    name = "npz"
    title = "NumPy archive"
    suffixes = (".npz",)

    def open(self, request: Request) -> ArraySource:
        """Open the named members; without `inputs`, the only member that is not the target."""
        self.options(request)
        path = request.path()
        where = f"{request.where} ({path.name})"
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        except BROKEN as error:
            raise DataError("not a readable .npz archive", where=where, found=str(error)) from error
        target = request.split.targets
        keys = request.keys or tuple(name for name in members if name != target)
        if not request.keys and len(keys) != 1:
            likely = guess_arrays(list_arrays(path), split="train" if request.where == "train" else "test").inputs
            raise DataError(
                "it is not said which array is the input",
                where=where,
                expected=f"{request.where}.inputs to name one of its arrays",
                found=", ".join(members) or "no arrays",
                action=None if likely is None else f"Add {request.where}.inputs: {likely}.",
            )
        for place, key in [*(("inputs", key) for key in keys), *([("targets", target)] if target else [])]:
            if key not in members:
                raise DataError(
                    f"no array {key!r} in {path.name}",
                    where=f"{request.where}.{place}",
                    expected="one of " + (", ".join(members) or "its arrays, but it has none"),
                )
        arrays = {key: _array(path, key, where) for key in keys}
        return checked_arrays(arrays, _array(path, target, where) if target else None, [path], where)


def _array(path: Path, member: str, where: str) -> np.ndarray:
    try:
        mapped = _mapped(path, member)
        return _loaded.get(path, member) if mapped is None else mapped
    except BROKEN as error:
        raise DataError(
            f"array {member!r} can't be read", where=where, found=str(error), action="Write or copy the file again."
        ) from error


def _load(path: Path, member: str) -> np.ndarray:
    with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    array.flags.writeable = False
    return array


def _mapped(path: Path, member: str) -> np.ndarray | None:
    """Return a memory map of a member that lies in the archive uncompressed, else None."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{member}.npy")
    if entry.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as stream:
        stream.seek(entry.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", stream.read(4))
        stream.seek(name_length + extra_length, 1)
        shape, fortran, dtype = array_header(stream)
        if dtype.hasobject or 0 in shape:
            return None
        return np.memmap(path, dtype, "r", stream.tell(), shape, "F" if fortran else "C")
