"""Looks at the calibration samples on their way in, and says what about them makes ranges worthless."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from workbench.graph.model import ValueInfo

_FAR = 7  # doublings: 128 times
_EXPONENTS = 400  # of float32 with room on both sides, half of them below 1
_SHOWN = 4
_MOST_CHANNELS = 64
_FLOATS = frozenset({"float32", "float64", "float16", "bfloat16"})


class InputWatch:
    """Watches one input of the graph; implements Observer.

    Kept are two numbers a channel (axis 1), how many samples reach how far in powers of two, and the farthest few.

    Args:
        name: Of the input.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reach = np.zeros(_EXPONENTS, np.int64)
        self._farthest: list[tuple[float, int]] = []
        self._low: np.ndarray | None = None
        self._high: np.ndarray | None = None

    def update(self, array: np.ndarray) -> None:
        """Take the samples of one batch (N, …)."""
        if array.ndim < 2 or not array.size:
            return
        rest = tuple(range(1, array.ndim))
        reach = np.abs(array).max(axis=rest).astype(np.float64)
        first = int(self._reach.sum())
        far = np.argsort(-reach, kind="stable")[:_SHOWN]
        self._farthest = sorted([*self._farthest, *((float(reach[at]), first + int(at)) for at in far)], reverse=True)
        del self._farthest[_SHOWN:]
        np.add.at(self._reach, _exponents(reach), 1)
        if array.ndim > 2 and array.shape[1] <= _MOST_CHANNELS:
            others = (0, *range(2, array.ndim))
            low, high = array.min(axis=others), array.max(axis=others)
            self._low = low if self._low is None else np.minimum(self._low, low)
            self._high = high if self._high is None else np.maximum(self._high, high)

    def notes(self, positions: Sequence[int] = ()) -> tuple[str, ...]:
        """Return what is to be said: samples far beyond all others, and channels that never change.

        Args:
            positions: Of the samples in their split, in the order in which they came; without any, messages count the
                samples as they came.
        """
        found = []
        count = int(self._reach.sum())
        usual = int(np.searchsorted(np.cumsum(self._reach), (count + 1) // 2))
        far = int(self._reach[usual + _FAR :].sum())
        # Where half of the samples are all zeros, nothing is usual.
        if far and usual:
            places = sorted(positions[at] if len(positions) else at for _, at in self._farthest[:far])
            shown = ", ".join(map(str, places)) + (" …" if far > _SHOWN else "")
            which = f"sample {shown} of the split" if len(positions) else f"number {shown} of those read"
            found.append(
                f"outliers in the calibration data: {far} of {count} samples of {self._name!r} ({which}) "
                f"reach up to {self._farthest[0][0]:.3g}, where half of "
                f"them stay below {2.0 ** (usual + 1 - _EXPONENTS // 2):.3g}. Ranges that hold them leave no levels "
                "for the others: take them out, or check the preprocessing."
            )
        if self._low is not None and self._high is not None:
            still = np.flatnonzero(self._low == self._high)
            if still.size:
                which = "all channels" if still.size == self._low.size else f"channels {still[:_SHOWN].tolist()}"
                found.append(
                    f"{which} of input {self._name!r} never change on the calibration data: check that it is what the "
                    "model expects"
                )
        return tuple(found)


def _exponents(reach: np.ndarray) -> np.ndarray:
    """Return the power of two below each magnitude, counted from the smallest that is told apart; 0 of zero."""
    with np.errstate(divide="ignore"):
        powers = np.floor(np.log2(reach)) + _EXPONENTS // 2
    return np.asarray(np.clip(powers, 0, _EXPONENTS - 1).astype(np.int64))


def watched(inputs: Iterable[ValueInfo]) -> dict[str, InputWatch]:
    """Return a watch for every float one of a model's inputs."""
    return {info.name: InputWatch(info.name) for info in inputs if info.dtype in _FLOATS}
