"""Adds up what least squares needs to know of calibration samples, in memory that does not grow with them.

Notation: rows x (…, n, columns) as `patches` makes them, with one set of moments for every leading index; n counts
samples and positions. Moments have the value's unit, second moments its square.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import numpy as np

from workbench.methods.patches import LayerRows, Rows

R = TypeVar("R")
R_taken = TypeVar("R_taken", contravariant=True)


class RowMoments:
    """Means and products of all pairs of columns.

    Products are taken in the precision of the rows and added up in float64.

    Args:
        shape: (columns,), or (groups, columns) where groups have moments of their own.
    """

    def __init__(self, *shape: int) -> None:
        self._count = 0
        self._sums: np.ndarray = np.zeros(shape)
        self._products: np.ndarray = np.zeros((*shape, shape[-1]))

    def take(self, rows: Rows, x: np.ndarray) -> None:
        """Take the rows of a value of one batch."""
        for part in rows.of(x):
            self.add(part)

    def add(self, rows: np.ndarray) -> None:
        """Take rows (…, n, columns)."""
        self._count += rows.shape[-2]
        self._sums += rows.sum(axis=-2, dtype=np.float64)
        self._products += rows.swapaxes(-1, -2) @ rows

    def mean(self) -> np.ndarray:
        """Return E[x] (…, columns)."""
        return np.asarray(self._sums / max(self._count, 1))

    def second(self) -> np.ndarray:
        """Return E[x x^T] (…, columns, columns)."""
        return np.asarray(self._products / max(self._count, 1))

    def covariance(self) -> np.ndarray:
        """Return E[(x - m)(x - m)^T] (…, columns, columns), m the mean."""
        mean = self.mean()
        return np.asarray(self.second() - _outer(mean, mean))

    def about(self, center: np.ndarray) -> np.ndarray:
        """Return E[(x - c)(x - c)^T] (…, columns, columns) about a center (…, columns)."""
        mean = self.mean()
        return np.asarray(self.second() - _outer(mean, center) - _outer(center, mean) + _outer(center, center))

    @property
    def finite(self) -> bool:
        """Whether anything was seen, and nothing in it was infinite or no number."""
        return self._count > 0 and bool(np.isfinite(self._products).all())


class MeanSquares:
    """Mean squares of the columns of what a layer reads: the diagonal of its second moments.

    Args:
        groups: Of the layer.
        columns: Of one group.
    """

    def __init__(self, groups: int, columns: int) -> None:
        self._count = 0
        self._sums: np.ndarray = np.zeros((groups, columns))

    def take(self, rows: LayerRows, x: np.ndarray) -> None:
        """Take what a layer reads in one batch."""
        squares, samples = np.square(x, dtype=np.float32), 1
        if rows.windows is not None:
            # Squares may be added up over samples before they are unfolded: as many places, fewer numbers.
            squares, samples = squares.sum(axis=0, keepdims=True), len(x)
        for part in rows.of(squares):
            self._count += part.shape[1] * samples
            self._sums += part.sum(axis=1, dtype=np.float64)

    def mean(self) -> np.ndarray:
        """Return E[x²] (groups, columns)."""
        return np.asarray(self._sums / max(self._count, 1))

    @property
    def finite(self) -> bool:
        """Whether anything was seen, and nothing in it was infinite or no number."""
        return self._count > 0 and bool(np.isfinite(self._sums).all())


class Taking(Protocol[R_taken]):
    """Adds up something over rows."""

    def take(self, rows: R_taken, x: np.ndarray) -> None:
        """Take the rows of a value of one batch."""
        ...


class RowObserver(Generic[R]):
    """Hands the rows of a value to what adds them up, which several layers may share; implements Observer."""

    def __init__(self, rows: R, moments: Taking[R]) -> None:
        self._rows, self._moments = rows, moments

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        self._moments.take(self._rows, array)


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(left[..., :, None] * right[..., None, :])
