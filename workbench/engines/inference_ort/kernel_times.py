"""Times the kernels of several one-layer models side by side, by the runtime's own clock.

The whole run of such a model would count changes of layout, which a network needs only where layouts meet.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.domain.cancel import CancelToken
from workbench.engines.inference_ort.options import session_options
from workbench.engines.inference_ort.session import OrtSession, open_session
from workbench.graph.model import ModelGraph

LAYOUT_CHANGES = frozenset({"ReorderInput", "ReorderOutput", "Transpose"})
_BURST = 4
_FEWEST_ROUNDS, _MOST_ROUNDS = 6, 100
# The slowest fifth are the machine's, the fastest fifth the clock's, which counts whole microseconds.
_TRIMMED = 0.2
_RESAMPLES = 200


class TimedKernel(NamedTuple):
    """Mean microseconds of the middle three fifths of all runs, and the 95 % bootstrap interval of that mean."""

    microseconds: float
    ci95: tuple[float, float]


def time_kernels(
    graphs: Sequence[ModelGraph],
    inputs: Sequence[Mapping[str, np.ndarray]],
    *,
    threads: int,
    seconds: float,
    seed: int = 0,
    cancel: CancelToken | None = None,
) -> list[TimedKernel]:
    """Run all models in rounds of random order for `seconds`, 6 to 100 rounds of 4 runs each.

    Args:
        graphs: The models.
        inputs: One batch for each.
        threads: Within an operator.
        seconds: For all of them together.
        seed: Of the order and the bootstrap.
        cancel: Checked between rounds.

    Raises:
        ModelFileError: the runtime refuses a model.
        CancelledError: `cancel` was set.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="workbench-kernels-") as folder:
        sessions = [_profiled(graph, Path(folder) / str(index), threads) for index, graph in enumerate(graphs)]
        written: list[Path] = []
        try:
            rounds, began = 0, time.perf_counter()
            while rounds < _FEWEST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() - began < seconds):
                if cancel is not None:
                    cancel.raise_if_cancelled()
                for index in rng.permutation(len(sessions)):
                    for _ in range(_BURST):
                        sessions[index].run_exactly(inputs[index])
                rounds += 1
        finally:
            written = [session.end_profiling() for session in sessions]
        return [_summary(_runs(json.loads(path.read_text())), rng) for path in written]


def _profiled(graph: ModelGraph, prefix: Path, threads: int) -> OrtSession:
    options = session_options(threads=threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    return open_session(graph, options=options)


def _runs(events: list[dict[str, object]]) -> np.ndarray:
    """Return the microseconds of every run's kernels, changes of layout left out; the first burst only warms up."""
    totals: list[float] = []
    for event in events:
        arguments = event.get("args")
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            totals.append(0.0)
        elif event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time"):
            assert isinstance(arguments, dict)
            if arguments["op_name"] not in LAYOUT_CHANGES:
                # A run's own event is written when it ends, after those of its nodes.
                totals = totals or [0.0]
                totals[-1] += float(str(event["dur"]))
    return np.array(totals[_BURST:])


def _summary(runs: np.ndarray, rng: np.random.Generator) -> TimedKernel:
    def middle(values: np.ndarray) -> np.ndarray:
        cut = int(values.shape[-1] * _TRIMMED)
        return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1))

    means = middle(runs[rng.integers(0, len(runs), size=(_RESAMPLES, len(runs)))])
    low, high = np.quantile(means, [0.025, 0.975])
    return TimedKernel(float(middle(runs)), (float(low), float(high)))
