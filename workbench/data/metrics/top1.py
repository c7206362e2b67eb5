"""Share of samples whose highest score is the label's: the usual accuracy."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric, class_scores


class Top1(Metric):
    """Top-1 accuracy; for token models the share of right tokens in each sample, averaged."""

    name = "top1"
    title = "Top-1 accuracy"
    unit = "share"

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return 1 or 0 a sample; a model that gives labels (integers) is taken at its word, NaN scores are wrong."""
        if outputs.dtype.kind in "iu" and outputs.size == targets.size:
            right = outputs.reshape(targets.shape) == targets
        else:
            scores = class_scores(outputs, targets)
            right = (scores.argmax(axis=-1) == targets) & ~np.isnan(scores).any(axis=-1)
        return np.asarray(right.reshape(len(targets), -1).mean(axis=1, keepdims=True))
