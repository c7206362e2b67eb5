"""What the rest of the machine did during a measurement: cores that other processes used, time the host took."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Load:
    """Load by others.

    Attributes:
        cores: Logical cores of the machine.
        others_cores: Cores kept busy on average by other processes.
        steal_ratio: Share of the cores' time that a virtual machine's host gave to others.
    """

    cores: int
    others_cores: float
    steal_ratio: float


class LoadWatch:
    """Compares the machine's busy time with this process's own between `__init__` and `read`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._began = self._now()

    def read(self) -> Load:
        """Return the load since the watch was made."""
        wall, busy, own, steal = (now - then for now, then in zip(self._now(), self._began, strict=True))
        cores = psutil.cpu_count() or 1
        if wall <= 0:
            return Load(cores, 0.0, 0.0)
        return Load(cores, max(busy - own, 0.0) / wall, max(steal, 0.0) / (wall * cores))

    def _now(self) -> tuple[float, float, float, float]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Linux counts guests within user time already.
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        steal = getattr(times, "steal", 0.0)
        busy = sum(times) - idle - guests - steal
        own = self._process.cpu_times()
        return time.monotonic(), busy, own.user + own.system, steal
