"""Numbers carry unit and interval, and no more digits than the interval supports."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.domain.measurements import Latency, MetricMeasurement, PairedDifference, Ratio
from workbench.ui.models import numbers


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u2009", ",").replace("\u2212", "-")


def top1(value: float, low: float, high: float) -> MetricMeasurement:
    return MetricMeasurement(metric="top1", value=value, samples=10_000, ci95=(low, high))


def test_a_share_is_shown_in_per_cent_with_its_interval():
    assert plain(numbers.metric_text(top1(0.9173, 0.9119, 0.9227))) == "91.73 ±0.54 %"
    assert plain(numbers.metric_text(top1(0.9173, 0.9119, 0.9227), interval=False)) == "91.73 %"


def test_a_wide_interval_takes_digits_away():
    assert plain(numbers.metric_text(top1(0.9173, 0.88, 0.95))) == "91.7 ±3.5 %"
    assert plain(numbers.metric_text(top1(0.5173, 0.3, 0.7))) == "52 ±20 %"


def test_other_metrics_keep_their_unit():
    psnr = MetricMeasurement(metric="psnr", value=31.456, samples=100, ci95=(31.3, 31.6))
    assert plain(numbers.metric_text(psnr)) == "31.46 ±0.15 dB"
    assert numbers.drop_unit("psnr") == "dB"


def test_a_drop_is_shown_as_a_change():
    assert plain(numbers.drop_text(0.0021, (0.0013, 0.0029), "top1")) == "-0.210 ±0.080 pt"
    assert plain(numbers.drop_text(-0.01, (-0.03, 0.01), "top1")) == "+1.0 ±2.0 pt"


def test_differences_latency_and_ratio():
    difference = PairedDifference(value=-0.0021, ci95=(-0.0039, -0.0003))
    assert plain(numbers.difference_text(difference, "top1")) == "-0.21 ±0.18 pt"
    assert plain(numbers.latency_text(Latency(median=1.0204, p90=1.1, ci95=(1.008, 1.032)))) == "1.020 ±0.012 ms"
    ratio = Ratio(median=0.4463, ci95=(0.4433, 0.4493))
    assert plain(numbers.ratio_text(ratio)) == "0.4463 ±0.0030"
    assert plain(numbers.speedup_text(ratio)) == "2.24× as fast"


@pytest.mark.parametrize(
    ("width", "decimals"), [(0.54, 2), (0.0996, 2), (0.0994, 3), (12.0, 0), (350.0, 0), (1e-9, 6), (None, 2), (0.0, 2)]
)
def test_decimals_follow_the_half_width(width: float | None, decimals: int):
    assert numbers.decimals_for(width) == decimals


@given(st.floats(1e-5, 1e5), st.floats(-1e6, 1e6))
def test_rounding_never_moves_a_value_by_more_than_a_tenth_of_its_half_width(width: float, value: float):
    decimals = numbers.decimals_for(width)
    shown = float(plain(numbers.fixed(value, decimals)).replace(",", ""))
    assert abs(shown - value) <= max(0.051 * width, 0.5)


def test_sizes_counts_and_durations():
    assert plain(numbers.size_text(1_153_715)) == "1.15 MB"
    assert plain(numbers.size_text(999)) == "999 B"
    assert plain(numbers.size_text(99_960)) == "100 kB"
    assert plain(numbers.count_text(4608)) == "4.61 k"
    assert plain(numbers.count_text(40_551_424, "MACs")) == "40.6 M MACs"
    assert plain(numbers.exact_text(1_234_567)) == "1,234,567"
    assert [plain(numbers.duration_text(s)) for s in (0.44, 12.4, 130, 3900)] == [
        "0.4 s",
        "12 s",
        "2 min 10 s",
        "1 h 05 min",
    ]
    assert numbers.duration_text(math.nan) == numbers.NOTHING


def test_shapes_settings_and_words():
    assert numbers.shape_text((16, 3, 3, 3)) == "16×3×3×3"
    assert numbers.shape_text(None) == numbers.NOTHING
    assert plain(numbers.setting_text(0.375, "share of output channels")) == "37.5 %"
    assert plain(numbers.setting_text(0.5, "share of output channels")) == "50 %"
    assert numbers.setting_text(8, "bits") == "8"
    assert numbers.plural(1, "layer") == "1 layer"
    assert numbers.plural(21, "layer") == "21 layers"


def test_not_finite_values_say_so():
    assert numbers.fixed(math.nan, 2) == "not finite"
    assert plain(numbers.fixed(-math.inf, 2)) == "-∞"
    assert numbers.fixed(-0.001, 2) == "0.00"


def test_a_column_shares_one_prefix():
    assert numbers.common_prefix([432, 2_359_296]) == (1e6, "M")
    assert numbers.common_prefix([]) == (1.0, "")
