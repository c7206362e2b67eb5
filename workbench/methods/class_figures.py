"""Figures of single classes for several models on the same samples: a whole may stay while one class is given up.

Notation: N samples, M models, the original first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.data.dataset import Dataset
from workbench.data.metrics._base import Metric
from workbench.data.preview import label_text
from workbench.data.statistics import bootstrap_interval, mcnemar_exact, paired_share_interval, wilson
from workbench.domain.comparison_reports import ClassComparison, ClassFigure
from workbench.domain.measurements import PairedDifference

Found = tuple[tuple[ClassComparison, ...], str]
_NO_CLASSES = "There are no classes in this task: samples have numbers, not one label each."
_NO_LABELS = "Without labels nobody knows what is right."
_NO_IOU = "Segmentation is compared by class with metric miou."


def class_accuracies(dataset: Dataset, predicted: np.ndarray | None) -> Found:
    """Return the share of every class' samples that each model recognises, or why there is none.

    Args:
        dataset: With one label a sample.
        predicted: Classes (M, N).
    """
    targets = dataset.targets
    if targets is None or predicted is None:
        return (), _NO_LABELS
    right = predicted == targets
    found = []
    for label in np.unique(targets):
        own = right[:, targets == label]
        found.append(
            ClassComparison(
                name=label_text(label, dataset.classes),
                samples=own.shape[1],
                figures=tuple(_share(own[0], row, first=number == 0) for number, row in enumerate(own)),
            )
        )
    return tuple(found), ""


def class_ious(dataset: Dataset, metrics: Sequence[Metric]) -> Found:
    """Return intersection over union of every class for each model, or why there is none.

    Args:
        dataset: With a label at every pixel.
        metrics: Mean IoU as taken of each model; () where another metric was taken.
    """
    if not metrics:
        return (), _NO_IOU if dataset.description.task == "segmentation" else _NO_CLASSES
    records = np.stack([metric.per_sample for metric in metrics])
    classes = records.shape[2] // 2
    found = []
    for label in range(classes):
        pairs = records[:, :, [label, classes + label]]
        occurs = pairs[:, :, 1].any(axis=0)
        if not occurs.any():
            continue
        own = pairs[:, occurs]
        found.append(
            ClassComparison(
                name=label_text(np.asarray(label), dataset.classes),
                samples=int(occurs.sum()),
                figures=tuple(_iou(own[0], row, first=number == 0) for number, row in enumerate(own)),
            )
        )
    return tuple(found), ""


def _share(original: np.ndarray, own: np.ndarray, *, first: bool) -> ClassFigure:
    n, hits = len(own), int(own.sum())
    difference = None
    if not first:
        lost, won = int((original & ~own).sum()), int((~original & own).sum())
        difference = PairedDifference(
            value=(won - lost) / n,
            ci95=paired_share_interval(lost, won, n),
            p_value=mcnemar_exact(lost, won),
            only_original_correct=lost,
            only_candidate_correct=won,
        )
    return ClassFigure(value=hits / n, ci95=wilson(hits, n), difference=difference)


def _iou(original: np.ndarray, own: np.ndarray, *, first: bool) -> ClassFigure:
    """Return the figure of records (n, 2): intersection and union in pixels."""

    def ratio(sums: np.ndarray) -> np.ndarray:
        return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1))

    n = len(own)
    value, before = (float(ratio(records.sum(axis=0))) for records in (own, original))
    difference = None
    if not first:
        difference = PairedDifference(
            value=value - before,
            ci95=bootstrap_interval(lambda weights: ratio(weights @ own) - ratio(weights @ original), n, rounds=400),
        )
    return ClassFigure(
        value=value, ci95=bootstrap_interval(lambda weights: ratio(weights @ own), n, rounds=400), difference=difference
    )
