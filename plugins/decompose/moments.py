"""What a layer's values look like on calibration samples: mean and covariance, in memory that does not grow with them.

Notation: y (positions, channels) over all samples and positions; covariance E[(y - m)(y - m)^T], m = E[y].
"""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import numpy as np

from workbench.api import DataError, ModelGraph, Tools

_MOMENT_BYTES = 1_000_000_000
_REMEMBERED_CHANNELS = 512


class Moments:
    """Observer of one value's first and second moments.

    Args:
        axis: Of the channels: 1 for a convolution's output, -1 for a matrix product's.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._count = 0
        self._sum: np.ndarray = np.zeros(0)
        self._products: np.ndarray = np.zeros((0, 0))

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch (N, …)."""
        rows = np.moveaxis(array, self._axis, -1)
        rows = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
        if not self._count:
            self._sum, self._products = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        self._count += len(rows)
        self._sum += rows.sum(axis=0)
        self._products += rows.T @ rows

    def mean(self) -> np.ndarray:
        """Return m (channels,)."""
        return np.asarray(self._sum / max(self._count, 1))

    def about(self, center: np.ndarray) -> np.ndarray:
        """Return E[(y - c)(y - c)^T] (channels, channels); about the mean it is the covariance."""
        mean = self.mean()
        second = self._products / max(self._count, 1)
        return np.asarray(second - np.outer(mean, center) - np.outer(center, mean) + np.outer(center, center))

    @property
    def finite(self) -> bool:
        """Whether anything was seen, and nothing in it was infinite or no number."""
        return self._count > 0 and bool(np.isfinite(self._products).all())


# A sweep splits the same layer at several ranks; graph, data and samples decide the moments alone.
_SEEN: WeakKeyDictionary[ModelGraph, WeakKeyDictionary[object, dict[tuple[str, int], Moments]]] = WeakKeyDictionary()


def observe(graph: ModelGraph, values: Mapping[str, tuple[int, int]], tools: Tools, samples: int) -> dict[str, Moments]:
    """Return the moments of the named values over the recipe's calibration samples.

    Values are observed in as many goes as it takes to hold their products in about 1 GB.

    Args:
        graph: The model.
        values: Axis of the channels and their number, by value name.
        tools: Data, engine, progress and cancel.
        samples: How many samples.

    Raises:
        DataError: the recipe names no data, or a value was infinite on it.
    """
    if tools.data is None:
        raise DataError(
            "calibration samples are needed, and the recipe names no data",
            action="Add `data:` to the recipe, or use decompose.svd, which looks at the weights alone.",
        )
    seen = _SEEN.setdefault(graph, WeakKeyDictionary()).setdefault(tools.data, {})
    found = {value: seen[value, samples] for value in values if (value, samples) in seen}
    parts = _parts({value: size for value, size in values.items() if value not in found})
    for number, part in enumerate(parts):
        observers = {value: Moments(values[value][0]) for value in part}
        tools.inference.observe(
            graph,
            {value: [observer] for value, observer in observers.items()},
            tools.data.calibration(samples),
            progress=tools.progress.part(0.6 * number / len(parts), 0.6 * (number + 1) / len(parts), "calibration"),
            total=samples,
            cancel=tools.cancel,
        )
        found.update(observers)
    broken = [value for value, moments in found.items() if not moments.finite]
    if broken:
        raise DataError(
            f"value {broken[0]!r} is not finite on the calibration samples",
            expected="finite activations",
            action="Check the preprocessing of the data.",
        )
    seen.update({(value, samples): found[value] for value in values if values[value][1] <= _REMEMBERED_CHANNELS})
    return found


def _parts(values: Mapping[str, tuple[int, int]]) -> list[list[str]]:
    parts: list[list[str]] = []
    room = 0
    for value, (_, channels) in values.items():
        size = 8 * channels**2
        if not parts or size > room:
            parts.append([])
            room = _MOMENT_BYTES
        parts[-1].append(value)
        room -= size
    return parts
