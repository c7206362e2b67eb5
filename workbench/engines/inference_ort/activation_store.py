"""Keeps arrays within a memory limit and spills what is beyond it to temporary files."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable
from pathlib import Path
from threading import Lock

import numpy as np
import psutil

from workbench.domain.errors import StorageError

_LEAST_MEMORY, _MOST_MEMORY = 512 * 1024**2, 4 * 1024**3


class ActivationStore:
    """Arrays by key; what fits neither in memory nor on disk is not kept.

    Args:
        memory_bytes: Limit of what stays in memory; the first arrays stay, later ones are spilled. None is a quarter of
            the memory that is free now, between 512 MB and 4 GB.
        disk_bytes: Limit of the files, which vanish with the store.
    """

    def __init__(self, memory_bytes: int | None = None, disk_bytes: int = 8 * 1024**3) -> None:
        if memory_bytes is None:
            memory_bytes = min(max(psutil.virtual_memory().available // 4, _LEAST_MEMORY), _MOST_MEMORY)
        self._limits = memory_bytes, disk_bytes
        self.memory_used, self.disk_used = 0, 0
        self._arrays: dict[Hashable, np.ndarray] = {}
        self._files: dict[Hashable, Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._arrays or key in self._files

    def put(self, key: Hashable, array: np.ndarray) -> bool:
        """Keep an array; returns whether there was room.

        Raises:
            StorageError: the disk is full, or can't be written.
        """
        with self._lock:
            if key in self:
                return True
            if self.memory_used + array.nbytes <= self._limits[0]:
                self._arrays[key] = array
                self.memory_used += array.nbytes
                return True
            # Only plain numbers are written as they lie: an array of texts would have to be pickled.
            if array.dtype.hasobject or self.disk_used + array.nbytes > self._limits[1]:
                return False
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="workbench-activations-")
            path = Path(self._folder.name) / f"{len(self._files)}.npy"
            try:
                np.save(path, array, allow_pickle=False)
            except OSError as error:
                path.unlink(missing_ok=True)
                raise StorageError(f"activations can't be kept in {path.parent}", found=str(error)) from error
            self._files[key] = path
            self.disk_used += array.nbytes
            return True

    def get(self, key: Hashable) -> np.ndarray | None:
        """Return an array, or None if it is not kept."""
        array = self._arrays.get(key)
        if array is not None:
            return array
        path = self._files.get(key)
        return None if path is None else np.asarray(np.load(path, allow_pickle=False))

    def clear(self) -> None:
        """Forget all arrays and remove their files."""
        with self._lock:
            self._arrays.clear()
            self._files.clear()
            self.memory_used = self.disk_used = 0
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None
