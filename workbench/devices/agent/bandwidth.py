"""Measures the device's memory with the very loop that measures that of the user's computer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workbench.devices.agent.description import describe, needed_modules


def measure_bandwidth(job: Mapping[str, Any], report: Callable[[float, str], object]) -> dict[str, object]:
    """Return the microseconds of every run of each kernel, the size of its arrays and that of the cache.

    Args:
        job: {"threads", "seconds"}.
        report: Is told how much is done (0-1), and in words.

    Raises:
        AgentError: a module is missing.
    """
    needed_modules()
    from workbench.devices.bandwidth import cache_bytes, stream_times

    report(0.0, "measuring the bandwidth of memory")
    size, times = stream_times(threads=job["threads"] or _cores(), seconds=job["seconds"])
    return {
        "device": describe(),
        "models": [],
        "array_bytes": size,
        "cache_bytes": cache_bytes(),
        "runs_us": times,
    }


def _cores() -> int:
    from workbench.engines.inference_ort.options import available_cores

    return available_cores()
