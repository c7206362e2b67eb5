"""Trials of latency: nothing is timed twice, what was timed survives a crash, and without a device it is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.domain.errors import JobError
from workbench.methods.latency_trials import LatencyTrials
from workbench.methods.method import Tools


@pytest.fixture
def tools(small_cnn) -> Tools:
    return Tools(small_cnn, None, None, None, np.random.default_rng(0), 0)  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, graph) -> float:
        self.asked += 1
        return 0.5 + 0.1 * self.asked


def trials(tools: Tools) -> LatencyTrials:
    return LatencyTrials(tools, "some.method", "target", "Take another target.")


def test_nothing_is_timed_twice(tools, small_cnn):
    clock, said = Clock(), []
    found = trials(replace(tools, latency_ratio=clock, log=said.append))
    ratios = [found.ratio(key, lambda: small_cnn, "as it is") for key in ("a", ["b", 1], "a", ["b", 1])]
    assert ratios == pytest.approx([0.6, 0.7, 0.6, 0.7])
    assert clock.asked == len(found) == len(said) == 2
    assert found.knows("a")
    assert not found.knows("c")


def test_what_was_timed_survives_a_crash_and_damage(tools, small_cnn, tmp_path):
    timed = replace(tools, latency_ratio=(clock := Clock()), checkpoint=tmp_path / "step")
    first = trials(timed).ratio("a", lambda: small_cnn, "")
    again = trials(timed)
    assert not again.knows("a")
    assert again.ratio("a", lambda: pytest.fail("built again"), "") == first
    assert clock.asked == 1
    (tmp_path / "step.timed").write_text("{", encoding="utf-8")
    trials(timed).ratio("a", lambda: small_cnn, "")
    assert clock.asked == 2


def test_a_place_that_cannot_be_written_to_is_said_and_nothing_more(tools, small_cnn, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    said: list[str] = []
    timed = replace(tools, latency_ratio=Clock(), checkpoint=tmp_path / "file" / "step", log=said.append)
    assert trials(timed).ratio("a", lambda: small_cnn, "") == pytest.approx(0.6)
    assert any("can't be stored" in line for line in said)


def test_without_a_device_the_method_is_named(tools):
    with pytest.raises(JobError, match=r"some\.method aims at a latency"):
        trials(tools)
