"""Counts the samples that models get through on the device, with the loop that counts them on the user's computer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workbench.devices.agent.description import describe, needed_modules
from workbench.devices.agent.sessions import runnable
from workbench.devices.agent.store import ModelStore
from workbench.devices.agent.system_load import SystemLoad


def measure_throughput(
    job: Mapping[str, Any], store: ModelStore, report: Callable[[float, str], object]
) -> dict[str, object]:
    """Return (rounds, models) inferences a second, and what else the device did.

    Args:
        job: {"models": [{"sha256", "shapes"}], "threads" of each stream, "streams", "seconds", "seed"}.
        store: Holds the models.
        report: Is told how much is done (0-1), and in words.

    Raises:
        AgentError: a module is missing, or a model is damaged, refused or fails.
    """
    needed_modules()
    from workbench.devices.streams import run_streams
    from workbench.engines.inference_ort.options import session_options

    models = []
    for number, model in enumerate(job["models"]):
        path = store.use(model["sha256"])
        options = [session_options(threads=job["threads"]) for _ in range(job["streams"])]
        models.append([runnable(path, each, model, job["seed"], number)[0] for each in options])
    load = SystemLoad()
    rates = run_streams(models, seconds=job["seconds"], seed=job["seed"], report=report)
    return {
        "device": describe(),
        "models": [model["sha256"] for model in job["models"]],
        "rates": rates,
        "load": load.read(),
    }
