"""Medians, intervals and ratios of interleaved timings, and whether the machine was quiet enough to believe them.

Notation: t (rounds, models) milliseconds; q (rounds, models) the same of each burst's lower quartile, as far as the
processor was not with others; r = median(q[:, i] / q[:, 0]).
"""

from __future__ import annotations

import numpy as np

from workbench.devices.energy_rounds import EnergyRounds
from workbench.devices.load import Load
from workbench.devices.rounds import Timings, paired_ratios
from workbench.domain.energy import MeasuredEnergy
from workbench.domain.measurements import Latency, Noise, Ratio
from workbench.domain.throughput import Rate

_RESAMPLES = 1000
_DRIFT_LIMIT = 0.05
_SPREAD_LIMIT = 0.15
_STEAL_LIMIT = 0.02


def summarize(timings: Timings, seed: int) -> list[tuple[Latency, Ratio]]:
    """Return latency and ratio to the first model, for every model.

    A latency is the median of what the clock said. A ratio is the median of the rounds' own ratios: the two sides of
    each were taken within milliseconds of each other, and from each burst comes its lower quartile, so that a
    neighbour on the machine, who makes single runs several times longer, moves it little.

    The bootstrap resamples whole rounds (percentile method; Efron, 1979).

    Args:
        timings: Of the models, the reference first.
        seed: Of the bootstrap.
    """
    rounds_ms = timings.rounds_ms
    ratios = paired_ratios(timings.active_ms, len(rounds_ms))
    rng = np.random.default_rng(seed)
    count = len(rounds_ms)
    picks = rng.integers(0, count, size=(_RESAMPLES, count))
    results = []
    for index, runs in enumerate(timings.runs_ms):
        times, shares = rounds_ms[:, index], ratios[:, index]
        latency = Latency(
            median=float(np.median(times)),
            p90=float(np.percentile(runs, 90)),
            p99=float(np.percentile(runs, 99)),
            ci95=_interval(np.median(times[picks], axis=1)),
        )
        ratio = Ratio(median=float(np.median(shares)), ci95=_interval(np.median(shares[picks], axis=1)))
        results.append((latency, ratio))
    return results


def summarize_rates(rates: np.ndarray, seed: int) -> list[tuple[Rate, Ratio]]:
    """Return samples a second and the ratio to the first model, for every model; ratios are paired by round.

    Args:
        rates: (rounds, models) samples a second.
        seed: Of the bootstrap over rounds.
    """
    picks = np.random.default_rng(seed).integers(0, len(rates), size=(_RESAMPLES, len(rates)))
    results = []
    for rate, share in zip(rates.T, (rates / rates[:, :1]).T, strict=True):
        middle, low_high = _median(rate, picks)
        ratio, ratio_low_high = _median(share, picks)
        results.append((Rate(median=middle, ci95=low_high), Ratio(median=ratio, ci95=ratio_low_high)))
    return results


def summarize_energy(rounds: EnergyRounds, seed: int) -> list[MeasuredEnergy]:
    """Return the energy of one inference of every model; ratios are paired by round.

    Args:
        rounds: Of the models, the reference first.
        seed: Of the bootstrap over rounds.
    """
    joules, watts = np.array(rounds.joules), np.array(rounds.watts)
    picks = np.random.default_rng(seed).integers(0, len(joules), size=(_RESAMPLES, len(joules)))
    # Where the idle machine takes as much as the working one, a ratio says nothing.
    first = np.where(joules[:, :1] > 0, joules[:, :1], np.nan)
    shares = joules / first
    results = []
    for index, runs in enumerate(rounds.runs):
        middle, low_high = _median(joules[:, index] * 1e3, picks)
        valid = shares[~np.isnan(shares[:, index]), index]
        share = float(np.median(valid)) if len(valid) else 1.0
        spread = _interval(np.median(valid[picks % len(valid)], axis=1)) if len(valid) else (1.0, 1.0)
        results.append(
            MeasuredEnergy(
                millijoules=middle,
                ci95=low_high,
                watts=float(np.median(watts[:, index])),
                ratio_to_first=Ratio(median=share, ci95=spread),
                inferences=runs,
            )
        )
    return results


def _median(values: np.ndarray, picks: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return the median of all rounds and its bootstrap interval."""
    return float(np.median(values)), _interval(np.median(values[picks], axis=1))


def judge(reference_ms: np.ndarray, load: Load, threads: int, clock_mhz: tuple[float, float] | None = None) -> Noise:
    """Say whether the machine was quiet.

    Args:
        reference_ms: (rounds,) of the first model.
        load: What else the machine did meanwhile.
        threads: Threads that the runtime used.
        clock_mhz: Of the slowest and the fastest part of the run, where the system tells them.
    """
    middle = float(np.median(reference_ms))
    thirds = [float(np.median(part)) for part in np.array_split(reference_ms, 3) if len(part)]
    drift = max(abs(third - middle) / middle for third in thirds)
    low, high = np.percentile(reference_ms, [25, 75])
    spread = float(high - low) / middle
    reasons = []
    if drift > _DRIFT_LIMIT:
        reasons.append(f"the first model's time drifted by {drift:.0%} during the run")
    if clock_mhz is not None and clock_mhz[1] > clock_mhz[0] * (1 + _DRIFT_LIMIT):
        reasons.append(f"the processor's clock ran at {clock_mhz[0]:.0f} to {clock_mhz[1]:.0f} MHz")
    if spread > _SPREAD_LIMIT:
        reasons.append(f"half of the rounds spread over {spread:.0%} of the median")
    if load.others_cores + threads > load.cores * 0.95 and load.others_cores > 0.1 * load.cores:
        reasons.append(f"other processes used {load.others_cores:.1f} of {load.cores} cores")
    if load.steal_ratio > _STEAL_LIMIT:
        reasons.append(f"the virtual machine's host took {load.steal_ratio:.0%} of the time")
    return Noise(quiet=not reasons, drift_ratio=drift, reason="; ".join(reasons), clock_mhz=clock_mhz)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
