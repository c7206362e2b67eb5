"""Holds a measurement on the cores that are least busy, so that runs do not wander between cores and caches.

A device gets this very file: it needs nothing beyond the standard library, and Python 3.9.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_TIMES = Path("/proc/stat")
_WATCHED_S = 0.15
_IDLE_FIELDS = (3, 4)  # idle, and waiting for disks
_COUNTED_FIELDS = 8  # guests, behind them, are counted before already


@contextmanager
def held_cores(threads: int) -> Iterator[tuple[int, ...]]:
    """Hold this thread, and those that it starts meanwhile, on as many cores as there are threads.

    Yields:
        The cores' numbers, rising; none where the system can't hold a thread, or there are no cores to choose from.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if not 0 < threads < len(allowed):
        # All cores that there are, or a system that has no say in it (macOS; Windows knows processes only).
        yield tuple(allowed)
        return
    cores = least_busy(allowed, threads, _used())
    try:
        os.sched_setaffinity(0, cores)
    except OSError:  # a container may forbid it
        yield ()
        return
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, allowed)


def least_busy(cores: Sequence[int], count: int, used: Mapping[int, float]) -> tuple[int, ...]:
    """Return the cores that others use least, rising; of equal ones the last, since the first serve interrupts.

    Args:
        cores: To choose from.
        count: How many.
        used: How much each was at work.
    """
    return tuple(sorted(sorted(cores, key=lambda core: (used.get(core, 0.0), -core))[:count]))


def work_of_cores(told: str) -> dict[int, float]:
    """Return by core how long it has been at work, from the text of /proc/stat."""
    found = {}
    for line in told.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            times = [int(value) for value in fields[:_COUNTED_FIELDS]]
            found[int(name[3:])] = float(sum(times) - sum(times[place] for place in _IDLE_FIELDS))
    return found


def _used() -> dict[int, float]:
    """Return by core how much it is at work just now; {} where the system does not say."""
    try:
        before = work_of_cores(_TIMES.read_text())
        time.sleep(_WATCHED_S)
        after = work_of_cores(_TIMES.read_text())
    except OSError:
        return {}
    return {core: after[core] - before.get(core, 0.0) for core in after}
