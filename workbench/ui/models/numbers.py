"""Writes numbers the way the whole window does: unit and interval, never more digits than the interval supports.

An interval's half width decides: it is shown with two significant digits, and the value to the same place
(the habit of the Guide to the Expression of Uncertainty in Measurement, JCGM 100:2008, 7.2.6).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from workbench.domain.measurements import (
    Interval,
    Latency,
    MetricMeasurement,
    PairedDifference,
    Ratio,
    is_share,
)

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"
_GROUP = "\N{THIN SPACE}"
_GAP = "\N{NO-BREAK SPACE}"

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_METRIC_TITLES = {
    "top1": "Top-1 accuracy",
    "top5": "Top-5 accuracy",
    "miou": "Mean IoU",
    "mse": "Mean squared error",
    "psnr": "PSNR",
    "perplexity": "Perplexity",
    "sqnr": "SQNR",
    "cosine": "Cosine similarity",
}
_METRIC_UNITS = {"psnr": "dB", "sqnr": "dB"}


def metric_title(metric: str) -> str:
    """Return a metric's name as headings and axes write it."""
    return _METRIC_TITLES.get(metric, metric)


def metric_unit(metric: str) -> str:
    """Return the unit a metric is shown in; "" for none."""
    return "%" if is_share(metric) else _METRIC_UNITS.get(metric, "")


def metric_factor(metric: str) -> float:
    """Return what a stored metric is multiplied with to be shown in `metric_unit`."""
    return 100.0 if is_share(metric) else 1.0


def drop_unit(metric: str) -> str:
    """Return the unit of a difference of two values of the metric: percentage points for shares."""
    return "pt" if is_share(metric) else metric_unit(metric)


def half_width(interval: Interval | None) -> float | None:
    """Return half of an interval's length; None for none, or for one that is not finite."""
    if interval is None:
        return None
    width = (interval[1] - interval[0]) / 2
    return width if math.isfinite(width) else None


def decimals_for(width: float | None, *, default: int = 2, most: int = 6) -> int:
    """Return how many decimals an interval of this half width supports.

    Args:
        width: Half width in the unit shown; None or 0 where there is no interval.
        default: Decimals without an interval.
        most: Never more than these.
    """
    if width is None or width <= 0:
        return default
    # Rounding comes first: 0.0996 is written 0.10, which has one decimal less than its exponent says.
    exponent = math.floor(math.log10(float(f"{width:.1e}")))
    return min(max(1 - exponent, 0), most)


def fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    """Return a number with a true minus sign and thin spaces between groups of three digits."""
    if not math.isfinite(value):
        return "not finite" if math.isnan(value) else (MINUS if value < 0 else "") + "\N{INFINITY}"
    text = f"{abs(value):,.{decimals}f}".replace(",", _GROUP)
    if not any(char in "123456789" for char in text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def with_interval(value: float, interval: Interval | None, unit: str = "", *, signed: bool = False) -> str:
    """Return "91.73 ±0.54 %"; without an interval just the value."""
    width = half_width(interval)
    decimals = decimals_for(width)
    text = fixed(value, decimals, signed=signed)
    if width:
        text += f"{_GAP}{PLUS_MINUS}{fixed(width, decimals)}"
    return f"{text}{_GAP}{unit}" if unit else text


def metric_text(measurement: MetricMeasurement, *, interval: bool = True) -> str:
    """Return a metric with its unit and interval, e.g. "91.73 ±0.54 %"."""
    factor = metric_factor(measurement.metric)
    scaled = _scaled(measurement.ci95, factor)
    if interval:
        return with_interval(measurement.value * factor, scaled, metric_unit(measurement.metric))
    text = fixed(measurement.value * factor, decimals_for(half_width(scaled)))
    unit = metric_unit(measurement.metric)
    return f"{text}{_GAP}{unit}" if unit else text


def drop_text(drop: float, interval: Interval | None, metric: str) -> str:
    """Return a loss of the metric (positive is worse) as the change the user sees: a drop of 0.002 is "−0.20 pt"."""
    factor = metric_factor(metric)
    flipped = None if interval is None else (-interval[1] * factor, -interval[0] * factor)
    return with_interval(-drop * factor, flipped, drop_unit(metric), signed=True)


def difference_text(difference: PairedDifference, metric: str) -> str:
    """Return candidate minus original with its paired interval, e.g. "−0.21 ±0.08 pt"."""
    factor = metric_factor(metric)
    return with_interval(difference.value * factor, _scaled(difference.ci95, factor), drop_unit(metric), signed=True)


def latency_text(latency: Latency) -> str:
    """Return a median with its interval, e.g. "1.020 ±0.012 ms"."""
    return with_interval(latency.median, latency.ci95, "ms")


def ratio_text(ratio: Ratio) -> str:
    """Return a ratio to the original with its interval, e.g. "0.446 ±0.003"."""
    return with_interval(ratio.median, ratio.ci95)


def speedup_text(ratio: Ratio) -> str:
    """Return how many times as fast that is: a ratio of 0.446 ±0.003 is "2.24× as fast"."""
    if ratio.median <= 0:
        return NOTHING
    low, high = ratio.ci95
    width = (1 / low - 1 / high) / 2 if low > 0 and high > 0 else None
    return f"{fixed(1 / ratio.median, min(decimals_for(width), 2))}{TIMES} as fast"


def size_text(size_bytes: float) -> str:
    """Return a file size in decimal units with three significant digits, e.g. "1.15 MB"."""
    return _prefixed(size_bytes, "B") if size_bytes >= 1000 else f"{size_bytes:.0f}{_GAP}B"


def count_text(count: float, unit: str = "") -> str:
    """Return a count with three significant digits, e.g. "4.61 k", "40.6 M MACs"."""
    text = _prefixed(count, "") if count >= 1000 else f"{count:.0f}"
    return f"{text}{_GAP}{unit}" if unit else text


def exact_text(count: int) -> str:
    """Return every digit of a whole number, grouped."""
    return fixed(count, 0)


def duration_text(seconds: float) -> str:
    """Return a duration that is read at a glance: "0.4 s", "12 s", "2 min 10 s", "1 h 05 min"."""
    if not math.isfinite(seconds) or seconds < 0:
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f}{_GAP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_GAP}s"
    if whole < 3600:
        return f"{whole // 60}{_GAP}min{_GAP}{whole % 60:02d}{_GAP}s"
    return f"{whole // 3600}{_GAP}h{_GAP}{whole % 3600 // 60:02d}{_GAP}min"


def shape_text(shape: Sequence[int | str] | None) -> str:
    """Return a shape as "16×3×3×3"; an en dash where it is unknown."""
    if shape is None:
        return NOTHING
    return TIMES.join(str(size) for size in shape) if shape else "scalar"


def setting_text(value: object, unit: str = "") -> str:
    """Return a knob's setting: shares in per cent, whole numbers plain."""
    if isinstance(value, float):
        if unit.startswith("share"):
            return f"{fixed(value * 100, 0 if abs(value * 100 - round(value * 100)) < 0.05 else 1)}{_GAP}%"
        return f"{value:g}"
    return str(value)


def common_prefix(values: Iterable[float]) -> tuple[float, str]:
    """Return factor and SI prefix that a whole column shares, so that its decimal points line up."""
    top = max((abs(value) for value in values), default=0.0)
    return next(((factor, prefix) for factor, prefix in _PREFIXES if top >= factor), (1.0, ""))


def ranges_text(values: Sequence[int]) -> str:
    """Return ascending whole numbers with runs drawn together, e.g. "0, 3, 7–9"."""
    runs: list[list[int]] = []
    for number in values:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}\N{EN DASH}{last}" for first, last in runs)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return "1 layer", "21 layers"."""
    return f"{exact_text(count)} {one if count == 1 else many or one + 's'}"


def _prefixed(value: float, unit: str) -> str:
    factor, prefix = next((pair for pair in _PREFIXES if value >= pair[0]), (1.0, ""))
    scaled = value / factor
    # 999.96 would round up to a fourth digit.
    decimals = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{scaled:.{decimals}f}{_GAP}{prefix}{unit}"


def _scaled(interval: Interval, factor: float) -> Interval:
    return (interval[0] * factor, interval[1] * factor)
