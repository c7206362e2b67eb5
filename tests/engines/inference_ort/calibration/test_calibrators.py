"""The compliance suite that every calibrator passes, then what each one promises by itself."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.errors import DataError
from workbench.engines.inference_ort.calibration import CALIBRATORS, Entropy, MovingAverage, Percentile
from workbench.engines.inference_ort.calibration.histogram import StreamingHistogram
from workbench.graph.quantization import ActivationQuantization


def fake_quantized(x: np.ndarray, quantization: ActivationQuantization) -> np.ndarray:
    levels = np.clip(
        np.rint(x / quantization.scale) + quantization.zero_point, quantization.lowest, quantization.highest
    )
    return (levels - quantization.zero_point) * quantization.scale


def squared_error(x: np.ndarray, span: tuple[float, float], bits: int) -> float:
    return float(np.mean((fake_quantized(x, ActivationQuantization.from_range(*span, bits)) - x) ** 2))


@pytest.mark.parametrize("make", CALIBRATORS.values(), ids=CALIBRATORS.keys())
class TestEveryCalibrator:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6), shift=st.floats(-3, 3), bits=st.integers(2, 8))
    def test_range_holds_zero_and_stays_within_what_was_seen(self, make, seed, scale, shift, bits):
        x = (np.random.default_rng(seed).normal(shift, 1, 500) * scale).astype(np.float32)
        calibrator = make("v")
        calibrator.update(x)
        low, high = calibrator.range(bits)
        assert low <= 0 <= high
        assert min(x.min(), 0) <= low
        assert high <= max(x.max(), 0)

    def test_batches_give_what_the_whole_gives(self, make):
        x = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32)
        x[-1] *= 50  # the histogram has to widen
        whole, parts = make("v"), make("v")
        whole.update(x)
        for part in np.split(x, 16):
            parts.update(part)
        for bits in (4, 8):
            assert parts.range(bits) == pytest.approx(whole.range(bits), rel=0.01, abs=0.05)

    @pytest.mark.parametrize("batch", [1, 7, 64])
    def test_the_size_of_batches_does_not_matter(self, make, batch):
        x = np.random.default_rng(0).normal(0.5, 1, size=(96, 50)).astype(np.float32)
        whole, parts = make("v"), make("v")
        whole.update(x)
        for start in range(0, len(x), batch):
            parts.update(x[start : start + batch])
        for bits in (3, 4, 8):
            assert parts.range(bits) == pytest.approx(whole.range(bits), rel=1e-6)

    def test_peak_memory_is_flat_from_256_to_4096_samples(self, make):
        def peak(samples: int) -> int:
            rng = np.random.default_rng(0)
            tracemalloc.start()
            calibrator = make("v")
            for step in range(samples // 64):
                # Growing values, so that the histograms have to widen again and again.
                calibrator.update(rng.normal(size=(64, 256)).astype(np.float32) * np.float32(1.1**step))
            calibrator.range(8)
            _, highest = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return highest

        peak(64)  # what the first call of a function allocates for good is not the samples'
        assert peak(4096) == pytest.approx(peak(256), rel=0.1)

    @pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
    def test_constant_values(self, make, value):
        calibrator = make("v")
        calibrator.update(np.full((4, 5), value, np.float32))
        low, high = calibrator.range(8)
        assert low == pytest.approx(min(value, 0.0), rel=0.01)
        assert high == pytest.approx(max(value, 0.0), rel=0.01)
        quantization = ActivationQuantization.from_range(low, high)
        assert fake_quantized(np.float32(value), quantization) == pytest.approx(value, rel=0.01)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite_are_refused_by_name(self, make, bad):
        with pytest.raises(DataError, match="'conv3'"):
            make("conv3").update(np.array([1.0, bad, 2.0], np.float32))

    def test_zeros_and_one_value(self, make):
        calibrator = make("v")
        x = np.zeros((8, 100), np.float32)
        x[3, 7] = 2.0
        calibrator.update(x)
        low, high = calibrator.range(8)
        assert low == 0.0
        assert 0.0 < high <= 2.0

    def test_only_negative_values(self, make):
        calibrator = make("v")
        x = -np.abs(np.random.default_rng(0).normal(2, 0.3, size=(64, 200))).astype(np.float32)
        calibrator.update(x)
        for bits in (4, 8):
            low, high = calibrator.range(bits)
            assert x.min() <= low < np.median(x)
            assert high == 0.0

    def test_channels_that_are_constant_beside_others_that_are_not(self, make):
        calibrator = make("v")
        x = np.random.default_rng(0).normal(size=(64, 4, 50)).astype(np.float32)
        x[:, 0], x[:, 1] = 0.0, 1.5
        calibrator.update(x)
        low, high = calibrator.range(8)
        assert x.min() <= low < -1.0
        assert 1.4 < high <= x.max()

    def test_scalars_are_one_sample(self, make):
        calibrator = make("v")
        calibrator.update(np.array(0.5, np.float32))
        assert calibrator.range(8) == pytest.approx((0.0, 0.5), rel=0.01)

    def test_an_error_leaves_what_was_seen(self, make):
        calibrator = make("v")
        x = np.random.default_rng(0).normal(size=(32, 10)).astype(np.float32)
        calibrator.update(x)
        before = calibrator.range(8)
        with pytest.raises(DataError):
            calibrator.update(np.full((2, 10), np.nan, np.float32))
        assert calibrator.range(8) == before

    def test_nothing_seen(self, make):
        calibrator = make("v")
        calibrator.update(np.empty((0, 3), np.float32))
        assert calibrator.range(8) == (0.0, 0.0)

    def test_a_huge_outlier_still_gives_a_range(self, make):
        calibrator = make("v")
        calibrator.update(np.array([1e-3, 1.0, 1e30], np.float32))
        low, high = calibrator.range(8)
        assert low == 0.0
        assert 0.0 < high <= np.float32(1e30)


# An average that fades depends on the order by its nature.
@pytest.mark.parametrize("make", [make for make in CALIBRATORS.values() if make is not MovingAverage])
def test_the_order_of_samples_does_not_matter(make):
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 1, size=(96, 50)).astype(np.float32)
    first, second = make("v"), make("v")
    for order, calibrator in ((np.arange(96), first), (rng.permutation(96), second)):
        for part in np.split(x[order], 6):
            calibrator.update(part)
    for bits in (3, 4, 8):
        assert first.range(bits) == pytest.approx(second.range(bits), rel=1e-6)


def test_minmax_is_the_observed_range():
    calibrator = CALIBRATORS["minmax"]("v")
    calibrator.update(np.array([-1.5, 4.0]))
    calibrator.update(np.array([0.0, 2.0]))
    assert calibrator.range(4) == (-1.5, 4.0)


def test_percentile_leaves_outliers_outside():
    x = np.concatenate([np.random.default_rng(0).uniform(0, 1, 100_000), [100.0]])
    calibrator = Percentile("v", 99.9)
    calibrator.update(x)
    assert 0.95 < calibrator.range(8)[1] < 1.1
    with pytest.raises(ValueError, match="percentile is 40"):
        Percentile("v", 40)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
@pytest.mark.parametrize("kind", ["normal", "laplace", "rectified"])
def test_mse_beats_minmax_and_is_close_to_the_best_there_is(bits, kind):
    rng = np.random.default_rng(0)
    x = rng.laplace(size=40_000) if kind == "laplace" else rng.normal(size=40_000)
    x = np.maximum(x, 0) if kind == "rectified" else x
    calibrator = CALIBRATORS["mse"]("v")
    calibrator.update(x.astype(np.float32))
    found = squared_error(x, calibrator.range(bits), bits)
    low, high = min(x.min(), 0.0), x.max()
    best = min(
        squared_error(x, (low * a, high * b), bits) for a in np.linspace(0.1, 1, 20) for b in np.linspace(0.1, 1, 20)
    )
    assert found <= 1.05 * best
    assert found < squared_error(x, (low, high), bits)


def test_auto_clips_at_8_bits_only_where_it_gains_a_bit():
    rng = np.random.default_rng(0)
    plain, spoiled = CALIBRATORS["auto"]("v"), CALIBRATORS["auto"]("v")
    x = rng.normal(size=50_000).astype(np.float32)
    plain.update(x)
    for _ in range(100):
        spoiled.update(x)
    spoiled.update(np.array([300], np.float32))
    assert plain.range(8) == (float(x.min()), float(x.max()))
    assert plain.range(4)[1] < float(x.max())
    assert spoiled.range(8)[1] < 100


def test_moving_average_lies_between_and_favours_what_came_last():
    calm, wild = np.full((320, 4), 1.0, np.float32), np.full((320, 4), 9.0, np.float32)
    calibrator = MovingAverage("v")
    calibrator.update(calm)
    assert calibrator.range(8)[1] == pytest.approx(1.0)
    calibrator.update(wild)
    after_wild = calibrator.range(8)[1]
    assert 5.0 < after_wild < 9.0
    calibrator.update(calm)
    assert 1.0 < calibrator.range(8)[1] < after_wild


def test_moving_average_is_the_weighted_mean_of_stretches():
    x = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    calibrator = MovingAverage("v", momentum=0.5)
    calibrator.update(x)
    stretches = [x[:32], x[32:64], x[64:]]
    kept = 0.5**0.5
    weights = [0.5 * 0.5 * kept, 0.5 * kept, 1 - kept]
    high = sum(w * part.max() for w, part in zip(weights, stretches, strict=True)) / sum(weights)
    low = sum(w * part.min() for w, part in zip(weights, stretches, strict=True)) / sum(weights)
    assert calibrator.range(8) == pytest.approx((low, high))
    with pytest.raises(ValueError, match="momentum is 1"):
        MovingAverage("v", momentum=1.0)


def test_entropy_clips_a_long_tail_and_keeps_an_even_spread():
    rng = np.random.default_rng(0)
    tail, even = Entropy("v"), Entropy("v")
    x = np.abs(rng.standard_t(3, size=200_000)).astype(np.float32)
    tail.update(x)
    even.update(rng.uniform(0, 1, size=200_000).astype(np.float32))
    assert np.quantile(x, 0.99) < tail.range(8)[1] < 0.8 * x.max()
    assert tail.range(4)[1] < tail.range(8)[1]
    assert even.range(8)[1] > 0.95


def test_entropy_is_not_moved_by_the_zeros_of_a_rectifier():
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=50_000)).astype(np.float32)
    dense, sparse = Entropy("v"), Entropy("v")
    dense.update(x)
    sparse.update(np.concatenate([x, np.zeros(400_000, np.float32)]))
    assert sparse.range(8)[1] == pytest.approx(dense.range(8)[1], rel=0.05)


def test_histogram_counts_everything_once():
    histogram = StreamingHistogram()
    rng = np.random.default_rng(0)
    total = 0
    for step in range(12):
        x = (rng.normal(size=1000 + step) * 3.0**step).astype(np.float32)
        histogram.add(x, float(np.abs(x).max()))
        total += x.size
    assert histogram.counts.sum() == total
    assert histogram.limit > np.abs(x).max()
