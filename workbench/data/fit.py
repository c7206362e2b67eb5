"""Checks data against the model before anything runs, and says which line of DATA.yaml makes it fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.data.dataset import Dataset
from workbench.domain.errors import DataError
from workbench.graph.model import Dimension, ValueInfo


def check_fit(dataset: Dataset, inputs: Sequence[ValueInfo], outputs: Sequence[ValueInfo] = ()) -> None:
    """Compare the first sample and all labels with the model's inputs and outputs.

    Raises:
        DataError: element type, shape or class count don't fit; where a line of `preprocess` would help, it is named.
    """
    first = next(dataset.batches(1))
    for info in inputs:
        array = first.inputs.get(info.name)
        if array is None:
            raise DataError(f"nothing is given for the model's input {info.name!r}", where=f"{dataset.split}.inputs")
        if info.dtype is not None and array.dtype != np.dtype(info.dtype):
            raise DataError(
                f"input {info.name!r} gets {array.dtype}",
                where=dataset.split,
                expected=info.dtype,
                action=f"Set preprocess.dtype: {info.dtype}, or remove preprocess.dtype.",
            )
        if info.shape is not None and not _fits(array.shape[1:], info.shape[1:]):
            raise DataError(
                f"a sample for input {info.name!r} has shape {_text(array.shape[1:])}",
                where=dataset.split,
                expected=_text(info.shape[1:]),
                action=_hint(array.shape[1:], info.shape[1:], dataset.description.preprocess.layout),
            )
    chosen = [info for info in outputs if info.name == dataset.output] if dataset.output else list(outputs[:1])
    if dataset.output and outputs and not chosen:
        names = ", ".join(info.name for info in outputs)
        raise DataError(
            f"the model has no output {dataset.output!r}", where="options.output", expected=f"one of {names}"
        )
    if chosen and dataset.targets is not None:
        _check_targets(dataset, chosen[0])


def _fits(found: Sequence[int], wanted: Sequence[Dimension]) -> bool:
    return len(found) == len(wanted) and all(
        not isinstance(size, int) or size == have for have, size in zip(found, wanted, strict=True)
    )


def _text(shape: Sequence[Dimension]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _hint(found: Sequence[int], wanted: Sequence[Dimension], layout: str | None) -> str:
    """Return the advice that would make the shapes agree, or a general one."""
    back = {"NHWC->NCHW": (1, 2, 0), "NCHW->NHWC": (2, 0, 1)}.get(layout or "")
    if back is not None and len(found) == 3 and _fits([found[axis] for axis in back], wanted):
        return f"Remove preprocess.layout ({layout}): the samples have the model's layout already."
    if len(found) == 3 and len(wanted) == 3:
        height, width, channels = found
        if _fits((channels, height, width), wanted):
            return "Add preprocess.layout: NHWC->NCHW."
        if _fits((found[1], found[2], found[0]), wanted):
            return "Add preprocess.layout: NCHW->NHWC."
        sizes = [size for size in wanted if isinstance(size, int)]
        if len(sizes) == 3 and found[0] == sizes[0] and found[0] <= 4:
            return f"Add preprocess.resize: [{sizes[1]}, {sizes[2]}]."
        if len(sizes) == 3 and found[2] == sizes[2] and found[2] <= 4:
            return f"Add preprocess.resize: [{sizes[0]}, {sizes[1]}]."
        if len(sizes) == 3 and found[2] == sizes[0] and found[2] <= 4:
            return f"Add preprocess.layout: NHWC->NCHW and preprocess.resize: [{sizes[1]}, {sizes[2]}]."
    if len(found) == 2 and len(wanted) == 3 and wanted[0] in (1, None) and _fits((1, *found), wanted):
        return "Add preprocess.layout: HW->NCHW."
    return "Choose data of the model's shape, or correct preprocess.layout and preprocess.resize."


def _check_targets(dataset: Dataset, output: ValueInfo) -> None:
    targets, task, shape = dataset.targets, dataset.description.task, output.shape
    if targets is None or shape is None:
        return
    where = f"{dataset.split}.targets"
    if task == "classification" and len(shape) >= 2 and (output.dtype or "float32").startswith(("float", "bfloat")):
        classes, highest = shape[1], int(targets.max())
        if isinstance(classes, int) and highest >= classes:
            raise DataError(
                f"labels go up to {highest}, but the model has {classes} classes",
                where=where,
                expected=f"labels from 0 to {classes - 1}",
                action="Choose the model's own data, or labels that start at 0.",
            )
    if task == "segmentation" and len(shape) == 4 and not _fits(targets.shape[1:], shape[2:]):
        raise DataError(f"label maps have shape {_text(targets.shape[1:])}", where=where, expected=_text(shape[2:]))
    if task == "regression" and not _same_size(targets.shape[1:], shape[1:]):
        raise DataError(f"a target has shape {_text(targets.shape[1:])}", where=where, expected=_text(shape[1:]))


def _same_size(found: Sequence[int], wanted: Sequence[Dimension]) -> bool:
    """Whether the shapes agree when dimensions of 1 are left out."""
    return _fits([size for size in found if size != 1], [size for size in wanted if size != 1])
