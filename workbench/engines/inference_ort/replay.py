"""Runs changed graphs from where they begin to differ, fed with the original's own values: suffix re-evaluation.

Samples are taken in chunks that are always cut in the same places, so that values whose first axis is not the batch
(tokens of all samples in one matrix, say) are fed as they were computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from workbench.domain.cancel import CancelToken
from workbench.engines.contracts import Inputs, ReplayedPart
from workbench.engines.inference_ort import feeding
from workbench.engines.inference_ort.activation_store import ActivationStore
from workbench.engines.inference_ort.options import available_cores, session_options
from workbench.engines.inference_ort.session import OrtSession, open_session
from workbench.graph.changed_part import ChangedPart, changed_part
from workbench.graph.model import ModelGraph, ValueInfo
from workbench.graph.passes.convolve_shortcuts import convolve_shortcuts, padded_shortcuts

_QUANTIZERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})


class OrtPart:
    """What differs of a changed graph, ready to run on the chunks of a replay; implements ReplayedPart."""

    def __init__(self, part: ChangedPart, free: Collection[str] = ()) -> None:
        self.part = part
        self._free = free
        self._session: OrtSession | None = None
        self._lacking: tuple[tuple[str, ...], OrtSession] | None = None

    @property
    def fed(self) -> tuple[str, ...]:
        """Inner values of the original that it reads."""
        return self.part.fed if self.part.runs else ()

    def session(self, like: Mapping[str, np.ndarray], cancel: CancelToken | None) -> OrtSession:
        """Return the runtime's session of the part, made when it is first asked for."""
        if self._session is None:
            graph = self.part.cut(like, self._free)
            if shortcuts := padded_shortcuts(graph):
                # Exact, and a twelfth of the time of a ResNet-20: they would leave the runtime's fast layout.
                graph = convolve_shortcuts(graph, shortcuts)
            # One thread: several parts run at the same time, which wastes less than threads within small operators.
            options = session_options(threads=1)
            if not any(node.op in _QUANTIZERS for node in graph.nodes):
                # Rounded weights of float layers are then read once, and their layers get the runtime's fast layout.
                options.add_session_config_entry("session.disable_quant_qdq", "1")
            self._session = open_session(graph, options=options, cancel=cancel)
        return self._session

    def before(self, names: tuple[str, ...], open_original: Callable[[Sequence[str]], OrtSession]) -> OrtSession:
        """Return a session of the original that computes values which could not be kept."""
        if self._lacking is None or self._lacking[0] != names:
            self._lacking = names, open_original(names)
        return self._lacking[1]

    def close(self) -> None:
        """Give the sessions' memory back; the next run makes new ones."""
        self._session = self._lacking = None


class Replay:
    """The original on a fixed sequence of samples; implements engines.contracts.Replay.

    Args:
        original: The graph.
        read: Returns the inputs of the samples from `start` to `stop`.
        samples: How many there are.
        chunk: Samples a run, for models that take any batch.
        store: Where values are kept.
        cancel: Interrupts runs.
    """

    def __init__(
        self,
        original: ModelGraph,
        read: Callable[[int, int], Inputs],
        samples: int,
        *,
        chunk: int = 50,
        store: ActivationStore | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self._original = original
        self._read = read
        self._samples = samples
        fixed = feeding.fixed_batch(original.inputs)
        self._fixed = fixed is not None
        self._chunk = fixed or chunk
        self._store = store or ActivationStore()
        self._cancel = cancel
        self._plain: OrtSession | None = None
        self._like: dict[str, np.ndarray] = {}
        self._full = False

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self._samples // self._chunk)

    def samples(self, chunk: int) -> slice:
        """Return which samples a chunk holds."""
        return slice(chunk * self._chunk, min((chunk + 1) * self._chunk, self._samples))

    def part(self, changed: ModelGraph, free: Collection[str] = ()) -> OrtPart:
        """Return what of a changed graph has to run; initializers that are `free` are given with every run."""
        return OrtPart(changed_part(self._original, changed), free)

    def keep(self, names: Iterable[str], chunks: Sequence[int]) -> None:
        """Run the original on some chunks and keep the named inner values, as far as there is room.

        Raises:
            CancelledError: cancelled.
            JobError: the runtime failed.
            StorageError: values can't be written.
        """
        names = list(dict.fromkeys(names))
        missing = {chunk: [name for name in names if (name, chunk) not in self._store] for chunk in chunks}
        waiting = [chunk for chunk in chunks if missing[chunk]]
        if not waiting or self._full:
            return
        session = self._open([name for name in names if any(name in missing[chunk] for chunk in waiting)])

        def run(chunk: int) -> None:
            if self._full:
                return
            for name, array in session.run_exactly(self._arrays(session, chunk)).items():
                self._note(name, array)
                self._full = not self._store.put((name, chunk), array) or self._full

        # The first chunk alone: what is remembered of a value's type must not depend on which chunk comes first.
        run(waiting[0])
        with ThreadPoolExecutor(available_cores(), thread_name_prefix="kept") as pool:
            for _ in pool.map(run, waiting[1:]):
                pass

    def outputs(self, chunk: int) -> dict[str, np.ndarray]:
        """Return the original's outputs for a chunk."""
        if self._plain is None:
            self._plain = open_session(self._original, threads=1, cancel=self._cancel)
        return self._counted(self._plain.run_exactly(self._arrays(self._plain, chunk)), chunk)

    def run(
        self, part: ReplayedPart, chunk: int, free: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return a changed graph's outputs for a chunk; safe to call for several parts at the same time.

        Args:
            part: Of this replay.
            chunk: Which samples.
            free: Its free initializers.

        Raises:
            ModelFileError: the runtime refuses the part.
            CancelledError: cancelled.
            JobError: the runtime failed.
        """
        assert isinstance(part, OrtPart)
        if not part.part.runs:
            return self.outputs(chunk)
        values = self._values(part, chunk)
        session = part.session(self._like, self._cancel)
        known = {**values, **(free or {})}
        feeds = {name: known[name] for name in session.input_names if name in known}
        own = [info for info in session.inputs if info.name not in feeds]
        if own:
            feeds.update(self._read_arrays(own, chunk))
        return self._counted(session.run_exactly(feeds), chunk)

    def forget(self) -> None:
        """Give all kept values back."""
        self._store.clear()
        self._full = False

    def _values(self, part: OrtPart, chunk: int) -> dict[str, np.ndarray]:
        found = {name: array for name in part.fed if (array := self._store.get((name, chunk))) is not None}
        lacking = tuple(name for name in part.fed if name not in found)
        if lacking:
            session = part.before(lacking, self._open)
            found.update(session.run_exactly(self._arrays(session, chunk)))
            for name in lacking:
                self._note(name, found[name])
        return found

    def _note(self, name: str, array: np.ndarray) -> None:
        """Remember type and axes of an inner value, which the file need not state."""
        if name not in self._like:
            self._like[name] = array[:0] if array.ndim else array

    def _open(self, names: Sequence[str]) -> OrtSession:
        return open_session(self._original.with_outputs(names), threads=1, cancel=self._cancel)

    def _arrays(self, session: OrtSession, chunk: int) -> dict[str, np.ndarray]:
        return self._read_arrays(session.inputs, chunk)

    def _read_arrays(self, expected: Sequence[ValueInfo], chunk: int) -> dict[str, np.ndarray]:
        where = self.samples(chunk)
        read = self._read(where.start, where.stop)
        known = [info for info in self._original.inputs if info.name in read]
        arrays = feeding.fit({info.name: read[info.name] for info in known}, known, self._original.source)
        if self._fixed:
            arrays, _ = next(feeding.chunks(arrays, self._chunk))
        return {info.name: arrays[info.name] for info in expected}

    def _counted(self, outputs: dict[str, np.ndarray], chunk: int) -> dict[str, np.ndarray]:
        """Return the outputs without the samples that filled up a fixed batch."""
        where = self.samples(chunk)
        count = where.stop - where.start
        if not self._fixed or count == self._chunk:
            return outputs
        return {
            name: array[:count] if array.ndim and len(array) == self._chunk else array
            for name, array in outputs.items()
        }
