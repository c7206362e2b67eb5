"""Runs several one-layer models in turn, and reads the time of each one's kernels from what the runtime wrote.

A device gets this very file: it needs nothing but numpy, and Python 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

LAYOUT_CHANGES = frozenset({"ReorderInput", "ReorderOutput", "Transpose"})
_BURST = 4
_FEWEST_ROUNDS, _MOST_ROUNDS = 6, 100


def run_in_rounds(
    models: Sequence[Callable[[], object]],
    *,
    seconds: float,
    seed: int,
    check: Callable[[], object] | None = None,
) -> None:
    """Run all models in rounds of random order for `seconds`, 6 to 100 rounds of 4 runs each.

    Args:
        models: For each model what runs it once.
        seconds: For all of them together.
        seed: Of the order.
        check: Called before each round; whatever it raises ends the rounds.
    """
    rng = np.random.default_rng(seed)
    rounds, began = 0, time.perf_counter()
    while rounds < _FEWEST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() - began < seconds):
        if check is not None:
            check()
        for index in rng.permutation(len(models)):
            for _ in range(_BURST):
                models[index]()
        rounds += 1


def run_microseconds(events: Iterable[Mapping[str, object]]) -> list[float]:
    """Return the time of every run's kernels, changes of layout left out; the first burst only warms up.

    Args:
        events: What the runtime wrote, parsed.
    """
    totals: list[float] = []
    ended = 0
    for event in events:
        arguments = event.get("args")
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            totals.append(0.0)
            ended += 1
        elif event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time"):
            assert isinstance(arguments, dict)
            if arguments["op_name"] not in LAYOUT_CHANGES:
                # A run's own event is written when it ends, after those of its nodes.
                totals = totals or [0.0]
                totals[-1] += float(str(event["dur"]))
    # The last run that ended has opened one that never came.
    return totals[_BURST:ended]
