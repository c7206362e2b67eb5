"""Reads how much memory this process has and had resident, where the system says so.

A device gets this very file: it needs nothing but Python 3.9.
"""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def status_bytes(key: str) -> int:
    """Return the bytes that the system states under a key: "VmRSS" now, "VmHWM" at most.

    Raises:
        OSError: the system does not say.
    """
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {key}")
