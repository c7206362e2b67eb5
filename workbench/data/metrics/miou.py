"""Mean intersection over union, the usual figure for segmentation."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric
from workbench.domain.errors import DataError


class MeanIou(Metric):
    """Mean over occurring classes of intersection / union over all pixels but those of `options.ignore_label` (255)."""

    name = "miou"
    title = "Mean IoU"
    unit = "share"

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return intersections and unions in pixels, one of each per class (n, 2·C), from scores (n, C, H, W)."""
        if outputs.ndim != targets.ndim + 1 or outputs.shape[2:] != targets.shape[1:]:
            raise DataError(
                f"the model's output has shape {outputs.shape}", expected=f"(n, classes, *{targets.shape[1:]})"
            )
        classes = outputs.shape[1]
        ignore = int(self.options.get("ignore_label", 255))
        counted = targets != ignore
        if counted.any() and int(targets[counted].max()) >= classes:
            raise DataError(f"label {int(targets[counted].max())} has no score", expected=f"labels below {classes}")
        found = outputs.argmax(axis=1)
        result = np.zeros((len(targets), 2 * classes))
        for label in range(classes):
            own, wanted = (found == label) & counted, (targets == label) & counted
            result[:, label] = (own & wanted).reshape(len(targets), -1).sum(axis=1)
            result[:, classes + label] = (own | wanted).reshape(len(targets), -1).sum(axis=1)
        return result

    def combine(self, sums: np.ndarray, samples: int) -> np.ndarray:
        """Return the mean over classes with a union."""
        both, union = np.split(sums, 2, axis=-1)
        occurs = union > 0
        shares = np.where(occurs, both / np.where(occurs, union, 1), 0.0)
        return np.asarray(shares.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))
