"""Takes the energy of models on the device, with the very loop that takes it on the user's computer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from workbench.devices.agent.description import describe, needed_modules
from workbench.devices.agent.sessions import runnable
from workbench.devices.agent.store import ModelStore
from workbench.devices.agent.system_load import SystemLoad


def measure_energy(
    job: Mapping[str, Any], store: ModelStore, report: Callable[[float, str], object]
) -> dict[str, object]:
    """Return what the counters said in every round, or under "why_not" why they can't be read.

    Args:
        job: {"models": [{"sha256", "shapes"}], "threads", "seconds", "seed"}.
        store: Holds the models.
        report: Is told how much is done (0-1), and in words.

    Raises:
        AgentError: a module is missing, or a model is damaged, refused or fails.
    """
    needed_modules()
    from workbench.devices.energy_rounds import energy_rounds
    from workbench.devices.rapl import RaplCounters
    from workbench.engines.inference_ort.options import session_options

    answer = {"device": describe(), "models": [model["sha256"] for model in job["models"]]}
    try:
        counters = RaplCounters()
    except OSError as error:
        return {**answer, "why_not": str(error)}
    runs = []
    for number, model in enumerate(job["models"]):
        options = session_options(threads=job["threads"])
        runs.append(runnable(store.use(model["sha256"]), options, model, job["seed"], number)[0])
    load = SystemLoad()
    rounds = energy_rounds(runs, counters, seconds=job["seconds"], seed=job["seed"], report=report)
    return {**answer, "rounds": asdict(rounds), "counters": list(counters.names), "load": load.read()}
