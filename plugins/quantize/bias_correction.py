"""Takes out of every layer's bias the mean error that quantization adds, so that errors do not drift through the depth.

Nagel et al. (2019), section 4.2, empirically: E[y] per output channel of each layer in float and in the deployed
graph, in the order of the graph, because a correction changes what comes behind it. The samples go through each of the
two graphs once: they wait before every layer until it is corrected.

Means are compared where a layer's output has gone into a sum (the residual connections): so its bias also makes up for
what the other summand has on average, which has no bias to put it into. On ResNet-56 with 4-bit weights 97 % of the
decisions then agree with the original's, 94 % where means are compared before the sum, 95 % uncorrected.

A mean over n samples adds 1/n of the power of the error that it is taken of, so that few samples do: no more than 256
are read, and as few as 4 where the values that wait would take more than 32 MB. Where no mean error reaches a hundredth
of its layer's deviation, nothing is corrected: what would change is the noise of the samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.api import (
    MethodData,
    ModelGraph,
    Progress,
    Tools,
    not_finite,
    shift_biases,
    takes_shift,
)

from .prepared import Prepared, samples_per_batch
from .stretches import Stretch, joined, stretches

_MOST_SAMPLES = 256
_LEAST_SAMPLES = 4
_BATCH = 16
_WAITING_BYTES = 32_000_000
_NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class Sums:
    """A value of one batch added up per channel: (channels,) float64.

    Attributes:
        sums: Of the numbers.
        squares: Sum of all squares; 0 where they were not asked for.
        count: Of numbers in each channel.
    """

    sums: np.ndarray
    squares: float
    count: int

    @classmethod
    def of(cls, array: np.ndarray, axis: int, *, squared: bool = False) -> Sums:
        """Add up an array with channels along an axis, and its squares where they are wanted."""
        axis %= array.ndim
        others = tuple(position for position in range(array.ndim) if position != axis)
        flat = array.reshape(-1)
        squares = float(np.einsum("i,i->", flat, flat, dtype=np.float64)) if squared else 0.0
        return cls(array.sum(axis=others, dtype=np.float64), squares, array.size // max(array.shape[axis], 1))


def correct_biases(prepared: Prepared, tools: Tools, samples: int, progress: Progress | None = None) -> Prepared:
    """Return what is to be deployed with corrected biases; ranges and weights stay.

    A layer without a bias gets one; a MatMul only where an Add with a constant follows it. Without data nothing is
    corrected, and a note says so.

    Args:
        prepared: What is to be deployed.
        tools: Of the run.
        samples: Calibration samples, of which 256 are read.
        progress: Of all of it.

    Raises:
        DataError: the data leads to values that are not finite.
        CancelledError: tools.cancel was set.
    """
    progress = progress or tools.progress
    names = _correctable(prepared)
    if not names:
        return prepared
    if tools.data is None:
        return replace(prepared, notes=(*prepared.notes, "biases not corrected: the recipe names no data"))
    correction = _Correction(prepared, names, tools)
    correction.read(tools.data, min(samples, _MOST_SAMPLES), progress.part(0.0, 0.4, "means in float"))
    if not correction.samples:
        return replace(prepared, notes=(*prepared.notes, "biases not corrected: there are no samples"))
    correction.run(progress.part(0.4, 1.0, "bias correction"))
    if max(correction.shares.values()) < _NEGLIGIBLE:
        note = f"biases stay as they are: no mean error exceeds {_NEGLIGIBLE:.0%} of its layer's deviation"
        return replace(prepared, notes=(*prepared.notes, note))
    largest = max(float(np.abs(shift).max(initial=0.0)) for shift in correction.shifts.values())
    note = f"biases of {len(names)} layers corrected on {correction.samples} samples, by {largest:.3g} at most"
    graph = shift_biases(prepared.graph, correction.shifts)
    return replace(prepared, graph=graph, notes=(*prepared.notes, note))


class _Correction:
    """Samples on their way through the deployed graph.

    Attributes:
        shifts: Found so far, (channels,) by layer.
        shares: Their root mean square as a share of the deviation of the layer's outputs.
    """

    def __init__(self, prepared: Prepared, names: list[str], tools: Tools) -> None:
        self._exact_graph, self._tools = prepared.graph, tools
        # In whole bytes, whatever the file is going to store: the same numbers.
        self._graph = replace(prepared, narrow=()).deployed()
        self._names = names
        self._ends = _ends(prepared.graph, names)
        self._waiting: list[dict[str, np.ndarray]] = []
        self._exact: list[dict[str, Sums]] = []
        self._sizes: list[int] = []
        self.shifts: dict[str, np.ndarray] = {}
        self.shares: dict[str, float] = {}

    @property
    def samples(self) -> int:
        """How many are on their way."""
        return sum(self._sizes)

    def read(self, data: MethodData, samples: int, progress: Progress) -> None:
        """Let the samples go through the float graph, and wait before the deployed one."""
        ends = {name: self._exact_graph.node(end).outputs[0] for name, end in self._ends.items()}
        session = self._tools.inference.open(
            self._exact_graph.with_outputs(dict.fromkeys(ends.values())), cancel=self._tools.cancel
        )
        largest = 0
        for inputs, size in self._batches(data, samples):
            found = session.run(inputs)
            self._exact.append(
                {name: Sums.of(found[end], self._axis(name), squared=True) for name, end in ends.items()}
            )
            self._waiting.append(dict(inputs))
            self._sizes.append(size)
            progress.update(min(self.samples / samples, 1.0), f"{self.samples} of {samples} samples")
            largest += max(array.nbytes for array in found.values())
            if largest > _WAITING_BYTES and self.samples >= _LEAST_SAMPLES:
                break

    def run(self, progress: Progress) -> None:
        """Correct layer after layer."""
        parts = stretches(self._graph, tuple(self._ends.values()))
        self._walk(joined(parts).cut(self._graph, self._waiting[0]), parts, progress)

    def _walk(self, graph: ModelGraph, parts: Sequence[Stretch], progress: Progress) -> None:
        if len(parts) == 1:
            self._advance(graph, parts[0])
            progress.update(1.0)
            return
        # Halves of halves: cutting copies what it cuts from, which for every part of the whole would take longer.
        half = len(parts) // 2
        share = half / len(parts)
        for side, part in ((parts[:half], progress.part(0.0, share)), (parts[half:], progress.part(share, 1.0))):
            self._walk(joined(side).cut(graph, self._waiting[0]), side, part)

    def _advance(self, graph: ModelGraph, part: Stretch) -> None:
        session = self._tools.inference.open(graph, cancel=self._tools.cancel)
        ends = {name: self._graph.node(end).outputs[0] for name, end in self._ends.items() if end in part.layers}
        found: list[dict[str, Sums]] = []
        held = seen = 0
        for waiting, size in zip(self._waiting, self._sizes, strict=True):
            made = session.run({name: waiting[name] for name in part.inputs})
            for name in part.last_read:
                del waiting[name]
            waiting.update(made)
            found.append({name: Sums.of(made[end], self._axis(name)) for name, end in ends.items()})
            held += sum(array.nbytes for array in waiting.values())
            seen += size
            if held > _WAITING_BYTES and seen >= _LEAST_SAMPLES:
                break
        for kept in (self._waiting, self._exact, self._sizes):
            del kept[len(found) :]
        for name, end in ends.items():
            shift = _mean(self._exact, name) - _mean(found, name)
            if not np.isfinite(shift).all():
                raise not_finite("what the layer computes", f"layer {name!r}")
            self.shifts[name] = shift
            self.shares[name] = float(np.sqrt(np.square(shift).mean())) / max(_deviation(self._exact, name), 1e-30)
            for waiting in self._waiting:
                axis = self._axis(name) % waiting[end].ndim
                channels = shift.reshape([-1 if place == axis else 1 for place in range(waiting[end].ndim)])
                waiting[end] = waiting[end] + channels.astype(waiting[end].dtype)

    def _axis(self, name: str) -> int:
        return 1 if self._exact_graph.node(name).op in ("Conv", "ConvTranspose") else -1

    def _batches(self, data: MethodData, samples: int) -> Iterator[tuple[Mapping[str, np.ndarray], int]]:
        """Yield samples in batches as the model takes them; the last one is filled up with what is in it."""
        graph = self._exact_graph
        sizes = {info.shape[0] for info in graph.inputs if info.shape}
        fixed = next(iter(sizes)) if len(sizes) == 1 else None
        values = [graph.node(name).outputs[0] for name in self._names]
        for batch in data.calibration(samples, min(samples_per_batch(graph, values), _BATCH)):
            if not isinstance(fixed, int):
                yield batch.inputs, len(batch)
                continue
            for start in range(0, len(batch), fixed):
                rows = np.arange(start, start + fixed) % len(batch)
                yield {name: array[rows] for name, array in batch.inputs.items()}, min(fixed, len(batch) - start)


def _mean(batches: list[dict[str, Sums]], name: str) -> np.ndarray:
    parts = [batch[name] for batch in batches]
    return np.asarray(sum(part.sums for part in parts) / max(sum(part.count for part in parts), 1))


def _deviation(batches: list[dict[str, Sums]], name: str) -> float:
    parts = [batch[name] for batch in batches]
    count = sum(part.count * part.sums.size for part in parts)
    mean = sum(float(part.sums.sum()) for part in parts) / max(count, 1)
    return float(np.sqrt(max(sum(part.squares for part in parts) / max(count, 1) - mean**2, 0.0)))


def _correctable(prepared: Prepared) -> list[str]:
    """Return the layers to correct, in the order of the graph."""
    graph = prepared.graph
    return [
        node.name
        for node in graph.nodes
        if (bits := prepared.layers.get(node.name)) is not None
        and (bits.weight_bits <= 8 or bits.activation_bits <= 8)
        and node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        and takes_shift(graph, node.name)
    ]


def _ends(graph: ModelGraph, names: list[str]) -> dict[str, str]:
    """Return by layer the node behind which its mean is compared: itself, or the sum that it alone goes into."""
    outputs = {info.name for info in graph.outputs}
    found: dict[str, str] = {}
    for name in reversed(names):
        found[name] = name
        node = graph.node(name)
        while node.outputs[0] not in outputs:
            readers = graph.consumers(node.outputs[0])
            if len(readers) != 1 or readers[0].op != "Add":
                break
            node = readers[0]
            if not any(graph.is_constant(value) for value in node.inputs):
                # Of two layers that are added the later one takes it, when the other one is corrected.
                if node.name not in found.values():
                    found[name] = node.name
                break
    return {name: found[name] for name in names}
