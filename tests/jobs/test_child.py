"""A worker process gives way to the window."""

from __future__ import annotations

import sys

import psutil
import pytest

from workbench.jobs.child import Child


@pytest.mark.skipif(sys.platform == "win32", reason="priorities have names there")
def test_a_worker_has_less_priority_than_who_started_it() -> None:
    child = Child([sys.executable, "-c", "input()"], lambda line: None)
    try:
        assert psutil.Process(child.pid).nice() > psutil.Process().nice()
    finally:
        child.close(5.0)
        child.release()
