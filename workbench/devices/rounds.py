"""Times several models in interleaved rounds, so that whatever the machine does meanwhile hits all of them alike.

A device gets this very file, so that its figures are taken as those of this computer: it needs nothing but numpy, and
Python 3.9.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.domain.no_garbage_collection import no_garbage_collection

try:
    import resource
except ImportError:  # Windows has none
    _THREAD = None
else:
    _THREAD = getattr(resource, "RUSAGE_THREAD", None)

_WARM_UP_SHARE = 0.25
_WARM_UP_LIMIT_S = 2.0
_STABLE_WITHIN = 0.02
_BURST_MS = 4.0
_LONGEST_BURST = 16
_FEWEST_ROUNDS = 10
_MOST_ROUNDS = 2000
# A ratio of which less is known than this is measured on, up to three times as long as was asked for.
_WIDE = 0.015
_LONGEST = 3.0
# Of a model that computes all the time, fewer runs than this wait for anything.
_SELDOM = 0.05

Run = Callable[[], object]


@dataclass(frozen=True)
class Timings:
    """What the rounds gave.

    Attributes:
        rounds_ms: (rounds, models) median of each model's burst in each round.
        runs_ms: For every model all its timed runs, as many in each round.
        active_ms: The same without the time in which other processes had the processor, where that can be told.
        busy_seconds: Wall seconds that the rounds took.
    """

    rounds_ms: np.ndarray
    runs_ms: tuple[np.ndarray, ...]
    active_ms: tuple[np.ndarray, ...]
    busy_seconds: float


def time_rounds(
    models: Sequence[Run],
    *,
    seconds: float,
    seed: int,
    report: Callable[[float, str], object],
    check: Callable[[], object] | None = None,
) -> Timings:
    """Run all models in rounds of random order for `seconds`, at least 10 rounds; longer where ratios are uncertain.

    A visit to a model is a burst: one run that only brings its weights back into the caches, then timed runs, as many
    for each model: of a model that were timed in longer bursts, the best runs would be better ones. They take about
    4 ms (1 to 16 runs). Models that take longer than that are timed once a round, every run counting.

    Args:
        models: For each model what runs it once.
        seconds: For all of them together; three times as much at most, while a ratio is uncertain by 1.5 %.
        seed: Of the order.
        report: Is told how much is done (0-1), and in words.
        check: Called before each visit; whatever it raises ends the rounds.
    """
    rng = np.random.default_rng(seed)
    check = check or _nothing
    warm_ms = _warm_up(models, min(seconds * _WARM_UP_SHARE, _WARM_UP_LIMIT_S), check)
    usual_ms = float(np.exp(np.mean(np.log(warm_ms))))
    length = min(max(round(_BURST_MS / usual_ms), 1), _LONGEST_BURST)
    rounds: list[list[float]] = []
    runs: list[list[float]] = [[] for _ in models]
    active: list[list[float]] = [[] for _ in models]
    waits = [0.0] * len(models)

    def clocks() -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], list[float]]:
        """Return what `without_waits` takes."""
        return _arrays(active), _arrays(runs), waits

    began = time.perf_counter()
    limit, done = seconds, 0.0
    with no_garbage_collection():
        while len(rounds) < _MOST_ROUNDS:
            past = time.perf_counter() - began
            if len(rounds) >= _FEWEST_ROUNDS and past >= limit:
                if limit >= _LONGEST * seconds or _certain(paired_ratios(without_waits(*clocks()), len(rounds))):
                    break
                limit += seconds / 2
            row = [0.0] * len(models)
            for index in rng.permutation(len(models)):
                check()
                if usual_ms < _BURST_MS:
                    models[index]()
                waited = _waits()
                burst = [_run(models[index]) for _ in range(length)]
                waits[index] += _waits() - waited
                walls = [wall for wall, _ in burst]
                runs[index].extend(walls)
                active[index].extend(busy for _, busy in burst)
                row[index] = float(np.median(walls))
            rounds.append(row)
            done = max(done, min((time.perf_counter() - began) / max(limit, 1e-9), 1.0))
            disturbed = ", longer because the machine is busy" if limit > seconds else ""
            report(done, f"round {len(rounds)}{disturbed}")
    taken = time.perf_counter() - began
    return Timings(np.array(rounds), _arrays(runs), without_waits(*clocks()), taken)


def without_waits(
    active: Sequence[np.ndarray], runs: Sequence[np.ndarray], waits: Sequence[float]
) -> tuple[np.ndarray, ...]:
    """Return processor times; wall times where a model waits of its own accord, or the processor's clock is coarse.

    Args:
        active: Milliseconds of processor time of all runs of each model.
        runs: Wall milliseconds of the same.
        waits: How often each model gave the processor away by itself; NaN where that is not known.
    """
    told = all(
        waits[index] <= _SELDOM * len(busy) and np.min(busy) > 0.5 * np.median(busy) > 0
        for index, busy in enumerate(active)
    )
    return tuple(np.minimum(active[index], run) if told else run for index, run in enumerate(runs))


def paired_ratios(runs: Sequence[np.ndarray], rounds: int) -> np.ndarray:
    """Return (rounds, models) time of each model over the first's in the same round.

    The time is the lower quartile of a burst: whatever else the machine does only makes runs longer.

    Args:
        runs: Milliseconds of all runs of each model, as many in each round.
        rounds: How many there were.
    """
    times = [np.quantile(each.reshape(rounds, -1), 0.25, axis=1) for each in runs]
    return np.stack([time / times[0] for time in times], axis=1)


def _certain(ratios: np.ndarray) -> bool:
    """Whether the median of every column is known within 1.5 %, by its standard error (Kendall and Stuart, 1977)."""
    middle = np.median(ratios, axis=0)
    deviation = 1.4826 * np.median(np.abs(ratios - middle), axis=0)
    return bool(np.all(1.96 * 1.2533 * deviation / np.sqrt(len(ratios)) <= _WIDE * middle))


def _arrays(rows: Sequence[Sequence[float]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(row) for row in rows)


def _warm_up(models: Sequence[Run], limit_s: float, check: Callable[[], object]) -> list[float]:
    """Run each model until its time stays within 2 %, or its share of `limit_s` is over; returns its best time in ms.

    On a busy machine even a median may be many times what a model takes.
    """
    best = []
    for run in models:
        times: list[float] = []
        began = time.perf_counter()
        while True:
            check()
            times.append(_run(run)[0])
            if len(times) >= 10:
                late, before = float(np.median(times[-5:])), float(np.median(times[-10:-5]))
                if abs(late - before) <= _STABLE_WITHIN * before:
                    break
            if len(times) >= 3 and time.perf_counter() - began > limit_s / len(models):
                break
        best.append(max(min(times), 1e-6))
    return best


def _run(run: Run) -> tuple[float, float]:
    """Return milliseconds by the clock, and those in which this thread had a processor."""
    began, busy = time.perf_counter_ns(), time.thread_time_ns()
    run()
    busy = time.thread_time_ns() - busy
    return (time.perf_counter_ns() - began) / 1e6, busy / 1e6


def _waits() -> float:
    """Return how often this thread gave the processor away by itself; NaN where the system does not say."""
    return math.nan if _THREAD is None else resource.getrusage(_THREAD).ru_nvcsw


def _nothing() -> None:
    """Find nothing that would end the rounds."""
