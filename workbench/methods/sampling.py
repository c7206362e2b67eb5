"""Chooses the order in which a trial goes through the samples, so that the few that decide come first.

A sample whose class the original is unsure of changes its answer far sooner than one that it is sure of. Samples are
sorted into strata by the original's margin, those of small margin come early, and every estimate weighs the strata by
their share of all samples (stratified sampling; Neyman, 1934), which leaves it unbiased.

Notation: N samples in H strata; W_h a stratum's share of them; n_h how many of its samples were taken; d a sample's
difference; s_h² its variance within the stratum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.domain.measurements import Interval

_STRATA = 8
# How much more often samples of the smallest margin are taken than those of the largest, when first come.
_EAGERNESS = 8.0


@dataclass(frozen=True)
class SamplingPlan:
    """The order of the samples, and the strata that they stand for.

    Attributes:
        order: (N,) positions in the data set.
        strata: (N,) stratum of each, in that order.
        shares: (H,) W_h.
    """

    order: np.ndarray
    strata: np.ndarray
    shares: np.ndarray

    def weights(self, count: int) -> np.ndarray:
        """Return what each of the first `count` samples stands for (count,); they add up to 1."""
        taken = np.bincount(self.strata[:count], minlength=len(self.shares))
        per_sample = np.divide(self.shares, taken, out=np.zeros(len(self.shares)), where=taken > 0)
        weights = per_sample[self.strata[:count]]
        return np.asarray(weights / weights.sum())

    def spread(self, differences: np.ndarray) -> float:
        """Return the standard error of the weighted mean of the first n differences (n,).

        Strata of which little was seen borrow the variance of all: a stratum of five equal samples is not certain.
        """
        count = len(differences)
        strata, total = self.strata[:count], 0.0
        pooled = float(differences.var()) if count > 1 else 1.0
        for stratum, share in enumerate(self.shares):
            own = differences[strata == stratum]
            if len(own):
                # One sample's worth of the pooled variance, as a prior.
                variance = (float(((own - own.mean()) ** 2).sum()) + pooled) / len(own)
                total += share**2 * variance / len(own)
            else:
                total += share**2 * pooled
        return math.sqrt(total)


def spread_plan(samples: int, seed: int) -> SamplingPlan:
    """Return a random order of all samples, as one stratum."""
    order = np.random.default_rng([0x0D3, seed]).permutation(samples)
    return SamplingPlan(order, np.zeros(samples, np.int64), np.ones(1))


def margin_plan(margins: np.ndarray, seed: int) -> SamplingPlan:
    """Return an order in which samples of small margin come early.

    Args:
        margins: (N,) how sure the original is of each sample, 0 at the border between two classes.
        seed: Of the order within a stratum.
    """
    count = len(margins)
    rng = np.random.default_rng([0x0D3, seed])
    ranked = np.argsort(margins + 1e-9 * rng.random(count), kind="stable")
    parts = [rng.permutation(part) for part in np.array_split(ranked, min(_STRATA, count))]
    shares = np.array([len(part) for part in parts]) / count
    eagerness = np.geomspace(_EAGERNESS, 1.0, len(parts))
    # When each sample is due: the k-th of a stratum after k / (its rate) steps.
    due = np.concatenate(
        [
            (np.arange(len(part)) + rng.random()) / (eager * len(part))
            for part, eager in zip(parts, eagerness, strict=True)
        ]
    )
    strata = np.concatenate([np.full(len(part), index) for index, part in enumerate(parts)])
    by_due = np.argsort(due, kind="stable")
    return SamplingPlan(np.concatenate(parts)[by_due], strata[by_due], shares)


def interval(mean: float, spread: float, z: float) -> Interval:
    """Return mean ± z · spread."""
    return mean - z * spread, mean + z * spread
