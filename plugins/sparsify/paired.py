"""What a layer reads now beside what it read in the dense model, so that it can aim at what it computed there.

Notation: z (columns,) patches of the model as it is by now, x those of the dense model, at the same places of the same
samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.api import DataError, ModelGraph, Progress, Tools

from .observed import SecondMoments
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
    def alone(cls, moments: SecondMoments) -> Readings:
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


def observe_pair(
    dense: ModelGraph, graph: ModelGraph, subject: Subject, tools: Tools, samples: int, progress: Progress
) -> Readings:
    """Return what a subject's layers read in both models on the recipe's calibration samples.

    Raises:
        DataError: the recipe names no data, or a value was not finite on it.
        CancelledError: tools.cancel was set.
    """
    if tools.data is None:
        raise DataError("calibration samples are needed, and the recipe names no data", action="Add `data:`.")
    values = list(dict.fromkeys(node.inputs[0] for node in subject.nodes))
    fed = {info.name for info in graph.inputs}
    computed = [value for value in values if value not in fed]
    sessions = [
        tools.inference.open(each.with_outputs(computed), cancel=tools.cancel) if computed else None
        for each in (dense, graph)
    ]
    layout = subject.layout
    positions, seen = 0, 0
    sums = np.zeros((2, layout.groups, layout.columns))
    products = np.zeros((2, layout.groups, layout.columns, layout.columns))
    for batch in tools.data.calibration(samples):
        tools.cancel.raise_if_cancelled()
        found: list[Mapping[str, np.ndarray]] = [
            {**batch.inputs, **({} if session is None else session.run(batch.inputs))} for session in sessions
        ]
        for node in subject.nodes:
            unfold = Patches(node, layout)
            for x, z in zip(*(unfold.of(values[node.inputs[0]]) for values in found), strict=True):
                positions += z.shape[1]
                sums += np.stack([x, z]).sum(axis=2, dtype=np.float64)
                products[0] += x.transpose(0, 2, 1) @ z
                products[1] += z.transpose(0, 2, 1) @ z
        seen += len(batch)
        progress.update(min(seen / samples, 1.0))
    if not positions or not np.isfinite(products).all():
        raise DataError(
            "what the layer reads is not finite on the calibration samples",
            where=f"layer {subject.name!r}",
            expected="finite activations",
            action="Check the preprocessing of the data.",
        )
    products /= positions
    return Readings(products[1], products[0], sums[1] / positions, sums[0] / positions)
