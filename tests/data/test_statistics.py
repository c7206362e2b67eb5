"""Intervals agree with published examples and with scipy, and keep their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.data.statistics import bootstrap_interval, mcnemar_exact, mean_interval, paired_share_interval, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (81, 263), (9173, 10000), (5, 5)])
def test_wilson_agrees_with_scipy(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(0.95, "wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_mcnemar_exact_is_the_binomial_test_of_the_discordant_pairs() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(12, 2) == pytest.approx(stats.binomtest(12, 14).pvalue)


def test_paired_interval_is_open_even_when_nothing_changed_and_shrinks_with_samples() -> None:
    few, many = paired_share_interval(0, 0, 100), paired_share_interval(0, 0, 10000)
    assert few[0] < 0 < few[1]
    assert many[1] < few[1] / 10


def test_paired_interval_keeps_its_coverage() -> None:
    rng = np.random.default_rng(1)
    lost_share, won_share, n, rounds = 0.04, 0.01, 500, 2000
    lost, won, _ = rng.multinomial(n, [lost_share, won_share, 1 - lost_share - won_share], rounds).T
    intervals = [paired_share_interval(int(a), int(b), n) for a, b in zip(lost, won, strict=True)]
    covered = np.mean([low <= won_share - lost_share <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.975


def test_mean_and_bootstrap_agree_on_a_mean() -> None:
    values = np.random.default_rng(2).exponential(size=400)
    low, high = mean_interval(values)
    other = bootstrap_interval(lambda weights: weights @ values / len(values), len(values), rounds=4000)
    assert other == pytest.approx((low, high), abs=0.02)
    assert mean_interval(np.array([3.0])) == (3.0, 3.0)
