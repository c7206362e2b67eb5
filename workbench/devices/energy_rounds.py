"""Takes the energy of models above the idle machine's, in rounds of random order, each with a look at idle power.

A device gets this very file: it needs nothing but numpy, and Python 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.devices.rapl import RaplCounters

_IDLE_S, _VISIT_S = 0.5, 0.5
_FEWEST_RUNS, _FEWEST_ROUNDS, _MOST_ROUNDS = 4, 5, 60


@dataclass(frozen=True)
class EnergyRounds:
    """What the rounds gave.

    Attributes:
        joules: (rounds, models) of one inference, above idle.
        watts: (rounds, models) while the model ran, idle power included.
        idle_watts: (rounds,).
        runs: Inferences by model.
    """

    joules: list[list[float]]
    watts: list[list[float]]
    idle_watts: list[float]
    runs: list[int]


def energy_rounds(
    models: Sequence[Callable[[], object]],
    counters: RaplCounters,
    *,
    seconds: float,
    seed: int,
    report: Callable[[float, str], object],
    check: Callable[[], object] | None = None,
    idle_s: float = _IDLE_S,
    visit_s: float = _VISIT_S,
) -> EnergyRounds:
    """Run all models in rounds: the machine idles, then each model runs for half a second, at least four times.

    Args:
        models: For each model what runs it once.
        counters: To read.
        seconds: For all of it, at least 5 rounds.
        seed: Of the order.
        report: Is told how much is done (0-1), and in words.
        check: Called before each visit; whatever it raises ends the rounds.
        idle_s: How long the machine idles in each round.
        visit_s: How long each model runs in it.

    Raises:
        OSError: a counter can't be read any more.
    """
    rng = np.random.default_rng(seed)
    found = EnergyRounds([], [], [], [0] * len(models))
    for run in models:
        run()
    began = time.perf_counter()
    while len(found.joules) < _FEWEST_ROUNDS or (
        len(found.joules) < _MOST_ROUNDS and time.perf_counter() - began < seconds
    ):
        before, start = counters.read(), time.perf_counter()
        time.sleep(idle_s)
        idle = counters.joules(before, counters.read()) / (time.perf_counter() - start)
        joules, watts = [0.0] * len(models), [0.0] * len(models)
        for index in rng.permutation(len(models)):
            if check is not None:
                check()
            before, start, count = counters.read(), time.perf_counter(), 0
            while count < _FEWEST_RUNS or time.perf_counter() - start < visit_s:
                models[index]()
                count += 1
            spent, past = counters.joules(before, counters.read()), time.perf_counter() - start
            joules[index] = (spent - idle * past) / count
            watts[index] = spent / past
            found.runs[index] += count
        found.joules.append(joules)
        found.watts.append(watts)
        found.idle_watts.append(idle)
        report(min((time.perf_counter() - began) / max(seconds, 1e-9), 1.0), f"round {len(found.joules)}")
    return found
