"""Times single kernels on the device, with the very loop that times them on the user's computer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.devices.agent.answers import AgentError
from workbench.devices.agent.description import describe, needed_modules
from workbench.devices.agent.sessions import runnable
from workbench.devices.agent.store import ModelStore


def time_kernels(
    job: Mapping[str, Any], store: ModelStore, report: Callable[[float, str], object]
) -> dict[str, object]:
    """Return the microseconds of every run of every one-layer model; none of a model that the runtime refuses.

    Args:
        job: {"models": [{"sha256", "shapes"}], "groups": [how many of them are timed in turn, …], "threads", "seconds",
            "seed"}.
        store: Holds the models.
        report: Is told how much is done (0-1), and in words.

    Raises:
        AgentError: a module is missing, a model is damaged or fails, or all of a group are refused.
    """
    needed_modules()
    from workbench.engines.inference_ort.kernel_rounds import run_in_rounds, run_microseconds
    from workbench.engines.inference_ort.options import session_options

    models: list[Mapping[str, Any]] = job["models"]
    found: list[list[float]] = []
    for place, size in enumerate(job["groups"]):
        report(place / len(job["groups"]), f"timing kernels of shape {place + 1} of {len(job['groups'])}")
        with tempfile.TemporaryDirectory(prefix="workbench-kernels-") as folder:
            runs, sessions = [], {}
            refusal = None
            for number in range(len(found), len(found) + size):
                options = session_options(threads=job["threads"])
                options.enable_profiling = True
                options.profile_file_prefix = str(Path(folder) / str(number))
                path = store.use(models[number]["sha256"])
                try:
                    run, sessions[number] = runnable(path, options, models[number], job["seed"], number)
                except AgentError as error:
                    if error.kind != "refused":
                        raise
                    refusal = refusal or error
                    continue
                runs.append(run)
            if refusal is not None and not sessions:
                raise refusal
            run_in_rounds(runs, seconds=job["seconds"], seed=job["seed"])
            for number in range(len(found), len(found) + size):
                known = number in sessions
                written = Path(sessions[number].end_profiling()).read_text() if known else ""
                found.append(run_microseconds(json.loads(written)) if known else [])
    return {"device": describe(), "models": [model["sha256"] for model in models], "runs_us": found}
