"""What a layer reads now beside what it read in the dense model, so that it can aim at what it computed there.

Notation: z (columns,) patches of the model as it is by now, x those of the dense model, at the same places of the same
samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.api import ModelGraph, Progress, RowMoments, Tools, needed_data, not_finite

from .observed import WITHOUT
from .patches import Patches
from .subjects import Subject


@dataclass(frozen=True, eq=False)
class Readings:
    """Moments of what the layers of one weight read.

    Attributes:
        second: E[z z^T] (groups, columns, columns).
        cross: E[x z^T], of the same shape; the same array where x is z.
        mean: E[z] (groups, columns).
        dense_mean: E[x].
    """

    second: np.ndarray
    cross: np.ndarray
    mean: np.ndarray
    dense_mean: np.ndarray

    @classmethod
    def alone(cls, moments: RowMoments) -> Readings:
        """Return readings of one model, as if the other read the same."""
        second, mean = moments.second(), moments.mean()
        return cls(second, second, mean, mean)

    def centered(self) -> Readings:
        """Return the readings about their means, which stay as they are."""
        second = self.second - self.mean[:, :, None] * self.mean[:, None, :]
        if self.cross is self.second:
            return Readings(second, second, self.mean, self.dense_mean)
        cross = self.cross - self.dense_mean[:, :, None] * self.mean[:, None, :]
        return Readings(second, cross, self.mean, self.dense_mean)


class CrossMoments:
    """Mean of x and products of all its columns with those of z, added up like RowMoments.

    Args:
        groups: Of the layer.
        columns: Of one group.
    """

    def __init__(self, groups: int, columns: int) -> None:
        self._count = 0
        self._sums = np.zeros((groups, columns))
        self._products = np.zeros((groups, columns, columns))

    def add(self, x: np.ndarray, z: np.ndarray) -> None:
        """Take rows (groups, n, columns) of both."""
        self._count += x.shape[1]
        self._sums += x.sum(axis=1, dtype=np.float64)
        self._products += x.transpose(0, 2, 1) @ z

    def mean(self) -> np.ndarray:
        """Return E[x] (groups, columns)."""
        return np.asarray(self._sums / max(self._count, 1))

    def product(self) -> np.ndarray:
        """Return E[x z^T] (groups, columns, columns)."""
        return np.asarray(self._products / max(self._count, 1))

    @property
    def finite(self) -> bool:
        """Whether nothing that was seen was infinite or no number."""
        return bool(np.isfinite(self._products).all())


def observe_pair(
    dense: ModelGraph, graph: ModelGraph, subject: Subject, tools: Tools, samples: int, progress: Progress
) -> Readings:
    """Return what a subject's layers read in both models on the recipe's calibration samples.

    Raises:
        DataError: the recipe names no data, or a value was not finite on it.
        CancelledError: tools.cancel was set.
    """
    data = needed_data(tools, "calibration", WITHOUT)
    values = list(dict.fromkeys(node.inputs[0] for node in subject.nodes))
    fed = {info.name for info in graph.inputs}
    computed = [value for value in values if value not in fed]
    sessions = [
        tools.inference.open(each.with_outputs(computed), cancel=tools.cancel) if computed else None
        for each in (dense, graph)
    ]
    layout = subject.layout
    seen = 0
    now = RowMoments(layout.groups, layout.columns)
    crossed = CrossMoments(layout.groups, layout.columns)
    for batch in data.calibration(samples):
        tools.cancel.raise_if_cancelled()
        found: list[Mapping[str, np.ndarray]] = [
            {**batch.inputs, **({} if session is None else session.run(batch.inputs))} for session in sessions
        ]
        for node in subject.nodes:
            unfold = Patches(node, layout)
            for x, z in zip(*(unfold.of(values[node.inputs[0]]) for values in found), strict=True):
                crossed.add(x, z)
                now.add(z)
        seen += len(batch)
        progress.update(min(seen / samples, 1.0))
    if not (now.finite and crossed.finite):
        raise not_finite("what the layer reads", f"layer {subject.name!r}")
    return Readings(now.second(), crossed.product(), now.mean(), crossed.mean())
