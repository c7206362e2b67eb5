"""Mean squared error, for models that predict numbers."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric, same_shape


class Mse(Metric):
    """Mean over samples of the mean squared error of a sample."""

    name = "mse"
    title = "Mean squared error"
    higher_is_better = False

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the mean squared error of each sample."""
        found, wanted = same_shape(outputs, targets)
        return np.asarray(((found - wanted) ** 2).mean(axis=1, keepdims=True))
