"""Memory of a model, measured in a process of its own, where nothing else is counted along.

`main` is that process: it loads one model, runs it and prints the bytes that this added.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from workbench.devices.resident_memory import STATUS, memory_of
from workbench.domain.installation import own_command

_TIMEOUT_S = 120


class MemoryUse(NamedTuple):
    """Bytes, each None where it can't be measured; see `resident_memory.memory_of`."""

    peak: int | None = None
    inference: int | None = None
    arena: int | None = None


def memory_use(path: Path, *, batch: int, threads: int, dimensions: Mapping[str, int] | None = None) -> MemoryUse:
    """Return what loading the model and inferences add to a process with the runtime.

    Nothing is known where it can't be measured: another system than Linux, or a child that failed.
    """
    if not STATUS.exists():
        return MemoryUse()
    sizes = [f"{name}={size}" for name, size in (dimensions or {}).items()]
    command = own_command("measure-memory", str(path), str(batch), str(threads), *sizes)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return MemoryUse()
    return MemoryUse(**json.loads(done.stdout)) if done.returncode == 0 else MemoryUse()


def main(arguments: Sequence[str]) -> int:
    """Print what `memory_use` asks for; the arguments are path, batch, threads and NAME=SIZE of dimensions."""
    path, batch, threads, *sizes = arguments
    dimensions = {name: int(size) for name, _, size in (text.rpartition("=") for text in sizes)}
    print(json.dumps(_measure(Path(path), int(batch), int(threads), dimensions)))
    return 0


def _measure(path: Path, batch: int, threads: int, dimensions: Mapping[str, int]) -> dict[str, int | None]:
    from workbench.engines.inference_ort.sample_inputs import random_inputs
    from workbench.engines.inference_ort.session import open_session

    def load() -> Callable[[], object]:
        session = open_session(path, threads=threads)
        inputs = random_inputs(session.inputs, batch=batch, dimensions=dimensions)
        return lambda: session.run(inputs)

    return memory_of(load)
