"""Peak memory of a model, measured in a process of its own, where nothing else is counted along.

`main` is that process: it loads one model, runs it once and prints the bytes that this added.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.devices.resident_memory import STATUS, status_bytes
from workbench.domain.installation import own_command

_TIMEOUT_S = 120


def peak_memory_bytes(
    path: Path, *, batch: int, threads: int, dimensions: Mapping[str, int] | None = None
) -> int | None:
    """Return the most resident memory that loading the model and one inference add to a process with the runtime.

    Returns None where it can't be measured: another system than Linux, or a child that failed.
    """
    if not STATUS.exists():
        return None
    sizes = [f"{name}={size}" for name, size in (dimensions or {}).items()]
    command = own_command("measure-memory", str(path), str(batch), str(threads), *sizes)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


def main(arguments: Sequence[str]) -> int:
    """Print what `peak_memory_bytes` asks for; the arguments are path, batch, threads and NAME=SIZE of dimensions."""
    path, batch, threads, *sizes = arguments
    dimensions = {name: int(size) for name, _, size in (text.rpartition("=") for text in sizes)}
    print(_measure(Path(path), int(batch), int(threads), dimensions))
    return 0


def _measure(path: Path, batch: int, threads: int, dimensions: Mapping[str, int]) -> int:
    from workbench.engines.inference_ort.sample_inputs import random_inputs
    from workbench.engines.inference_ort.session import open_session

    before = status_bytes("VmRSS")
    session = open_session(path, threads=threads)
    session.run(random_inputs(session.inputs, batch=batch, dimensions=dimensions))
    return max(status_bytes("VmHWM") - before, 0)
