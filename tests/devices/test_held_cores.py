"""Measurements stay on the cores that are least busy, their threads with them, and let go of them afterwards."""

from __future__ import annotations

import os
import threading

import pytest

from workbench.devices.held_cores import held_cores, least_busy, work_of_cores

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system holds no threads on cores"),
]


def test_threads_that_start_meanwhile_stay_on_the_same_cores() -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("there is one core only")
    seen: list[set[int]] = []
    with held_cores(1) as cores:
        thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
        assert os.sched_getaffinity(0) == set(cores)
    assert len(cores) == 1
    assert seen == [set(cores)]
    assert os.sched_getaffinity(0) == allowed


def test_it_lets_go_where_a_measurement_fails() -> None:
    allowed = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError, match="no such model"), held_cores(1):
        raise RuntimeError("no such model")
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize("threads", [0, 1000])
def test_as_many_threads_as_cores_or_more_are_held_nowhere(threads: int) -> None:
    allowed = os.sched_getaffinity(0)
    with held_cores(threads) as cores:
        assert set(cores) == allowed
        assert os.sched_getaffinity(0) == allowed


def test_the_cores_that_others_use_least_are_taken() -> None:
    before = "cpu  30 0 0 90 0\ncpu0 10 0 0 50 5 0 0 0 3 0\ncpu1 20 0 0 40 0 0 0 0 0 0\ncpu2 5 1 1 1 1 1 1 1\nintr 7"
    after = "cpu  30 0 0 90 0\ncpu0 10 2 0 90 9 0 0 0 9 0\ncpu1 50 0 0 41 0 0 0 0 0 0\ncpu2 5 1 1 9 9 1 2 1\nintr 9"
    first, second = work_of_cores(before), work_of_cores(after)
    used = {core: second[core] - first[core] for core in first}
    assert used == {0: 2.0, 1: 30.0, 2: 1.0}
    assert least_busy([0, 1, 2], 2, used) == (0, 2)
    assert least_busy([0, 1], 1, used) == (0,)
    assert least_busy([0, 1, 2], 1, {}) == (2,)
