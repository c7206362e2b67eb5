"""Watches how fast the clocks of the measured cores run: heat and governors slow a processor down within seconds.

A device gets this very file: it needs nothing beyond the standard library, and Python 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

_SYSTEM = Path("/sys/devices/system/cpu")
_EVERY_S = 0.02
_PARTS = 3


class CoreClocks:
    """Notes the clocks of cores while they work; where the system does not tell them, it notes nothing.

    Args:
        cores: Their numbers.
        system: Folder of the system's own account.
    """

    def __init__(self, cores: Sequence[int], system: Path = _SYSTEM) -> None:
        found = [system / f"cpu{core}" / "cpufreq" / "scaling_cur_freq" for core in cores]
        self._files = [path for path in found if path.exists()]
        self._noted: list[float] = []
        self._due = 0.0

    def note(self) -> None:
        """Read the clocks, unless that was done a moment ago."""
        if not self._files or time.perf_counter() < self._due:
            return
        try:
            kilohertz = [float(path.read_text()) for path in self._files]
        except (OSError, ValueError):
            # Some systems name a file that can't be read.
            self._files = []
            return
        self._noted.append(sum(kilohertz) / len(kilohertz) / 1000)
        self._due = time.perf_counter() + _EVERY_S

    def range_mhz(self) -> tuple[float, float] | None:
        """Return the slowest and the fastest third of the measurement by their medians; None where nothing is known."""
        size = len(self._noted) // _PARTS
        if not size:
            return None
        parts = [sorted(self._noted[place * size : (place + 1) * size]) for place in range(_PARTS)]
        medians = [part[len(part) // 2] for part in parts]
        return min(medians), max(medians)
