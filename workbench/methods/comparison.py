"""Runs several model files on the same samples and says where they differ: by class, and sample by sample.

The figures of two candidates say how many samples are lost, not which: a class that is given up, or pictures that
nobody could tell apart anyway. Notation: N samples, M models, the original first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.data.dataset import Dataset, Samples
from workbench.data.metrics._base import class_scores
from workbench.data.preview import label_text, sample_picture
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.comparison_reports import ComparedModel, ComparedSample, ComparisonReport, Verdict
from workbench.domain.errors import BadInputError, JobError
from workbench.domain.measurements import PairedDifference
from workbench.engines.contracts import InferenceEngine
from workbench.graph.storage import model_sha256
from workbench.methods.class_figures import class_accuracies, class_ious
from workbench.methods.compared_predictions import reading_of
from workbench.methods.evaluation import Evaluated, checked_metric, chosen_output, chosen_samples, compare, measured
from workbench.methods.layer_errors import layer_errors

_PICTURE_PIXELS = 96
_MOST_LISTED = 5000
_VERDICTS: tuple[Verdict, ...] = ("worse", "better", "other")
_LAYERS_SHARE = 0.2


class _Run:
    """What the models give for the samples, batch by batch; outputs themselves are not kept."""

    def __init__(self, models: Sequence[Path], dataset: Dataset) -> None:
        self.models, self.dataset = models, dataset
        self.task = dataset.description.task
        self.reading = reading_of(self.task)
        self.metrics = [checked_metric(dataset) for _ in models]
        # Other metrics of segmentation may have outputs of their own kind.
        self.ious = self.metrics if self.metrics[0].name == "miou" else []
        self._predicted: list[list[np.ndarray]] = [[] for _ in models]
        self._moved: list[list[np.ndarray]] = [[] for _ in models]

    def take(self, batch: Samples, outputs: Sequence[np.ndarray]) -> None:
        """Take a batch's outputs (n, …) of every model."""
        first = outputs[0]
        for number, output in enumerate(outputs):
            if output.shape != first.shape:
                raise BadInputError(
                    f"the outputs of the models have different shapes: {output.shape[1:]}",
                    where=str(self.models[number]),
                    expected=f"{first.shape[1:]}, as of {self.models[0].name}",
                    action="Compare candidates with the model that they were made from.",
                )
            metric = self.metrics[number]
            against = first if metric.against == "reference" else batch.targets
            assert against is not None, "checked with the metric"
            metric.update(output, against)
            predicted = self.reading.predictions(output)
            if predicted is not None:
                self._predicted[number].append(predicted)
            self._moved[number].append(self.reading.moved(self._read(first, batch), self._read(output, batch)))

    def _read(self, output: np.ndarray, batch: Samples) -> np.ndarray:
        """Bring the classes of token models last, as metrics do."""
        return class_scores(output, batch.targets) if self.task == "language" and batch.targets is not None else output

    @property
    def predicted(self) -> np.ndarray | None:
        """What each model predicts (M, N), or None where that is not one thing a sample."""
        if not all(self._predicted):
            return None
        return np.stack([np.concatenate(batches) for batches in self._predicted])

    @property
    def moved(self) -> np.ndarray:
        """How far outputs went (M, N); 0 for the original."""
        return np.stack([np.concatenate(batches) for batches in self._moved])


def compare_models(
    engine: InferenceEngine,
    models: Sequence[Path],
    dataset: Dataset,
    *,
    samples: int | Literal["all"] = "all",
    pictures: int = 36,
    layer_samples: int = 64,
    batch_size: int = 100,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ComparisonReport:
    """Compare model files with the first of them.

    Args:
        engine: Runs the files.
        models: The original first.
        dataset: Test samples that fit all of them.
        samples: How many samples, or "all".
        pictures: Samples with a picture, for each model and verdict; 0 for none.
        layer_samples: Samples for the errors of layers; 0 leaves them out.
        batch_size: Samples a run.
        progress: Updated after each batch.
        cancel: Polled between batches and within them.

    Raises:
        BadInputError: fewer than two models, or their outputs are not alike.
        DataError: labels are missing, or outputs can't be judged by the metric.
        CancelledError: `cancel` was set.
    """
    if len(models) < 2:
        raise BadInputError("one model can't be compared", expected="the original and at least one other")
    progress, cancel, began = progress or Progress(), cancel or CancelToken(), time.perf_counter()
    part = chosen_samples(dataset, samples)
    run = _Run(models, part)
    sessions = [engine.open(path, cancel=cancel) for path in models]
    watched = progress.part(0.0, 1.0 - _LAYERS_SHARE) if layer_samples else progress
    done = 0
    for batch in part.batches(batch_size):
        cancel.raise_if_cancelled()
        run.take(batch, [chosen_output(session.run(batch.inputs), part.output) for session in sessions])
        done += len(batch)
        watched.update(done / len(part), f"{done} of {len(part)} samples")
    del sessions
    report = _reported(run, pictures)
    if layer_samples:
        last = progress.part(1.0 - _LAYERS_SHARE, 1.0)
        count = min(layer_samples, len(dataset))
        layers = layer_errors(engine, models, dataset, samples=count, progress=last, cancel=cancel)
        report = report.model_copy(update={"layers": layers, "layer_samples": count})
    return report.model_copy(update={"seconds": time.perf_counter() - began})


def _reported(run: _Run, pictures: int) -> ComparisonReport:
    part, notes = run.dataset, list[str]()
    predicted, moved = run.predicted, run.moved
    targets = part.targets if run.task == "classification" else None
    verdicts = None if predicted is None or run.task != "classification" else _verdicts(predicted, targets)
    changes = moved[1:] > 0 if verdicts is None else verdicts != ""
    evaluated = [_evaluated(run, number, notes) for number in range(len(run.models))]
    # The surest of the original first: a change there tells most.
    order = np.argsort(-np.where(changes, moved[1:], -np.inf).max(axis=0), kind="stable")
    order = order[: int(changes.any(axis=0).sum())]
    pictured = _pictured(order, moved[1:], changes, verdicts, pictures)
    listed = [*(index for index in order if index in pictured), *(index for index in order if index not in pictured)]
    if len(order) > _MOST_LISTED:
        notes.append(f"Of {len(order)} samples that differ the first {_MOST_LISTED} are listed.")
    classes, why_not = class_accuracies(part, predicted) if run.task == "classification" else class_ious(part, run.ious)
    return ComparisonReport(
        task=run.task,
        metric=run.metrics[0].name,
        samples=len(part),
        models=tuple(
            ComparedModel(
                path=str(path),
                sha256=model_sha256(path),
                metric=None if (own := evaluated[number]) is None else own.measurement,
                difference=_difference(run, evaluated, number),
                changed=0 if number == 0 else int(changes[number - 1].sum()),
                **{} if number == 0 or verdicts is None else _counts(verdicts[number - 1]),
            )
            for number, path in enumerate(run.models)
        ),
        classes=classes,
        no_classes=why_not,
        class_measure="iou" if run.task == "segmentation" else "accuracy",
        changed=tuple(
            _sample(run, int(index), predicted, verdicts, moved, picture=index in pictured)
            for index in listed[:_MOST_LISTED]
        ),
        changed_total=len(order),
        notes=tuple(notes),
    )


def _verdicts(predicted: np.ndarray, targets: np.ndarray | None) -> np.ndarray:
    """Return the verdict of each model but the first on each sample (M - 1, N), "" where it predicts the same."""
    before, after = predicted[:1], predicted[1:]
    found = np.where(before == after, "", "other")
    if targets is not None:
        found = np.where((before == targets) & (after != targets), "worse", found)
        found = np.where((before != targets) & (after == targets), "better", found)
    return found


def _counts(verdicts: np.ndarray) -> dict[str, int]:
    return {name: int((verdicts == name).sum()) for name in _VERDICTS}


def _pictured(
    order: np.ndarray, moved: np.ndarray, changes: np.ndarray, verdicts: np.ndarray | None, pictures: int
) -> frozenset[int]:
    """Return the samples to show, up to `pictures` for each model and verdict, those that went furthest."""
    chosen: set[int] = set()
    for number in range(len(moved)):
        own = order[np.argsort(-moved[number][order], kind="stable")]
        own = own[changes[number][own]]
        kinds = (own,) if verdicts is None else tuple(own[verdicts[number][own] == name] for name in _VERDICTS)
        for kind in kinds:
            chosen.update(kind[:pictures].tolist())
    return frozenset(chosen)


def _sample(
    run: _Run,
    index: int,
    predicted: np.ndarray | None,
    verdicts: np.ndarray | None,
    moved: np.ndarray,
    *,
    picture: bool,
) -> ComparedSample:
    part = run.dataset
    targets = part.targets
    scalar = targets is not None and targets[index].ndim == 0
    texts = () if predicted is None else tuple(run.reading.text(own[index], part.classes) for own in predicted)
    return ComparedSample(
        index=int(part.positions[index]),
        label=label_text(targets[index], part.classes) if targets is not None and scalar else None,
        predictions=texts,
        verdicts=() if verdicts is None else tuple(str(own[index]) or None for own in verdicts),
        moved=tuple(float(own[index]) for own in moved[1:]),
        image_png_base64=sample_picture(part, index, _PICTURE_PIXELS) if picture else None,
    )


def _evaluated(run: _Run, number: int, notes: list[str]) -> Evaluated | None:
    metric = run.metrics[number]
    try:
        return measured(metric, metric.per_sample, None, str(run.models[number]))
    except JobError as error:
        # What a broken file predicts can be told all the same.
        notes.append(str(error))
        return None


def _difference(run: _Run, evaluated: Sequence[Evaluated | None], number: int) -> PairedDifference | None:
    first, own = evaluated[0], evaluated[number]
    if number == 0 or first is None or own is None:
        return None
    return compare(first, own, run.dataset.description.options)
