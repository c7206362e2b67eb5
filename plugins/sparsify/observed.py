"""What layers read on calibration samples: moments of their patches, in memory that does not grow with the samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from workbench.api import DataError, ModelGraph, Node, Progress, Tools

from .layout import Layout
from .patches import Patches
from .subjects import Subject


class Moments(ABC):
    """Something added up over the patches of all layers that read one weight."""

    @abstractmethod
    def add(self, node: Node, x: np.ndarray) -> None:
        """Take what a layer reads in one batch."""

    @property
    @abstractmethod
    def finite(self) -> bool:
        """Whether anything was seen, and nothing in it was infinite or no number."""


class Energies(Moments):
    """Mean squares of what every column reads, (groups, columns)."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._positions = 0
        self._sums: np.ndarray = np.zeros((layout.groups, layout.columns))

    def add(self, node: Node, x: np.ndarray) -> None:
        """Take what a layer reads in one batch."""
        squares = np.square(x, dtype=np.float32)
        if self._layout.kernel:
            # Squares may be added up over samples before they are unfolded: as many places, fewer numbers.
            squares, samples = squares.sum(axis=0, keepdims=True), len(x)
        else:
            samples = 1
        for patches in Patches(node, self._layout).of(squares):
            self._positions += patches.shape[1] * samples
            self._sums += patches.sum(axis=1, dtype=np.float64)

    def mean(self) -> np.ndarray:
        """Return E[x²] (groups, columns)."""
        return np.asarray(self._sums / max(self._positions, 1))

    @property
    def finite(self) -> bool:
        """Whether anything was seen, and nothing in it was infinite or no number."""
        return self._positions > 0 and bool(np.isfinite(self._sums).all())


class SecondMoments(Moments):
    """Means and products of all pairs of columns, (groups, columns, columns)."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._positions = 0
        self._sums: np.ndarray = np.zeros((layout.groups, layout.columns))
        self._products: np.ndarray = np.zeros((layout.groups, layout.columns, layout.columns))

    def add(self, node: Node, x: np.ndarray) -> None:
        """Take what a layer reads in one batch."""
        for patches in Patches(node, self._layout).of(x):
            self._positions += patches.shape[1]
            self._sums += patches.sum(axis=1, dtype=np.float64)
            self._products += patches.transpose(0, 2, 1) @ patches

    def mean(self) -> np.ndarray:
        """Return E[x] (groups, columns)."""
        return np.asarray(self._sums / max(self._positions, 1))

    def second(self) -> np.ndarray:
        """Return E[x x^T] (groups, columns, columns)."""
        return np.asarray(self._products / max(self._positions, 1))

    @property
    def finite(self) -> bool:
        """Whether anything was seen, and nothing in it was infinite or no number."""
        return self._positions > 0 and bool(np.isfinite(self._products).all())


M = TypeVar("M", bound=Moments)


class _Reader(Generic[M]):
    """Hands what one layer reads to the moments of its weight; implements Observer."""

    def __init__(self, node: Node, moments: M) -> None:
        self._node, self._moments = node, moments

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        self._moments.add(self._node, array)


def observe(
    graph: ModelGraph, subjects: Sequence[Subject], kind: type[M], tools: Tools, samples: int, progress: Progress
) -> Mapping[str, M]:
    """Return what the subjects' layers read on the recipe's calibration samples, by weight.

    Args:
        graph: The model.
        subjects: Whose inputs to observe.
        kind: Energies or SecondMoments.
        tools: Data, engine and cancel.
        samples: How many samples.
        progress: Of this go.

    Raises:
        DataError: the recipe names no data, or a value was not finite on it.
        CancelledError: tools.cancel was set.
    """
    if tools.data is None:
        raise DataError(
            "calibration samples are needed, and the recipe names no data",
            action="Add `data:` to the recipe, or use prune.magnitude, which looks at the weights alone.",
        )
    make: Any = kind
    found: dict[str, M] = {subject.weight: make(subject.layout) for subject in subjects}
    readers: dict[str, list[_Reader[M]]] = {}
    for subject in subjects:
        for node in subject.nodes:
            readers.setdefault(node.inputs[0], []).append(_Reader(node, found[subject.weight]))
    tools.inference.observe(
        graph, readers, tools.data.calibration(samples), progress=progress, total=samples, cancel=tools.cancel
    )
    for subject in subjects:
        if not found[subject.weight].finite:
            raise DataError(
                "what the layer reads is not finite on the calibration samples",
                where=f"layer {subject.name!r}",
                expected="finite activations",
                action="Check the preprocessing of the data.",
            )
    return found
