"""Clocks that change during a measurement are seen and said; systems that tell no clocks are no trouble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.devices import core_clocks
from workbench.devices.core_clocks import CoreClocks
from workbench.devices.load import Load
from workbench.devices.statistics import judge


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(core_clocks, "_EVERY_S", 0.0)
    for core in (0, 3):
        (tmp_path / f"cpu{core}" / "cpufreq").mkdir(parents=True)
    return tmp_path


def run_at(system: Path, megahertz: int) -> None:
    for core in (0, 3):
        (system / f"cpu{core}" / "cpufreq" / "scaling_cur_freq").write_text(f"{1000 * megahertz}\n")


def test_a_clock_that_slows_down_is_seen_and_said(system: Path) -> None:
    run_at(system, 3000)
    clocks = CoreClocks((0, 3, 7), system)
    assert clocks.range_mhz() is None
    for megahertz in (3000, 2990, 2400, 2410, 2000, 2010):
        run_at(system, megahertz)
        clocks.note()
    assert clocks.range_mhz() == pytest.approx((2010, 3000))
    times = 1.0 + 0.01 * np.random.default_rng(0).random(90)
    noise = judge(times, Load(4, 0.1, 0.0), 1, clocks.range_mhz())
    assert not noise.quiet
    assert noise.reason == "the processor's clock ran at 2010 to 3000 MHz"
    assert noise.clock_mhz == pytest.approx((2010, 3000))
    assert judge(times, Load(4, 0.1, 0.0), 1, (2990.0, 3000.0)).quiet


def test_a_system_that_tells_no_clock_is_no_trouble(system: Path) -> None:
    clocks = CoreClocks((0, 3), system)
    clocks.note()
    assert clocks.range_mhz() is None
    run_at(system, 3000)
    (system / "cpu3" / "cpufreq" / "scaling_cur_freq").write_text("<unknown>\n")
    clocks = CoreClocks((0, 3), system)
    clocks.note()
    assert clocks.range_mhz() is None
