"""Reads IDX files, the format of MNIST and its successors, plain (memory-mapped) or gzipped (unpacked once)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from workbench.data.readers._base import ArraySource, Reader, Request, checked_arrays
from workbench.domain.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class IdxReader(Reader):
    """`{reader: idx, path: images.gz, targets: labels.gz}`; a key given as `inputs` is only a name."""

    name = "idx"
    title = "IDX file (MNIST)"
    suffixes = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")

    def open(self, request: Request) -> ArraySource:
        """Open images and labels; both may be gzipped."""
        self.options(request)
        path = request.path()
        where = f"{request.where} ({path.name})"
        arrays = {request.keys[0] if request.keys else "x": read_idx(path, where)}
        labels, paths = None, [path]
        if request.split.targets:
            beside = path.parent / request.split.targets
            target = beside if beside.exists() else request.resolve(request.split.targets, f"{request.where}.targets")
            labels = read_idx(target, where)
            paths.append(target)
        return checked_arrays(arrays, labels, paths, where)


def read_idx(path: Path, where: str) -> np.ndarray:
    """Return the array of an IDX file.

    Raises:
        DataError: it is not an IDX file, or holds fewer bytes than its header promises.
    """
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
                raise DataError(
                    f"{path.name} is not an IDX file",
                    where=where,
                    expected="two zero bytes, a type and a rank at its start",
                    found=magic.hex() or "an empty file",
                )
            dtype = np.dtype(_TYPES[magic[2]])
            sizes = stream.read(4 * magic[3])
            shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
            count = math.prod(shape) * dtype.itemsize
            data = stream.read(count) if packed else None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} can't be read to its end", where=where, found=str(error)) from error
    header = 4 + 4 * magic[3]
    held = len(data) if data is not None else path.stat().st_size - header
    if held < count or len(shape) != magic[3]:
        raise DataError(
            f"{path.name} is cut off",
            where=where,
            expected=f"{count} bytes of samples",
            found=f"{max(held, 0)}",
            action="Copy the file again.",
        )
    if data is not None:
        return np.frombuffer(data, dtype).reshape(shape)
    return np.memmap(path, dtype, "r", header, shape) if count else np.zeros(shape, dtype)
