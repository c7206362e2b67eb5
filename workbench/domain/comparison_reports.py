"""What comparing model files on the same samples reports: classes, errors of layers, samples that changed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.measurements import Interval, MetricMeasurement, PairedDifference

Verdict = Literal["worse", "better", "other"]
"""Of a prediction that changed: right before and wrong now, wrong before and right now, or wrong both times."""


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedModel(_Report):
    """One of the models; the first one is the original that the others are compared with.

    Attributes:
        metric: None where the metric can't be taken of this file.
        difference: To the original on the same samples; None for the original itself.
        changed: How many samples are predicted otherwise than by the original, in a task that predicts classes …
        worse, better, other: … and how many of them each verdict has.
    """

    path: str
    sha256: str
    metric: MetricMeasurement | None = None
    difference: PairedDifference | None = None
    changed: int = 0
    worse: int = 0
    better: int = 0
    other: int = 0


class ClassFigure(_Report):
    """What one model reaches on one class.

    Attributes:
        value: Share of the class' samples that are recognised, or intersection over union of its pixels.
        difference: To the original on the same samples; None for the original itself.
    """

    value: float
    ci95: Interval
    difference: PairedDifference | None = None


class ClassComparison(_Report):
    """One class: its name, how many samples have it, and a figure for each model."""

    name: str
    samples: int
    figures: tuple[ClassFigure, ...]


class ComparedSample(_Report):
    """One sample on which a model differs from the original.

    Attributes:
        label: As text, or None.
        predictions: Of each model as text; () where a task predicts no class of a sample.
        verdicts: Of each model but the original; None where it predicts what the original does.
        moved: For each model but the original how far its output went: for classes the margin by which the original
            preferred what it predicted, in units of its own scores; for segmentation and language the share of places
            that are predicted otherwise; else the energy of the difference as a share of that of the output.
        image_png_base64: The sample as a small picture, or None.
    """

    index: int
    label: str | None = None
    predictions: tuple[str, ...] = ()
    verdicts: tuple[Verdict | None, ...] = ()
    moved: tuple[float, ...] = ()
    image_png_base64: str | None = None


class LayerError(_Report):
    """How far what a layer computes is from the original's.

    Attributes:
        sqnr_db: Signal to difference in decibel for each model but the original, over the channels that are left;
            None where it can't be compared.
    """

    layer: str
    sqnr_db: tuple[float | None, ...]


class ComparisonReport(_Report):
    """Model files on the same samples.

    Attributes:
        task, metric: Of the data.
        samples: Looked at.
        models: The original first.
        classes: In the order of the labels; () where the task has none, which `no_classes` explains.
        changed: The samples that differ, the most telling first; those with pictures are spread over all models and
            verdicts.
        changed_total: How many differ in all, for any model.
        layers: Errors of layers, in the order of the graph.
        layer_samples: Looked at for them.
    """

    task: str
    metric: str
    samples: int
    models: tuple[ComparedModel, ...]
    classes: tuple[ClassComparison, ...] = ()
    no_classes: str = ""
    class_measure: Literal["accuracy", "iou"] = "accuracy"
    changed: tuple[ComparedSample, ...] = ()
    changed_total: int = 0
    layers: tuple[LayerError, ...] = Field(default=())
    layer_samples: int = 0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
