"""The inference engine that methods and jobs are given: sessions and streaming observation of inner values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError
from workbench.engines.contracts import Batch, Inputs, Observer
from workbench.engines.inference_ort import feeding
from workbench.engines.inference_ort.replay import Replay
from workbench.engines.inference_ort.session import OrtSession, open_session
from workbench.graph.model import ModelGraph


class OrtEngine:
    """ONNX Runtime on the CPU; implements InferenceEngine.

    Args:
        threads: Threads that sessions take where the caller asks for 0; 0 is all cores.
        integer_dot_products: Whether this processor adds products of 8-bit integers in 32 bits; None if not known.
    """

    def __init__(self, threads: int = 0, *, integer_dot_products: bool | None = None) -> None:
        self._threads = threads
        self._integer_dot_products = integer_dot_products

    @property
    def integer_dot_products(self) -> bool | None:
        """See InferenceEngine."""
        return self._integer_dot_products

    def open(
        self,
        model: ModelGraph | Path,
        *,
        threads: int = 0,
        optimize: bool = True,
        cancel: CancelToken | None = None,
    ) -> OrtSession:
        """Make a session; `threads` 0 takes the engine's default.

        Raises:
            ModelFileError: the runtime refuses the model.
        """
        return open_session(model, threads=threads or self._threads, optimize=optimize, cancel=cancel)

    def replay(
        self,
        original: ModelGraph,
        read: Callable[[int, int], Inputs],
        samples: int,
        *,
        cancel: CancelToken | None = None,
    ) -> Replay:
        """Return the original on a sequence of samples; see InferenceEngine."""
        return Replay(original, read, samples, cancel=cancel)

    def observe(
        self,
        graph: ModelGraph,
        observers: Mapping[str, Sequence[Observer]],
        batches: Iterable[Batch],
        *,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Feed every batch's values to the observers of their names and drop them before the next batch.

        Memory is that of one batch with all observed values, whatever the number of samples.

        Args:
            graph: The model; it runs with the observed values as its outputs.
            observers: For every value name (graph input, inner value or output) its observers.
            batches: Samples; consumed once.
            progress: Updated after each batch where `total` is given.
            total: Number of samples to come.
            cancel: Checked between batches and within a run.

        Raises:
            BadInputError: a name is not a value of the graph.
            CancelledError: `cancel` was set.
        """
        wanted = [name for name in observers if observers[name]]
        fed = {info.name for info in graph.inputs}
        computed = [name for name in wanted if name not in fed]
        try:
            session = self.open(graph.with_outputs(computed) if computed else graph, cancel=cancel)
        except KeyError as error:
            raise BadInputError(f"the graph has no value {error.args[0]!r} to observe", where=graph.source) from error
        seen = 0
        for batch in batches:
            if cancel is not None:
                cancel.raise_if_cancelled()
            for arrays, count in _parts(batch.inputs, session):
                outputs = session.run_exactly(arrays) if computed else {}
                for name in wanted:
                    array = arrays[name] if name in fed else outputs[name]
                    whole = array.ndim and len(array) > count and len(array) == len(next(iter(arrays.values())))
                    for observer in observers[name]:
                        observer.update(array[:count] if whole else array)
                del outputs
            seen += len(batch)
            if progress is not None and total:
                progress.update(seen / total, f"{seen} of {total} samples")


def _parts(inputs: Inputs, session: OrtSession) -> Iterable[tuple[Mapping[str, np.ndarray], int]]:
    """Yield the batch as the session takes it, in pieces where the model has a fixed batch size."""
    arrays = session.fitted(inputs)
    size = feeding.fixed_batch(session.inputs)
    count = len(next(iter(arrays.values())))
    if size is None or size == count:
        yield arrays, count
    else:
        yield from feeding.chunks(arrays, size)
