"""Limits, and what they are called, follow from budgets in any unit; references leave room for what padding adds."""

from __future__ import annotations

import pytest

from workbench.domain.errors import JobError
from workbench.domain.measurements import MetricMeasurement
from workbench.domain.study import Study
from workbench.methods.search.objectives import Original, limit_words, limits_of, reference_of

TOP1 = MetricMeasurement(metric="top1", value=0.9, samples=100, ci95=(0.85, 0.95))
ORIGINAL = Original(TOP1, latency_ms=2.0, size_bytes=1e6, macs=4e6, params=2e5, memory_bytes=None, bitops=4e9)


def study(**content: object) -> Study:
    return Study.model_validate(content)


def test_limits_are_the_narrowest_shares() -> None:
    budgets = study(budgets={"metric_drop": 0.01, "latency_ms": 1.0, "latency_ratio": 0.75, "size_bytes": 3e5}).budgets
    assert limits_of(budgets, ORIGINAL) == pytest.approx({"metric": 0.01, "latency": 0.5, "size": 0.3})
    # Each is said in the unit of the budget that binds.
    assert limit_words("latency", 0.6, budgets, ORIGINAL) == "1.2 ms"
    assert limit_words("size", 0.5, budgets, ORIGINAL) == "500 kB"
    assert limit_words("macs", 0.5, budgets, ORIGINAL) == "0.5 of the original's"
    wide = study(budgets={"latency_ms": 1.8, "latency_ratio": 0.75}).budgets
    assert limit_words("latency", 0.6, wide, ORIGINAL) == "0.6 of the original's"
    with pytest.raises(JobError, match="the original's memory is not known"):
        limits_of(study(budgets={"memory_bytes": 1e6}).budgets, ORIGINAL)


def test_references_leave_room_for_what_padding_adds() -> None:
    wanted = study(objectives=["metric", "latency", "macs", "memory"])
    assert reference_of(wanted, ORIGINAL) == pytest.approx((0.1, 1.0, 1.1, 1.1))
    named = study(objectives=["metric", "macs"], reference={"metric": 0.8, "macs": 0.9})
    assert reference_of(named, ORIGINAL) == pytest.approx((0.1, 0.9))
    bound = study(objectives=["metric", "macs"], budgets={"macs_ratio": 0.5, "metric_drop": 0.02})
    assert reference_of(bound, ORIGINAL) == pytest.approx((0.02, 0.5))
