"""The compliance suite that every calibrator passes, then what each one promises by itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.errors import DataError
from workbench.engines.inference_ort.calibration import CALIBRATORS, Percentile
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

    def test_memory_is_bounded(self, make):
        calibrator = make("v")

        def size() -> int:
            parts = vars(getattr(calibrator, "_histogram", calibrator)).values()
            return sum(part.nbytes if isinstance(part, np.ndarray) else sys.getsizeof(part) for part in parts)

        rng = np.random.default_rng(0)
        calibrator.update(rng.normal(size=10_000))
        before = size()
        for step in range(20):
            calibrator.update(rng.normal(size=10_000) * 2.0**step)
        assert size() == before

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
