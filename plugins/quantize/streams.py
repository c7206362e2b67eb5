"""What flows between the parts of a network for all samples at once: in the exact network and in the quantized one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

import numpy as np

from workbench.api import Batch, DataError, ModelGraph, Tools, UnsupportedGraphError, not_finite

# Values beyond this lie in files: half a gigabyte leaves room for their copies while a part is learned.
_IN_MEMORY = 512_000_000
_AT_ONCE = 64


class Streams:
    """Values by name, each (samples · rows, …) in the exact and in the quantized network.

    Args:
        batches: The samples.
        tools: Engine and cancel.
        in_memory: Bytes; larger values are mapped from files.
    """

    def __init__(self, batches: Iterable[Batch], tools: Tools, in_memory: int = _IN_MEMORY) -> None:
        self._tools, self._in_memory = tools, in_memory
        self._files: list[IO[bytes]] = []
        parts = [dict(batch.inputs) for batch in batches]
        if not parts:
            raise DataError("there are no samples", action="Name a train split in the data description.")
        self.samples = sum(len(next(iter(part.values()))) for part in parts)
        self.exact = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.quantized = dict(self.exact)

    def made(self, part: ModelGraph) -> dict[str, np.ndarray]:
        """Return what a part of the exact network makes of the samples.

        Raises:
            UnsupportedGraphError: a value has no axis that counts samples.
            DataError: values are not finite.
            CancelledError: cancelled.
        """
        found = self._run(part, self.exact)
        for name, array in found.items():
            if not np.isfinite(array).all():
                raise not_finite(f"value {name!r}")
        return found

    def advance(self, exact: Mapping[str, np.ndarray], quantized: ModelGraph) -> None:
        """Keep what a part of the exact network made, and run the quantized one; raises as `made`."""
        self.exact.update(exact)
        self.quantized.update(self._run(quantized, self.quantized))

    def forget(self, kept: Callable[[str], bool]) -> None:
        """Drop what is not read any more."""
        for values in (self.exact, self.quantized):
            for name in [name for name in values if not kept(name)]:
                del values[name]

    def _run(self, graph: ModelGraph, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = self._tools.inference.open(graph, cancel=self._tools.cancel)
        found: dict[str, np.ndarray] = {}
        for start, end in self._parts():
            fed = {name: _rows(values[name], self.samples, start, end) for name in session.input_names}
            for name, array in session.run(fed).items():
                if array.ndim == 0 or len(array) % (end - start):
                    raise UnsupportedGraphError(
                        f"value {name!r} has no axis that counts samples, so that it can't be reconstructed",
                        action="Use quantize.ptq for this model.",
                    )
                rows = len(array) // (end - start)
                if name not in found:
                    found[name] = self._room((self.samples * rows, *array.shape[1:]), array.dtype)
                found[name][start * rows : end * rows] = array
        return found

    def _parts(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self.samples, _AT_ONCE):
            self._tools.cancel.raise_if_cancelled()
            yield start, min(start + _AT_ONCE, self.samples)

    def _room(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize <= self._in_memory:
            return np.empty(shape, dtype)
        # Unlinked at once: the space is given back when the last reader is gone, even after a crash.
        return np.memmap(tempfile.TemporaryFile(), dtype, "w+", shape=shape)


def _rows(array: np.ndarray, samples: int, start: int, end: int) -> np.ndarray:
    rows = len(array) // samples
    return array[start * rows : end * rows]
