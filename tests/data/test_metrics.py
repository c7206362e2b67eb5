"""Every metric keeps the contract and gives values that are known from the field."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.data.metrics.registry import metric_named, metrics
from workbench.domain.errors import DataError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 7, 60)
SCORES = RNG.standard_normal((60, 7)) + 2.0 * np.eye(7)[LABELS]
VALUES = RNG.standard_normal((60, 3, 4))
MAPS = RNG.integers(0, 4, (20, 5, 6))
MAP_SCORES = RNG.standard_normal((20, 4, 5, 6)) + 2.0 * np.moveaxis(np.eye(4)[MAPS], -1, 1)
TOKENS = RNG.integers(0, 9, (20, 6))
TOKEN_SCORES = RNG.standard_normal((20, 6, 9))
CASES = {
    "top1": (SCORES, LABELS),
    "top5": (SCORES, LABELS),
    "mse": (VALUES + 0.1 * RNG.standard_normal(VALUES.shape), VALUES),
    "psnr": (VALUES + 0.1 * RNG.standard_normal(VALUES.shape), VALUES),
    "miou": (MAP_SCORES, MAPS),
    "perplexity": (TOKEN_SCORES, TOKENS),
    "sqnr": (VALUES + 0.1 * RNG.standard_normal(VALUES.shape), VALUES),
    "cosine": (VALUES + 0.1 * RNG.standard_normal(VALUES.shape), VALUES),
}


def test_every_metric_has_a_case() -> None:
    assert {metric.name for metric in metrics()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
class TestCompliance:
    """What evaluation and sensitivity rely on."""

    def test_batching_does_not_matter(self, name: str) -> None:
        outputs, targets = CASES[name]
        whole, parts = metric_named(name), metric_named(name)
        whole.update(outputs, targets)
        for start in range(0, len(outputs), 7):
            parts.update(outputs[start : start + 7], targets[start : start + 7])
        assert parts.value() == pytest.approx(whole.value(), rel=1e-12)
        np.testing.assert_allclose(parts.per_sample, whole.per_sample)
        assert len(parts.per_sample) == len(outputs)

    def test_value_lies_in_its_interval(self, name: str) -> None:
        metric = metric_named(name)
        metric.update(*CASES[name])
        low, high = metric.interval_of(metric.per_sample)
        assert low < metric.value() < high

    def test_noise_makes_it_worse_in_its_direction_and_pairs(self, name: str) -> None:
        outputs, targets = CASES[name]
        good, bad = metric_named(name), metric_named(name)
        good.update(outputs, targets)
        bad.update(outputs + 3.0 * RNG.standard_normal(outputs.shape), targets)
        difference = good.difference(good.per_sample, bad.per_sample)
        assert difference.value == pytest.approx(bad.value() - good.value())
        assert (difference.value < 0) == good.higher_is_better
        low, high = difference.ci95
        assert low < difference.value < high

    def test_a_model_against_itself_differs_by_nothing(self, name: str) -> None:
        metric = metric_named(name)
        metric.update(*CASES[name])
        difference = metric.difference(metric.per_sample, metric.per_sample)
        assert difference.value == 0
        assert difference.ci95[0] <= 0 <= difference.ci95[1]

    def test_refuses_outputs_for_other_samples(self, name: str) -> None:
        outputs, targets = CASES[name]
        with pytest.raises(DataError, match="outputs for"):
            metric_named(name).update(outputs[:5], targets[:6])
        with pytest.raises(DataError):
            metric_named(name).update(outputs[:5, :1], targets[:5])


def test_top1_and_top5_count_hits() -> None:
    scores = np.array([[9.0, 8, 7, 6, 5, 4, 3], [9.0, 8, 7, 6, 5, 4, 3], [1.0, 1, 1, 1, 1, 1, 1]])
    labels = np.array([0, 5, 2])
    for name, hits in (("top1", [1, 0, 0]), ("top5", [1, 0, 0])):
        metric = metric_named(name)
        metric.update(scores, labels)
        assert metric.per_sample[:, 0].tolist() == hits
    metric = metric_named("top5")
    metric.update(scores[:2], np.array([4, 6]))
    assert metric.value() == 0.5


def test_nan_scores_are_wrong_and_predicted_labels_are_taken() -> None:
    metric = metric_named("top1")
    metric.update(np.array([[np.nan, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    assert metric.value() == 0.5
    metric = metric_named("top1")
    metric.update(np.array([3, 4]), np.array([3, 5]))
    assert metric.value() == 0.5


def test_known_values() -> None:
    picture = np.zeros((2, 1, 4, 4))
    psnr = metric_named("psnr")
    psnr.update(picture + 0.1, picture)
    assert psnr.value() == pytest.approx(20.0)
    peak = metric_named("psnr", {"peak": 255})
    peak.update(picture + 0.1, picture)
    assert peak.value() == pytest.approx(20.0 + 20 * math.log10(255))
    same = metric_named("psnr")
    same.update(picture, picture)
    assert same.value() == 100.0
    mse = metric_named("mse")
    mse.update(picture + 2, picture)
    assert mse.value() == 4.0
    perplexity = metric_named("perplexity")
    perplexity.update(np.zeros((3, 5, 11)), np.zeros((3, 5), int))
    assert perplexity.value() == pytest.approx(11.0)
    sqnr = metric_named("sqnr")
    sqnr.update(np.array([[1.1, 2.0]]), np.array([[1.0, 2.0]]))
    assert sqnr.value() == pytest.approx(10 * math.log10(5 / 0.01))
    cosine = metric_named("cosine")
    cosine.update(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert cosine.value() == pytest.approx((math.sqrt(0.5) + 1) / 2)


def test_miou_is_the_mean_over_classes_that_occur_and_leaves_out_ignored_pixels() -> None:
    wanted = np.array([[[0, 0, 1, 255]]])
    found = np.array([[[0, 1, 1, 1]]])
    metric = metric_named("miou")
    metric.update(np.moveaxis(np.eye(3)[found], -1, 1), wanted)
    assert metric.value() == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"unknown metric 'f1'.*top1"):
        metric_named("f1")
