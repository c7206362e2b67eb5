"""Reads the energy counters of the processor (RAPL), where the system has them and lets this process read them.

Packages and their memory are counted; cores and graphics are parts of a package. A device gets this very file: it needs
nothing but Python 3.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FOLDER = Path("/sys/class/powercap")
_COUNTED = ("package", "dram")


class RaplCounters:
    """The counters of a folder in the layout of Linux's powercap class.

    Args:
        folder: With "intel-rapl:0/energy_uj" and so on.

    Raises:
        OSError: there are none, or they can't be read; its text says which.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        zones = []
        for zone in sorted(folder.glob("intel-rapl:*")):
            name = (zone / "name").read_text().strip()
            if name.startswith(_COUNTED):
                zones.append((name, zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())))
        if not zones:
            raise OSError("this system has no energy counters (RAPL)")
        self._zones = zones
        self.names = tuple(name for name, _, _ in zones)
        self.read()

    def read(self) -> list[int]:
        """Return what each counter shows, in microjoules.

        Raises:
            OSError: it can't be read.
        """
        found = []
        for _, file, _ in self._zones:
            try:
                found.append(int(file.read_text()))
            except PermissionError as error:
                raise OSError(f"the energy counter {file} may be read by the administrator only") from error
        return found

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """Return the energy between two readings; a counter that began anew in between is followed once."""
        total = 0
        for place, (_, _, reach) in enumerate(self._zones):
            spent = after[place] - before[place]
            total += spent if spent >= 0 else spent + reach
        return total / 1e6
