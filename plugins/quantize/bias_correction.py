"""Takes out of every layer's bias the mean error that quantization adds, so that errors do not drift through the depth.

Nagel et al. (2019), section 4.2, empirically: E[y] per output channel of each layer in float and in the deployed
graph, on calibration samples, in the order of the graph, because a correction changes what comes behind it. Layers
that do not depend on each other are corrected in one pass.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.api import ModelGraph, Progress, Tools, needed_data, observe_samples, shift_biases, takes_shift

from .prepared import Prepared, samples_per_batch


class ChannelMean:
    """Mean of one value per channel; implements Observer.

    Args:
        axis: Of the channels.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._sums: np.ndarray = np.zeros(())
        self._count = 0

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        axis = self._axis % array.ndim
        others = tuple(position for position in range(array.ndim) if position != axis)
        self._sums = self._sums + array.sum(axis=others, dtype=np.float64)
        self._count += array.size // max(array.shape[axis], 1)

    def mean(self) -> np.ndarray:
        """Return the mean, (channels,); () before the first batch."""
        return np.asarray(self._sums / max(self._count, 1))


def correct_biases(
    prepared: Prepared, tools: Tools, samples: int, method: str, progress: Progress | None = None
) -> Prepared:
    """Return what is to be deployed with corrected biases; ranges and weights stay.

    A layer without a bias gets one; a MatMul only where an Add with a constant follows it.

    Args:
        prepared: What is to be deployed.
        tools: Of the run.
        samples: Calibration samples of each pass.
        method: Its id, for messages.
        progress: Of all passes.

    Raises:
        DataError: there is no data.
        CancelledError: tools.cancel was set.
    """
    progress = progress or tools.progress
    waves = _waves(prepared)
    if not waves:
        return prepared
    data = needed_data(tools, method, "turn bias_correction off")
    values = {name: prepared.graph.node(name).outputs[0] for wave in waves for name in wave}
    batch_size = samples_per_batch(prepared.graph, values.values())

    def means(graph: ModelGraph, names: list[str], part: Progress) -> dict[str, np.ndarray]:
        observers = {name: ChannelMean(_axis(graph, name)) for name in names}
        pairs = [(values[name], observer) for name, observer in observers.items()]
        observe_samples(graph, pairs, data, tools, samples, batch_size=batch_size, progress=part)
        return {name: observer.mean() for name, observer in observers.items()}

    steps = len(waves) + 1
    exact = means(prepared.graph, list(values), progress.part(0.0, 1 / steps, "means in float"))
    largest = 0.0
    for number, wave in enumerate(waves):
        part = progress.part((number + 1) / steps, (number + 2) / steps, "bias correction")
        found = means(prepared.deployed(), wave, part)
        shifts = {name: exact[name] - found[name] for name in wave if exact[name].ndim == 1}
        prepared = replace(prepared, graph=shift_biases(prepared.graph, shifts))
        largest = max([largest, *(float(np.abs(shift).max(initial=0.0)) for shift in shifts.values())])
    notes = (
        *prepared.notes,
        f"biases of {len(values)} layers corrected on {samples} samples, by {largest:.3g} at most",
    )
    return replace(prepared, notes=notes)


def _waves(prepared: Prepared) -> list[list[str]]:
    """Return the layers to correct, those that do not depend on each other together, in the order of the graph."""
    graph = prepared.graph
    wanted = {
        name
        for name, bits in prepared.layers.items()
        if (bits.weight_bits <= 8 or bits.activation_bits <= 8)
        and graph.node(name).op in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        and takes_shift(graph, name)
    }
    depth: dict[str, int] = {}
    waves: list[list[str]] = []
    for node in graph.nodes:
        level = max((depth.get(value, 0) for value in node.inputs), default=0)
        if node.name in wanted:
            level += 1
            if level > len(waves):
                waves.append([])
            waves[level - 1].append(node.name)
        depth.update(dict.fromkeys(node.outputs, level))
    return waves


def _axis(graph: ModelGraph, name: str) -> int:
    return 1 if graph.node(name).op in ("Conv", "ConvTranspose") else -1
