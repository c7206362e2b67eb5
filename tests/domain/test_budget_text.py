"""Budgets as people say them become the numbers that a study holds, and what is none says what would be one."""

from __future__ import annotations

import pytest

from workbench.domain.budget_text import budget_words, budgets_from, parse_budget


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("≤ 1 % drop", "metric_drop", 0.01),
        ("at most 2 points drop", "metric_drop", 0.02),
        ("drop <= 0.005", "metric_drop", 0.005),
        ("<= 5 ms", "latency_ms", 5.0),
        ("latency <= 250 us", "latency_ms", 0.25),
        ("≤ 300 KB", "size_bytes", 300_000.0),
        ("300KiB", "size_bytes", 307_200.0),
        ("<= 1,500 kB", "size_bytes", 1_500_000.0),
        ("memory <= 20 MB", "memory_bytes", 20e6),
        ("<= 50 % of the original's latency", "latency_ratio", 0.5),
        ("size <= 0.25x", "size_ratio", 0.25),
        ("<= 5 M MACs", "macs", 5e6),
        ("<= 80 k parameters", "params", 80e3),
        ("<= 2 G BitOps", "bitops", 2e9),
    ],
)
def test_it_means_what_is_said(text: str, key: str, value: float) -> None:
    assert parse_budget(text, "top1") == (key, pytest.approx(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "<= 1 %",
        ">= 5 ms",
        "<= 5 apples",
        "<= 1,5 ms",
        "<= -1 ms",
        "<= 0 ms",
        "<= 1 % drop, <= 5 ms",
        "5 GHz",
    ],
)
def test_what_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as '≤ 1 % drop'"):
        parse_budget(text, "top1")


def test_only_of_shares_can_a_drop_be_said_in_per_cent() -> None:
    assert parse_budget("<= 0.2 drop", "perplexity") == ("metric_drop", 0.2)
    with pytest.raises(ValueError, match="drop of perplexity in the metric's own unit"):
        parse_budget("<= 1 % drop", "perplexity")


def test_texts_stand_alone_in_lists_or_by_key() -> None:
    wanted = {"metric_drop": 0.01, "latency_ms": 5.0}
    assert budgets_from("≤ 1 % drop; ≤ 5 ms") == pytest.approx(wanted)
    assert budgets_from(["≤ 1 % drop", "≤ 5 ms"]) == pytest.approx(wanted)
    assert budgets_from({"metric_drop": "1 %", "latency_ms": "≤ 5 ms"}) == pytest.approx(wanted)
    assert budgets_from({"size_ratio": "30 %", "macs": "5 M"}) == pytest.approx({"size_ratio": 0.3, "macs": 5e6})
    assert budgets_from({"latency_ms": 5, "nonsense": 1}) == {"latency_ms": 5, "nonsense": 1}
    with pytest.raises(ValueError, match="latency_ms once"):
        budgets_from(["<= 5 ms", "latency <= 4 ms"])
    with pytest.raises(ValueError, match="another unit than that of latency_ratio"):
        budgets_from({"latency_ms": "50 %"})


def test_numbers_are_said_with_their_unit() -> None:
    said = [budget_words("latency_ms", 5), budget_words("size_bytes", 3e5), budget_words("macs", 9.3e6)]
    assert said == ["5 ms", "300 kB", "9.3 M"]
    assert budget_words("size_ratio", 0.25) == "0.25 of the original's"
    assert budget_words("metric_drop", 0.01) == "0.01"
