"""Checks labels once when a split is opened, so that a bad one is named before an hour of work and not after."""

from __future__ import annotations

import numpy as np

from workbench.domain.errors import DataError


def checked_targets(targets: np.ndarray | None, task: str, where: str) -> np.ndarray | None:
    """Return labels in the form that metrics and losses take.

    Class labels become int64 (N,): a column (N, 1) is flattened, one-hot rows (N, C) become their index.

    Raises:
        DataError: labels are not finite, or class labels are not whole numbers of at least 0.
    """
    if targets is None:
        return None
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        bad = int(np.argmin(np.isfinite(targets.reshape(len(targets), -1)).all(axis=1)))
        raise DataError(f"the label of sample {bad} is NaN or infinite", where=f"{where}.targets")
    if task != "classification":
        return targets.astype(np.float32) if targets.dtype == np.float64 else targets
    labels = targets.reshape(len(targets)) if targets.ndim == 2 and targets.shape[1] == 1 else targets
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        raise DataError(
            f"class labels have shape {targets.shape}",
            where=f"{where}.targets",
            expected="one whole number a sample (N,), or one-hot rows (N, C)",
        )
    whole = labels.astype(np.int64)
    if labels.dtype.kind == "f" and (whole != labels).any():
        bad = int(np.argmax(whole != labels))
        raise DataError(
            f"the label of sample {bad} is {labels[bad]}",
            where=f"{where}.targets",
            expected="a whole number for task 'classification'",
        )
    if whole.min() < 0:
        raise DataError(
            f"the label of sample {int(whole.argmin())} is {whole.min()}",
            where=f"{where}.targets",
            expected="labels from 0 to the number of classes - 1",
        )
    return whole
