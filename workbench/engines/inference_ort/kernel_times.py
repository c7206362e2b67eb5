"""Times the kernels of several one-layer models side by side, by the runtime's own clock.

The whole run of such a model would count changes of layout, which a network needs only where layouts meet.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import ModelFileError
from workbench.engines.inference_ort.kernel_rounds import run_in_rounds, run_microseconds
from workbench.engines.inference_ort.options import session_options
from workbench.engines.inference_ort.session import OrtSession, open_session
from workbench.graph.model import ModelGraph

# The slowest fifth are the machine's, the fastest fifth the clock's, which counts whole microseconds.
_TRIMMED = 0.2
_FAST = 0.1
_RESAMPLES = 200


class TimedKernel(NamedTuple):
    """Mean microseconds of the middle three fifths of all runs, and the 95 % bootstrap interval of that mean.

    Attributes:
        fast: Microseconds that one run in ten takes less than: what the machine can do when nothing disturbs it.
        fast_ci95: Its bootstrap interval.
    """

    microseconds: float
    ci95: tuple[float, float]
    fast: float
    fast_ci95: tuple[float, float]


def time_kernels(
    graphs: Sequence[ModelGraph],
    inputs: Sequence[Mapping[str, np.ndarray]],
    *,
    threads: int,
    seconds: float,
    seed: int = 0,
    cancel: CancelToken | None = None,
) -> list[TimedKernel | None]:
    """Run all models in rounds of random order for `seconds`, 6 to 100 rounds of 4 runs each.

    Devices differ in the operators that their runtime has: a model that it refuses is None in the result.

    Args:
        graphs: The models.
        inputs: One batch for each.
        threads: Within an operator.
        seconds: For all of them together.
        seed: Of the order and the bootstrap.
        cancel: Checked between rounds.

    Raises:
        ModelFileError: the runtime refuses all models; this is about the first.
        CancelledError: `cancel` was set.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-kernels-") as folder:
        opened: dict[int, OrtSession] = {}
        refusal: ModelFileError | None = None
        for index, graph in enumerate(graphs):
            try:
                opened[index] = _profiled(graph, Path(folder) / str(index), threads)
            except ModelFileError as error:
                refusal = refusal or error
        if refusal is not None and not opened:
            raise refusal
        written: dict[int, Path] = {}
        try:
            run_in_rounds(
                [partial(session.run_exactly, inputs[index]) for index, session in opened.items()],
                seconds=seconds,
                seed=seed,
                check=None if cancel is None else cancel.raise_if_cancelled,
            )
        finally:
            written = {index: session.end_profiling() for index, session in opened.items()}
        times = {index: run_microseconds(json.loads(path.read_text())) for index, path in written.items()}
        return [kernel_time(times[index], seed) if index in times else None for index in range(len(graphs))]


def _profiled(graph: ModelGraph, prefix: Path, threads: int) -> OrtSession:
    options = session_options(threads=threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    return open_session(graph, options=options)


def kernel_time(microseconds: Sequence[float], seed: int = 0) -> TimedKernel:
    """Return what the times of one kernel's runs amount to; `seed` is that of the bootstrap."""
    runs, rng = np.array(microseconds), np.random.default_rng(seed)

    def middle(values: np.ndarray) -> np.ndarray:
        cut = int(values.shape[-1] * _TRIMMED)
        return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1))

    picked = runs[rng.integers(0, len(runs), size=(_RESAMPLES, len(runs)))]
    low, high = np.quantile(middle(picked), [0.025, 0.975])
    fast_low, fast_high = np.quantile(np.quantile(picked, _FAST, axis=1), [0.025, 0.975])
    return TimedKernel(
        float(middle(runs)),
        (float(low), float(high)),
        float(np.quantile(runs, _FAST)),
        (float(fast_low), float(fast_high)),
    )
