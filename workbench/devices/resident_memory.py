"""Reads how much memory this process has and had resident, where the system says so, and how the runtime's arena grew.

A device gets this very file: it needs nothing but Python 3.9 and, to follow the arena, onnxruntime.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

STATUS = Path("/proc/self/status")
_PEAK_RESET = Path("/proc/self/clear_refs")
# The runtime has no call for what its arena holds; at this severity it logs every growth.
_INFORMATION, _WARNING = 1, 2
_ARENA = "BFCArena"
_GROWTH = re.compile(r"Extended allocation by (\d+) bytes")
_RUNS = 3


def status_bytes(key: str) -> int:
    """Return the bytes that the system states under a key: "VmRSS" now, "VmHWM" at most.

    Raises:
        OSError: the system does not say.
    """
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {key}")


def memory_of(load: Callable[[], Callable[[], object]]) -> dict[str, int | None]:
    """Return what a model adds to this process, in bytes, as `{"peak", "inference", "arena"}`.

    "peak" is the most resident memory that loading and running add. "inference" is the most that three runs add to what
    is resident after loading, None where the system can't be asked for the peak of a part. "arena" is how large the
    runtime's arena has grown by its own account: it holds the activations, not the weights, and is kept between runs;
    None where the runtime does not say.

    Args:
        load: Loads the model, without running it, and returns what runs it once.

    Raises:
        OSError: the system does not say what is resident.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(_INFORMATION)
    try:
        before = status_bytes("VmRSS")
        run, loading = _logged(load)
        loaded, loading_peak = status_bytes("VmRSS"), status_bytes("VmHWM")
        parted = _reset_peak()
        _, running = _logged(lambda: [run() for _ in range(_RUNS)])
    finally:
        ort.set_default_logger_severity(_WARNING)
    highest = status_bytes("VmHWM")
    # Growth while loading counts, too: weights lie elsewhere, and what is left of a piece holds activations later.
    grown = sum(int(size) for size in _GROWTH.findall(loading + running))
    return {
        "peak": max(highest, loading_peak) - before,
        "inference": max(highest - loaded, 0) if parted else None,
        "arena": grown if _ARENA in loading + running else None,
    }


def _logged(act: Callable[[], T]) -> tuple[T, str]:
    """Return what `act` returns, and what was written to standard error meanwhile, by the runtime's own code too."""
    with tempfile.TemporaryFile() as log:
        own = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            found = act()
        finally:
            os.dup2(own, 2)
            os.close(own)
        log.seek(0)
        return found, log.read().decode("utf-8", "replace")


def _reset_peak() -> bool:
    """Begin the peak anew at what is resident now; whether the system did."""
    try:
        _PEAK_RESET.write_text("5")
    except OSError:
        return False
    return True
