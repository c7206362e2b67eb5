"""Runs a profiled session often enough, and reads the time of every operator from what the runtime wrote.

A device gets this very file: it needs nothing but Python 3.9.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

_FEWEST_RUNS = 10
_MOST_RUNS = 200


def repeat(run: Callable[[], object], seconds: float, check: Callable[[], object] | None = None) -> None:
    """Run 10 to 200 times, for about `seconds`; `check` is called before each run and may raise."""
    began = time.perf_counter()
    runs = 0
    while runs < _FEWEST_RUNS or (runs < _MOST_RUNS and time.perf_counter() - began < seconds):
        if check is not None:
            check()
        run()
        runs += 1


def operator_medians(events: Iterable[Mapping[str, object]]) -> dict[tuple[str, str], float]:
    """Return the median milliseconds of each (operator name, type) in order of first execution.

    Args:
        events: What the runtime wrote, parsed.
    """
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        arguments = event.get("args")
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and isinstance(arguments, dict) and name.endswith("_kernel_time"):
            times[name.removesuffix("_kernel_time"), str(arguments["op_name"])].append(float(str(event["dur"])) / 1000)
    return {key: statistics.median(values) for key, values in times.items()}
