"""Budgets as people say them ("≤ 1 % drop", "≤ 5 ms"), so that a study, an option and a field read alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from workbench.domain.measurements import is_share

EXAMPLES: Final = "such as '≤ 1 % drop', '≤ 5 ms', '≤ 300 KB', '≤ 50 % of the latency', '≤ 5 M MACs'"

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_AT_MOST = re.compile(r"<=|≤|<|\bat most\b|\bno more than\b|\bmax(?:imum)?\b")
_SMALL_WORDS = frozenset({"of", "the", "original", "original's", "originals", "in", "a", "an"})
_ABOUT: Final = {
    "metric_drop": ("drop", "loss", "metric", "accuracy"),
    "latency": ("latency", "time"),
    "size": ("size", "file"),
    "memory": ("memory", "ram", "peak"),
    "macs": ("mac", "macs", "multiplications"),
    "params": ("param", "params", "parameters", "weights"),
    "bitops": ("bitop", "bitops", "bops"),
}
_MEANS: Final = {word: about for about, words in _ABOUT.items() for word in words}
_MILLISECONDS: Final = {"s": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3}
_BYTES: Final = {
    "b": 1.0, "byte": 1.0, "bytes": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9,
    "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
}  # fmt: skip
_COUNTS: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_RATIOS: Final = {"%": 0.01, "x": 1.0, "×": 1.0}
_POINTS: Final = frozenset({"%", "point", "points", "pt", "pts"})
_COUNTED: Final = ("macs", "params", "bitops")
_KEYS: Final = {"latency": "latency_ms", "size": "size_bytes", "memory": "memory_bytes"}


def parse_budget(text: str, metric: str | None = None, *, about: str = "") -> tuple[str, float]:
    """Return a budget's key and value as `Budgets` has them.

    A percentage of the metric is points of it; KB are 1,000 bytes, KiB 1,024; bytes without a word are the file's.

    Args:
        text: Such as "<= 5 ms".
        metric: Its name, where it is known: only of shares can a drop be said in per cent.
        about: What the budget is of, where the text need not say so, as a key of `Budgets`.

    Raises:
        ValueError: says what was expected.
    """
    lowered = _AT_MOST.sub(" ", _THOUSANDS.sub("", text.casefold()))
    numbers = _NUMBER.findall(lowered)
    value = float(numbers[0]) if len(numbers) == 1 else math.nan
    if not math.isfinite(value) or value < 0 or ">" in lowered or "≥" in lowered:
        raise ValueError(f"one upper bound, {EXAMPLES}")
    words = [word for word in re.findall(r"[a-zµμ']+|[%×]", _NUMBER.sub(" ", lowered)) if word not in _SMALL_WORDS]
    named = {_MEANS[word] for word in words if word in _MEANS}
    units = [word for word in words if word not in _MEANS]
    if about and not named:
        named = {about if about == "metric_drop" else re.sub(r"_(ms|bytes|ratio)$", "", about)}
    if len(named) > 1 or len(units) > 1:
        raise ValueError(f"one bound of one thing, {EXAMPLES}")
    key, factor = _meant(next(iter(named), ""), units[0] if units else "", metric)
    if value == 0 and key != "metric_drop":
        raise ValueError(f"more than nothing, {EXAMPLES}")
    return key, value * factor


def budgets_from(content: Any, metric: str | None = None) -> Any:
    """Return what a study says of budgets with texts turned into numbers; what is none is left to validation.

    Args:
        content: A text, a list of texts, or numbers and texts by key.
        metric: Its name, where it is known.

    Raises:
        ValueError: a text that is none, says another thing than its key, or a bound that stands twice.
    """
    if isinstance(content, str):
        content = [part for part in re.split(r"[;\n]", content) if part.strip()]
    if isinstance(content, (list, tuple)) and all(isinstance(entry, str) for entry in content):
        found: dict[str, float] = {}
        for text in content:
            key, value = parse_budget(text, metric)
            if key in found:
                raise ValueError(f"{key} once, not twice")
            found[key] = value
        return found
    if not isinstance(content, Mapping):
        return content
    return {key: _of_key(key, value, metric) for key, value in content.items()}


def budget_words(key: str, value: float) -> str:
    """Return a value of a budget with its unit: "5 ms", "300 kB", "0.5 of the original's"."""
    if key == "metric_drop":
        return f"{value:.4g}"
    if key.endswith("_ratio"):
        return f"{value:.3g} of the original's"
    if key == "latency_ms":
        return f"{value:.3g} ms"
    steps = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
    factor, prefix = next((step for step in steps if value >= step[0]), steps[-1])
    return f"{value / factor:.3g} {prefix}{'B' if key.endswith('_bytes') else ''}".rstrip()


def _meant(about: str, unit: str, metric: str | None) -> tuple[str, float]:
    if about == "metric_drop":
        if unit in _POINTS and (metric is None or is_share(metric)):
            return about, 0.01
        if not unit:
            return about, 1.0
        of = "" if metric is None else f" of {metric}"
        raise ValueError(f"a drop{of} in the metric's own unit, such as '≤ 0.2 drop'")
    if unit in _RATIOS and about:
        return f"{about}_ratio", _RATIOS[unit]
    if unit in _MILLISECONDS and about in ("", "latency"):
        return "latency_ms", _MILLISECONDS[unit]
    if unit in _BYTES and about in ("", "size", "memory"):
        return _KEYS[about or "size"], _BYTES[unit]
    if unit in _COUNTS and about in _COUNTED:
        return about, _COUNTS[unit]
    if unit in _POINTS:
        raise ValueError(f"what the share is of, {EXAMPLES}")
    raise ValueError(f"a unit that fits, {EXAMPLES}")


def _of_key(key: Any, value: Any, metric: str | None) -> Any:
    if not isinstance(value, str) or not isinstance(key, str):
        return value
    said, number = parse_budget(value, metric, about=key)
    if said != key:
        raise ValueError(f"for {key} another unit than that of {said}")
    return number
