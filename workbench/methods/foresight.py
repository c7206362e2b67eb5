"""Looks at weights and calibration samples before the first step runs: nobody trains for what can't end well.

A step that calibrates may come after minutes of training; what it would find in the samples then, it finds here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from workbench.data.dataset import Dataset
from workbench.domain.errors import DataError, UnsupportedGraphError
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.remembered import once_per_graph
from workbench.methods.preparation import RecipeData
from workbench.methods.watched_inputs import watched

MOST_SAMPLES: Final = 512
_SECONDS = 2.0
_BATCH = 32
_MOST_NUMBERS = 100_000_000
_MOST_READ = 2_000_000_000
_FAR = 1000
_GLANCE = 1_000_000


def look_at_weights(graph: ModelGraph) -> tuple[str, ...]:
    """Look whether weights, biases and statistics of all layers are finite, and which weights are nothing but zeros.

    Of arrays beyond 100 million numbers, and of all when two billion were read, only the first million is.

    Returns:
        Warnings: layers of zeros, and single weights far beyond all others of their layer.

    Raises:
        UnsupportedGraphError: names the first layer with a number that is not finite.
    """
    seen = _seen(graph)
    if seen.unsound is not None:
        layer, name, count = seen.unsound
        raise UnsupportedGraphError(
            f"weight {name!r} holds {count} numbers that are not finite",
            where=layer,
            expected="finite weights",
            action="Export the model again; a training that diverged leaves such weights.",
        )
    found = []
    if seen.silent:
        found.append(
            f"{len(seen.silent)} layer(s) have nothing but zeros as weights ({_some(seen.silent)}): they give their "
            "bias alone; was the model exported whole?"
        )
    if seen.lonely:
        found.append(
            f"{len(seen.lonely)} layer(s) have a weight more than {_FAR} times as large as the others in root mean "
            f"square ({_some(seen.lonely)}): rounded with one scale, the others of its channel lose all levels; is the "
            "model sound?"
        )
    return tuple(found)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


@dataclass(frozen=True)
class _Seen:
    """What the weights hold.

    Attributes:
        unsound: The first layer with a number that is not finite, the name of the weight, and how many there are.
        silent: Layers of zeros.
        lonely: Layers with one weight far beyond the others.
    """

    unsound: tuple[str, str, int] | None
    silent: tuple[str, ...] = ()
    lonely: tuple[str, ...] = ()


@once_per_graph
def _seen(graph: ModelGraph) -> _Seen:
    stored = [(node, weight.name) for node, weight in layer_nodes(graph)]
    owners = {name: node.name for node, name in reversed(stored)}
    beside = [node for node, _ in stored] + [node for node in graph.nodes if node.op == "BatchNormalization"]
    for node in beside:
        for name in node.inputs:
            if name and name in graph.initializers:
                owners.setdefault(name, node.name)
    weights: set[str] = {name for _, name in stored}
    silent: list[str] = []
    lonely: list[str] = []
    read = 0
    for name, layer in owners.items():
        array = graph.constant(name)
        if array is None or array.dtype.kind != "f" or not array.size:
            continue
        whole = array.size <= _MOST_NUMBERS and read < _MOST_READ
        array = array.reshape(-1) if whole else array.reshape(-1)[:_GLANCE]
        read += array.size
        # The extremes are NaN where one number is, and are found without a copy.
        least, most = array.min(), array.max()
        if not (np.isfinite(least) and np.isfinite(most)):
            return _Seen((layer, name, int(np.count_nonzero(~np.isfinite(array)))))
        if whole and name in weights and least == most == 0:
            silent.append(layer)
        elif name in weights and array.size > 1 and _stands_alone(array[:_GLANCE], float(max(most, -least))):
            lonely.append(layer)
    return _Seen(None, tuple(silent), tuple(lonely))


def _stands_alone(array: np.ndarray, largest: float) -> bool:
    """Whether the others of so many numbers (n,) are far below the largest of all, in root mean square."""
    others = np.abs(array).astype(np.float64)
    others[others.argmax()] = 0.0
    return 0.0 < _FAR * float(np.sqrt(np.square(others).mean())) < largest


def look_at_samples(data: RecipeData, samples: int) -> tuple[str, ...]:
    """Look at the first of the calibration samples, for two seconds at the most.

    Args:
        data: Of the recipe.
        samples: That its steps will take at the most; `MOST_SAMPLES` of them are looked at.

    Returns:
        Warnings: samples far beyond the others, channels that never change.

    Raises:
        DataError: a sample can't be read, or is not finite; names file and sample.
    """
    positions = data.calibration_positions(min(samples, MOST_SAMPLES))
    key = hashlib.sha256(data.fingerprint().encode() + positions.tobytes() + repr(data.model_inputs).encode()).digest()
    return _LOOKED_AT.notes(key, lambda: _seen_in(data, positions))


def look_at_test(dataset: Dataset) -> None:
    """Read the samples that the metric will be taken on, for two seconds at the most, where they can hold NaN at all.

    Raises:
        DataError: a sample can't be read, or is not finite; names file and sample.
    """
    if all(dataset.raw(0, name).dtype.kind != "f" for name in dataset.mapping):
        return
    began = time.perf_counter()
    for _ in dataset.batches(_BATCH):
        if time.perf_counter() - began > _SECONDS:
            return


class _LookedAt:
    """What was seen in samples before, so that a search does not look at the same ones for every candidate."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._notes: dict[bytes, tuple[str, ...]] = {}

    def notes(self, key: bytes, look: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """Return what there is to be said; what raises is looked at again."""
        if key not in self._notes:
            found = look()
            while len(self._notes) >= self._most:
                self._notes.pop(next(iter(self._notes)), None)
            self._notes[key] = found
            return found
        return self._notes.get(key, ())


_LOOKED_AT = _LookedAt(64)


def _seen_in(data: RecipeData, positions: np.ndarray) -> tuple[str, ...]:
    watches = watched(data.model_inputs)
    began, seen = time.perf_counter(), 0
    for batch in data.train_split.batches(_BATCH, indices=positions):
        for name, watch in watches.items():
            if not np.isfinite(batch.inputs[name]).all():
                raise DataError(
                    f"input {name!r} is not finite when samples {positions[seen]} to "
                    f"{positions[seen + len(batch) - 1]} are preprocessed",
                    where="train",
                    expected="finite numbers",
                    action="Check `preprocess` in the DATA.yaml.",
                )
            watch.update(batch.inputs[name])
        seen += len(batch)
        if time.perf_counter() - began > _SECONDS:
            break
    return tuple(
        f"{note} (Seen in {seen} samples before the run.)"
        for watch in watches.values()
        for note in watch.notes(positions[:seen].tolist())
    )
