"""What the rest of a device did during a measurement, read from the system itself: no psutil is asked for there."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


class SystemLoad:
    """Compares the system's busy time with this process's own between `__init__` and `read`."""

    def __init__(self) -> None:
        self._began = _now()

    def read(self) -> dict[str, float]:
        """Return cores, others_cores and steal_ratio as `devices.load.Load` has them; noughts off Linux."""
        wall, busy, own, steal = (now - then for now, then in zip(_now(), self._began))  # noqa: B905  (Python 3.9)
        cores = os.cpu_count() or 1
        if wall <= 0:
            return {"cores": cores, "others_cores": 0.0, "steal_ratio": 0.0}
        return {
            "cores": cores,
            "others_cores": max(busy - own, 0.0) / wall,
            "steal_ratio": max(steal, 0.0) / (wall * cores),
        }


def _now() -> tuple[float, float, float, float]:
    own = time.process_time()
    if not _STAT.exists():
        return time.monotonic(), own, own, 0.0
    # user nice system idle iowait irq softirq steal; guests are counted within user.
    ticks = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = (tick / os.sysconf("SC_CLK_TCK") for tick in ticks)
    return time.monotonic(), user + nice + system + irq + softirq, own, steal
