"""Peak memory of a model, measured in a process of its own, where nothing else is counted along.

Run as a module it is that process: it loads one model, runs it once and prints the bytes that this added.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_TIMEOUT_S = 120
_STATUS = Path("/proc/self/status")


def peak_memory_bytes(
    path: Path, *, batch: int, threads: int, dimensions: Mapping[str, int] | None = None
) -> int | None:
    """Return the most resident memory that loading the model and one inference add to a process with the runtime.

    Returns None where it can't be measured: another system than Linux, a frozen program (its executable is not
    Python), or a child that failed.
    """
    if not _STATUS.exists() or getattr(sys, "frozen", False):
        return None
    sizes = [f"{name}={size}" for name, size in (dimensions or {}).items()]
    command = [sys.executable, "-m", "workbench.devices.memory", str(path), str(batch), str(threads), *sizes]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


def _measure(path: Path, batch: int, threads: int, dimensions: Mapping[str, int]) -> int:
    from workbench.engines.inference_ort.sample_inputs import random_inputs
    from workbench.engines.inference_ort.session import open_session

    before = _status_bytes("VmRSS")
    session = open_session(path, threads=threads)
    session.run(random_inputs(session.inputs, batch=batch, dimensions=dimensions))
    return max(_status_bytes("VmHWM") - before, 0)


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {key}")


if __name__ == "__main__":
    _path, _batch, _threads, *_sizes = sys.argv[1:]
    _dimensions = {name: int(size) for name, _, size in (text.rpartition("=") for text in _sizes)}
    print(_measure(Path(_path), int(_batch), int(_threads), _dimensions))
