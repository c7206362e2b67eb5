"""Times several models in interleaved rounds, so that whatever the machine does meanwhile hits all of them alike.

A device gets this very file, so that its figures are taken as those of this computer: it needs nothing but numpy, and
Python 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.domain.no_garbage_collection import no_garbage_collection

_WARM_UP_SHARE = 0.25
_WARM_UP_LIMIT_S = 2.0
_STABLE_WITHIN = 0.02
_BURST_MS = 4.0
_LONGEST_BURST = 16
_FEWEST_ROUNDS = 10
_MOST_ROUNDS = 2000

Run = Callable[[], object]


@dataclass(frozen=True)
class Timings:
    """What the rounds gave.

    Attributes:
        rounds_ms: (rounds, models) median of each model's burst in each round.
        runs_ms: For every model all its timed runs.
        busy_seconds: Wall seconds that the rounds took.
    """

    rounds_ms: np.ndarray
    runs_ms: tuple[np.ndarray, ...]
    busy_seconds: float


def time_rounds(
    models: Sequence[Run],
    *,
    seconds: float,
    seed: int,
    report: Callable[[float, str], object],
    check: Callable[[], object] | None = None,
) -> Timings:
    """Run all models in rounds of random order for `seconds`, at least 10 rounds.

    A visit to a model is a burst: one run that only brings its weights back into the caches, then timed runs for
    about 4 ms (1 to 16). Models that take longer than that are timed once a round, every run counting.

    Args:
        models: For each model what runs it once.
        seconds: For all of them together.
        seed: Of the order.
        report: Is told how much is done (0-1), and in words.
        check: Called before each visit; whatever it raises ends the rounds.
    """
    rng = np.random.default_rng(seed)
    check = check or _nothing
    warm_ms = _warm_up(models, min(seconds * _WARM_UP_SHARE, _WARM_UP_LIMIT_S), check)
    bursts = [min(max(round(_BURST_MS / ms), 1), _LONGEST_BURST) for ms in warm_ms]
    warmers = [ms < _BURST_MS for ms in warm_ms]
    rounds: list[list[float]] = []
    runs: list[list[float]] = [[] for _ in models]
    began = time.perf_counter()
    with no_garbage_collection():
        while len(rounds) < _FEWEST_ROUNDS or (len(rounds) < _MOST_ROUNDS and time.perf_counter() - began < seconds):
            row = [0.0] * len(models)
            for index in rng.permutation(len(models)):
                check()
                if warmers[index]:
                    models[index]()
                burst = [_run_ms(models[index]) for _ in range(bursts[index])]
                runs[index].extend(burst)
                row[index] = float(np.median(burst))
            rounds.append(row)
            done = (time.perf_counter() - began) / max(seconds, 1e-9)
            report(max(min(done, 1.0), 0.0), f"round {len(rounds)}")
    return Timings(np.array(rounds), tuple(np.array(run) for run in runs), time.perf_counter() - began)


def _warm_up(models: Sequence[Run], limit_s: float, check: Callable[[], object]) -> list[float]:
    """Run each model until its time stays within 2 %, or its share of `limit_s` is over; returns its milliseconds."""
    medians = []
    for run in models:
        times: list[float] = []
        began = time.perf_counter()
        while True:
            check()
            times.append(_run_ms(run))
            if len(times) >= 10:
                late, before = float(np.median(times[-5:])), float(np.median(times[-10:-5]))
                if abs(late - before) <= _STABLE_WITHIN * before:
                    break
            if len(times) >= 3 and time.perf_counter() - began > limit_s / len(models):
                break
        medians.append(float(np.median(times[-5:])))
    return medians


def _run_ms(run: Run) -> float:
    began = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - began) / 1e6


def _nothing() -> None:
    """Find nothing that would end the rounds."""
