"""What is expected of a setting leans on the others where its own samples say little, and on itself where they do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.methods.expected_drops import expected_drops
from workbench.methods.sampling import margin_plan, spread_plan
from workbench.methods.settling import settled


def _noisy(rng: np.random.Generator, error: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    divergence = np.geomspace(1e-3, 1.0, 40)
    truth = 0.2 * divergence
    return truth, truth + rng.normal(scale=error, size=40), divergence


def test_ranks_are_better_than_those_of_the_samples_alone() -> None:
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(20):
        truth, measured, divergence = _noisy(rng, 0.02)
        expected = expected_drops(measured, np.full(40, 0.02), divergence, 1e-4)
        gains.append(np.abs(measured - truth).mean() / np.abs(expected.values - truth).mean())
    assert np.median(gains) > 2


def test_a_setting_that_is_off_the_curve_keeps_what_its_samples_say() -> None:
    _, measured, divergence = _noisy(np.random.default_rng(1), 1e-4)
    measured[7] = 0.15
    expected = expected_drops(measured, np.full(40, 1e-4), divergence, 1e-4)
    assert expected.values[7] == pytest.approx(0.15, abs=0.01)


def test_without_relation_or_enough_settings_the_samples_speak_alone() -> None:
    errors = np.full(8, 0.01)
    drops = -np.linspace(0.01, 0.05, 8)
    np.testing.assert_array_equal(expected_drops(drops, errors, np.linspace(0, 1, 8), 1e-3).values, drops)
    few = expected_drops(drops[:4], errors[:4], np.linspace(0, 1, 4), 1e-3)
    np.testing.assert_array_equal(few.values, drops[:4])
    unknown = expected_drops(drops, errors, np.full(8, np.nan), 1e-3)
    np.testing.assert_array_equal(unknown.errors, errors)


@given(samples=st.integers(2, 300), taken=st.integers(1, 300), seed=st.integers(0, 9))
def test_the_weights_of_a_plan_add_up_and_all_samples_weigh_the_same(samples: int, taken: int, seed: int) -> None:
    margins = np.random.default_rng(seed).exponential(size=samples)
    for plan in (margin_plan(margins, seed), spread_plan(samples, seed)):
        assert sorted(plan.order.tolist()) == list(range(samples))
        assert plan.shares.sum() == pytest.approx(1)
        assert plan.weights(min(taken, samples)).sum() == pytest.approx(1)
        np.testing.assert_allclose(plan.weights(samples), 1 / samples)


def test_the_weighted_mean_of_the_first_samples_is_unbiased_and_its_error_is_right() -> None:
    rng = np.random.default_rng(3)
    margins = rng.exponential(size=2000)
    flips = (rng.random(2000) < 0.5 * np.exp(-3 * margins)).astype(float)
    means, errors, plain = [], [], []
    for seed in range(300):
        plan = margin_plan(margins, seed)
        seen = flips[plan.order][:200]
        means.append(float((plan.weights(200) * seen).sum()))
        errors.append(plan.spread(seen))
        plain.append(flips[spread_plan(2000, seed).order][:200].mean())
    assert np.mean(means) == pytest.approx(flips.mean(), abs=3 * np.std(means) / np.sqrt(300))
    assert 0.8 < np.mean(errors) / np.std(means) < 1.5
    assert np.std(means) < 0.85 * np.std(plain)  # low margins first: fewer samples for the same certainty


def test_what_ends_a_trial() -> None:
    values = np.array([0.50, 0.10, 0.02, 0.02, 0.001])
    errors = np.array([0.05, 0.03, 0.01, 0.01, 0.001])
    groups = [2, 3, 4, 4, 8]
    found = settled(values, errors, groups, resolution=0.002, hopeless=0.3)
    # Useless for certain; alone in its group; two that can't be told apart, and aren't known well; known well.
    assert found.tolist() == [True, True, False, False, True]
    apart = settled(np.array([0.02, 0.2]), np.array([0.01, 0.05]), [4, 4], resolution=0.002, hopeless=1.0)
    assert apart.tolist() == [True, True]


def test_with_a_budget_only_its_side_counts() -> None:
    values = np.array([0.50, 0.10, 0.02, 0.012, 0.001])
    errors = np.array([0.05, 0.03, 0.004, 0.004, 0.001])
    found = settled(values, errors, [4] * 5, resolution=0.002, hopeless=0.3, budget=0.01)
    # Certainly beyond, thrice; too near to tell; certainly within.
    assert found.tolist() == [True, True, True, False, True]
