"""Times the models of a job on the device, with the very loop that times them on the user's computer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.devices.agent.description import describe, needed_modules
from workbench.devices.agent.sessions import opened, runnable
from workbench.devices.agent.store import ModelStore
from workbench.devices.agent.system_load import SystemLoad
from workbench.devices.resident_memory import STATUS, memory_of

_MEMORY_LIMIT_S = 300


def measure(
    job: Mapping[str, Any], store: ModelStore, report: Callable[[float, str], object], memory_command: Sequence[str]
) -> dict[str, object]:
    """Return what the workbench makes a report of: rounds, runs, load, operators, memory, and what was measured.

    Args:
        job: {"models": [{"sha256", "shapes": {input: [type, shape]}}], "threads", "seconds", "seed", "operators",
            "memory", "operator_seconds"}.
        store: Holds the models.
        report: Is told how much is done (0-1), and in words.
        memory_command: Command that prints the memory of the model whose number is appended.

    Raises:
        AgentError: a module is missing, or a model is damaged, refused or fails.
    """
    needed_modules()
    from workbench.devices.core_clocks import CoreClocks
    from workbench.devices.held_cores import held_cores
    from workbench.devices.rounds import time_rounds
    from workbench.engines.inference_ort.options import session_options

    models: list[Mapping[str, Any]] = job["models"]
    report(0.0, "opening")
    runs, paths = [], []
    with held_cores(job["threads"]) as cores:
        for number, model in enumerate(models):
            paths.append(store.use(model["sha256"]))
            runs.append(runnable(paths[-1], session_options(threads=job["threads"]), model, job["seed"], number)[0])
        load, clocks = SystemLoad(), CoreClocks(cores)

        def after_round(done: float, text: str) -> None:
            clocks.note()
            report(0.8 * done, f"timing: {text}")

        timings = time_rounds(runs, seconds=job["seconds"], seed=job["seed"], report=after_round)
    others = load.read()
    operators: list[list[list[object]]] = []
    memory: list[dict[str, int | None]] = []
    for number, model in enumerate(models):
        report(0.8 + 0.2 * number / len(models), f"operators and memory of model {number + 1}")
        operators.append(_operators(paths[number], job, model, number) if job["operators"] else [])
        memory.append(_memory([*memory_command, str(number)]) if job["memory"] else {})
    return {
        "device": describe(),
        "models": [model["sha256"] for model in models],
        "rounds_ms": timings.rounds_ms.tolist(),
        "runs_ms": [run.tolist() for run in timings.runs_ms],
        "active_ms": [run.tolist() for run in timings.active_ms],
        "load": others,
        "cores": list(cores),
        "clock_mhz": clocks.range_mhz(),
        "operators": operators,
        "memory": memory,
    }


def added_memory(job: Mapping[str, Any], store: ModelStore, number: int) -> dict[str, int | None]:
    """Return what loading and running one model of the job add to this process; see `resident_memory.memory_of`."""
    needed_modules()
    from workbench.engines.inference_ort.options import session_options

    model = job["models"][number]
    path, options = store.path(model["sha256"]), session_options(threads=job["threads"])
    return memory_of(lambda: opened(path, options, model, job["seed"], number)[0])


def _operators(path: Path, job: Mapping[str, Any], model: Mapping[str, Any], number: int) -> list[list[object]]:
    """Return [name, type, median milliseconds] of every operator that the runtime executes."""
    from workbench.engines.inference_ort.operator_times import operator_medians, repeat
    from workbench.engines.inference_ort.options import session_options

    with tempfile.TemporaryDirectory(prefix="workbench-profile-") as folder:
        options = session_options(threads=job["threads"])
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        run, session = runnable(path, options, model, job["seed"], number)
        repeat(run, job["operator_seconds"])
        events = json.loads(Path(session.end_profiling()).read_text())
    return [[name, op, median] for (name, op), median in operator_medians(events).items()]


def _memory(command: Sequence[str]) -> dict[str, int | None]:
    """Return what the command prints; nothing where the system does not say or the process failed."""
    if not STATUS.exists():
        return {}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MEMORY_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"memory could not be measured: {error}", file=sys.stderr)
        return {}
    found: dict[str, int | None] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found
