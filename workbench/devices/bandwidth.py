"""Measures how fast memory is: large arrays that no cache holds are copied and added by as many threads as asked for.

Bytes are counted as by STREAM (McCalpin, 1995): every array once, read or written. A device gets this very file: it
needs nothing but numpy, and Python 3.9.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MEMORY = Path("/proc/meminfo")
_SMALLEST, _LARGEST = 64 << 20, 1 << 30
# Three arrays take at most a quarter of what is free.
_FREE_SHARE = 12
_FEWEST_RUNS, _MOST_RUNS = 5, 60
# Array passes over memory, by kernel.
PASSES = {"copy": 2, "add": 3}


def stream_times(
    *,
    threads: int,
    seconds: float,
    check: Callable[[], object] | None = None,
    array_bytes: int | None = None,
) -> tuple[int, dict[str, list[float]]]:
    """Return the size of each array in bytes, and the microseconds of every run of each kernel.

    Args:
        threads: That share the arrays.
        seconds: For both kernels together, at least 5 runs of each.
        check: Called before each run; whatever it raises ends them.
        array_bytes: By default what the last-level cache holds, at least 64 MiB and at most 1 GiB, as far as a quarter
            of the free memory goes.
    """
    size = chosen_bytes() if array_bytes is None else array_bytes
    a, b, c = (np.full(size // 4, value, np.float32) for value in (1.0, 2.0, 0.0))
    edges = np.linspace(0, len(a), threads + 1).astype(int)
    parts = [slice(low, high) for low, high in zip(edges[:-1], edges[1:])]  # noqa: B905, RUF007  (Python 3.9)

    def copy(part: slice) -> None:
        np.copyto(c[part], a[part])

    def add(part: slice) -> None:
        np.add(a[part], b[part], out=c[part])

    kernels = {"copy": copy, "add": add}
    times: dict[str, list[float]] = {name: [] for name in kernels}
    with ThreadPoolExecutor(threads) as pool:
        for kernel in kernels.values():
            list(pool.map(kernel, parts))
        began = time.perf_counter()
        while len(times["add"]) < _FEWEST_RUNS or (
            len(times["add"]) < _MOST_RUNS and time.perf_counter() - began < seconds
        ):
            for name, kernel in kernels.items():
                if check is not None:
                    check()
                start = time.perf_counter_ns()
                list(pool.map(kernel, parts))
                times[name].append((time.perf_counter_ns() - start) / 1000)
    return a.nbytes, times


def chosen_bytes() -> int:
    """Return how large each array is by default; see `stream_times`."""
    size = min(max(_SMALLEST, cache_bytes() or 0), _LARGEST)
    free = _free_bytes()
    return size if free is None else max(min(size, free // _FREE_SHARE), 1 << 20)


def cache_bytes(folder: Path = CACHES) -> int | None:
    """Return the size of the last-level cache; None where the system does not say."""
    sizes = []
    for file in folder.glob("index*/size"):
        found = re.fullmatch(r"(\d+)([KMG]?)", file.read_text().strip())
        if found:
            sizes.append(int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]])
    return max(sizes, default=None)


def _free_bytes() -> int | None:
    if not _MEMORY.exists():
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", _MEMORY.read_text())
    return int(found[1]) * 1024 if found else None
