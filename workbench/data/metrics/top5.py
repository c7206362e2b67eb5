"""Share of samples whose label is among the five highest scores, for data sets with many like classes."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric, class_scores


class Top5(Metric):
    """Top-5 accuracy; ties are broken against the label."""

    name = "top5"
    title = "Top-5 accuracy"
    unit = "share"

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return 1 or 0 a sample: fewer than five other classes score at least as high as the label."""
        scores = class_scores(outputs, targets)
        own = np.take_along_axis(scores, targets[..., None].astype(np.int64), axis=-1)
        right = ((scores >= own).sum(axis=-1) <= 5) & ~np.isnan(scores).any(axis=-1)
        return np.asarray(right.reshape(len(targets), -1).mean(axis=1, keepdims=True))
