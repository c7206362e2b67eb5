"""Counts how often models run in a stretch of time when several streams ask at once, models in turn.

A device gets this very file, so that its figures are taken as those of this computer: it needs nothing but numpy, and
Python 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from workbench.domain.no_garbage_collection import no_garbage_collection

Run = Callable[[], object]

_WINDOW_S = 0.25
_FEWEST_RUNS = 4
_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 200


def run_streams(
    models: Sequence[Sequence[Run]],
    *,
    seconds: float,
    seed: int,
    report: Callable[[float, str], object],
    check: Callable[[], object] | None = None,
) -> list[list[float]]:
    """Run all models in rounds of random order; return (rounds, models) inferences a second of all streams together.

    A visit to a model lasts a quarter of a second, or four runs where that is longer; its first one only warms up.

    Args:
        models: For each model what runs it once, a callable for each stream.
        seconds: For all of them together, at least 5 rounds.
        seed: Of the order.
        report: Is told how much is done (0-1), and in words.
        check: Called before each visit; whatever it raises ends the rounds.
    """
    rng = np.random.default_rng(seed)
    windows = []
    for streams in models:
        if check is not None:
            check()
        rate = _visit(streams, _WINDOW_S)
        windows.append(max(_WINDOW_S, _FEWEST_RUNS * len(streams) / rate))
    rounds: list[list[float]] = []
    began = time.perf_counter()
    with no_garbage_collection():
        while len(rounds) < _FEWEST_ROUNDS or (len(rounds) < _MOST_ROUNDS and time.perf_counter() - began < seconds):
            row = [0.0] * len(models)
            for index in rng.permutation(len(models)):
                if check is not None:
                    check()
                row[index] = _visit(models[index], windows[index])
            rounds.append(row)
            done = max((time.perf_counter() - began) / max(seconds, 1e-9), 0.0)
            report(min(done, 1.0), f"round {len(rounds)}")
    return rounds


def _visit(streams: Sequence[Run], window_s: float) -> float:
    """Return the runs a second of all streams; each counts whole runs over the time that these took it."""
    ready = Barrier(len(streams))

    def stream(run: Run) -> float:
        ready.wait()
        began, count = time.perf_counter(), 0
        while True:
            run()
            count += 1
            past = time.perf_counter() - began
            if past >= window_s:
                return count / past

    with ThreadPoolExecutor(len(streams)) as pool:
        return sum(pool.map(stream, streams))
