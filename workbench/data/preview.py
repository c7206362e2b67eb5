"""What the data wizard shows of a data set before anything is run: sizes, raw samples as pictures, labels as text."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from workbench.data.dataset import Dataset
from workbench.data.preprocess import height_axis
from workbench.domain.data_reports import DataPreview, SamplePreview

_SIDE_PIXELS = 256


def data_preview(test: Dataset | None, train: Dataset | None, samples: int = 16) -> DataPreview:
    """Return sizes, shape, classes and evenly spread raw samples; predictions and the metric are added by the caller.

    Raises:
        DataError: a sample can't be read.
    """
    shown = test or train
    if shown is None:
        return DataPreview(notes=("The description names neither a train nor a test split.",))
    notes = []
    if train is None:
        notes.append("There is no train split: methods that calibrate or train can't be used.")
    first = next(shown.batches(1))
    return DataPreview(
        train_samples=None if train is None else len(train),
        test_samples=None if test is None else len(test),
        input_shape=next(iter(first.inputs.values())).shape[1:],
        classes=class_count(shown),
        samples=tuple(sample_preview(shown, index) for index in spread(len(shown), samples)),
        notes=tuple(notes),
    )


def spread(total: int, count: int) -> list[int]:
    """Return up to `count` evenly spread positions below `total`."""
    count = min(count, total)
    return [position * total // count for position in range(count)]


def class_count(dataset: Dataset) -> int | None:
    """Return the number of classes that names or labels show, or None if the labels are no classes."""
    if dataset.classes:
        return len(dataset.classes)
    targets = dataset.targets
    return None if dataset.description.task != "classification" or targets is None else int(targets.max()) + 1


def sample_preview(dataset: Dataset, index: int, prediction: np.ndarray | None = None) -> SamplePreview:
    """Return one sample with its label and, given the model's output (C,) for it, the prediction as text."""
    targets = dataset.targets
    label = None if targets is None else targets[index]
    predicted = None if prediction is None or dataset.description.task != "classification" else int(prediction.argmax())
    return SamplePreview(
        index=index,
        image_png_base64=sample_picture(dataset, index),
        label=None if label is None else label_text(label, dataset.classes),
        prediction=None if predicted is None else label_text(np.asarray(predicted), dataset.classes),
        correct=None if predicted is None or label is None else bool(predicted == int(label)),
    )


def sample_picture(dataset: Dataset, index: int, side: int = _SIDE_PIXELS) -> str | None:
    """Return one sample before preprocessing as PNG in base64, or None if it is no picture."""
    raw = dataset.raw(index)
    return png_base64(raw, height_axis((1, *raw.shape), dataset.description.preprocess) - 1, side)


def label_text(label: np.ndarray, classes: Sequence[str]) -> str:
    """Return a class by name where there is one, a number as it is, and the shape of anything larger."""
    array = np.asarray(label)
    if array.ndim:
        return " × ".join(str(size) for size in array.shape)
    if array.dtype.kind in "iu":
        return classes[int(array)] if 0 <= int(array) < len(classes) else str(int(array))
    return f"{float(array):.4g}"


def png_base64(raw: np.ndarray, rows: int = 0, side: int = _SIDE_PIXELS) -> str | None:
    """Return a raw sample as PNG in base64, or None if it is no picture.

    Args:
        raw: (H, W), (H, W, C) with rows 0, or (C, H, W) with rows 1; one, three or four channels.
        rows: Axis of the rows.
        side: Most pixels of a side; larger pictures are made smaller.
    """
    if raw.ndim not in (2, 3) or raw.dtype.kind not in "uif" or min(raw.shape) == 0:
        return None
    pixels = np.moveaxis(raw, 0, -1) if raw.ndim == 3 and rows == 1 else raw
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[-1] not in (3, 4):
        return None
    if pixels.dtype != np.uint8:
        values = pixels.astype(np.float64)
        low, high = float(values.min()), float(values.max())
        # 0-255 and 0-1 keep their meaning; anything else is stretched to what it spans.
        low, high = (
            (0.0, 255.0) if low >= 0 and 1 < high <= 255 else (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        )
        pixels = np.clip((values - low) / (high - low) * 255.0, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
