"""Medians, intervals and ratios of interleaved timings, and whether the machine was quiet enough to believe them.

Notation: t (rounds, models) milliseconds; r = median(t[:, i]) / median(t[:, 0]).
"""

from __future__ import annotations

import numpy as np

from workbench.devices.load import Load
from workbench.domain.measurements import Latency, Noise, Ratio

_RESAMPLES = 1000
_DRIFT_LIMIT = 0.05
_SPREAD_LIMIT = 0.15
_STEAL_LIMIT = 0.02


def summarize(rounds_ms: np.ndarray, runs_ms: tuple[np.ndarray, ...], seed: int) -> list[tuple[Latency, Ratio]]:
    """Return latency and ratio to the first model, for every model.

    The bootstrap resamples whole rounds (percentile method; Efron, 1979), the same ones for all models, so that
    what disturbed a round disturbs both sides of a ratio.

    Args:
        rounds_ms: (rounds, models).
        runs_ms: All timed runs of each model.
        seed: Of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    count = len(rounds_ms)
    picks = rng.integers(0, count, size=(_RESAMPLES, count))
    resampled = np.stack([np.median(rounds_ms[:, index][picks], axis=1) for index in range(rounds_ms.shape[1])], axis=1)
    medians = np.median(rounds_ms, axis=0)
    results = []
    for index, runs in enumerate(runs_ms):
        latency = Latency(
            median=float(medians[index]), p90=float(np.percentile(runs, 90)), ci95=_interval(resampled[:, index])
        )
        ratio = Ratio(median=float(medians[index] / medians[0]), ci95=_interval(resampled[:, index] / resampled[:, 0]))
        results.append((latency, ratio))
    return results


def judge(reference_ms: np.ndarray, load: Load, threads: int) -> Noise:
    """Say whether the machine was quiet.

    Args:
        reference_ms: (rounds,) of the first model.
        load: What else the machine did meanwhile.
        threads: Threads that the runtime used.
    """
    middle = float(np.median(reference_ms))
    thirds = [float(np.median(part)) for part in np.array_split(reference_ms, 3) if len(part)]
    drift = max(abs(third - middle) / middle for third in thirds)
    low, high = np.percentile(reference_ms, [25, 75])
    spread = float(high - low) / middle
    reasons = []
    if drift > _DRIFT_LIMIT:
        reasons.append(f"the first model's time drifted by {drift:.0%} during the run")
    if spread > _SPREAD_LIMIT:
        reasons.append(f"half of the rounds spread over {spread:.0%} of the median")
    if load.others_cores + threads > load.cores * 0.95 and load.others_cores > 0.1 * load.cores:
        reasons.append(f"other processes used {load.others_cores:.1f} of {load.cores} cores")
    if load.steal_ratio > _STEAL_LIMIT:
        reasons.append(f"the virtual machine's host took {load.steal_ratio:.0%} of the time")
    return Noise(quiet=not reasons, drift_ratio=drift, reason="; ".join(reasons))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
