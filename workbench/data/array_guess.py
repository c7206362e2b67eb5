"""Guesses which arrays of a NumPy file are inputs and labels, so that common files need no typing.

Names decide first, because they were given on purpose; then shapes, where they leave one choice only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.domain.data_reports import ArrayReport, ArraysReport
from workbench.domain.reports import Dimension

Layout = Literal["NHWC->NCHW", "NCHW->NHWC", "HW->NCHW"]

_INPUTS = ("x", "images", "image", "imgs", "data", "inputs", "input", "features", "samples")
_TARGETS = ("y", "labels", "label", "targets", "target", "classes")
_SPLITS = {"train": ("train", "training", "tr"), "test": ("test", "testing", "val", "valid", "validation", "eval")}
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class ArrayGuess:
    """What the arrays of a file seem to be.

    Attributes:
        inputs, targets: Names, None where nothing stands out.
        layout: What brings the inputs to the model's order of axes, None where they have it or nothing is known.
    """

    inputs: str | None = None
    targets: str | None = None
    layout: Layout | None = None


def guess_arrays(
    report: ArraysReport,
    *,
    split: Literal["train", "test"] = "test",
    task: str = "classification",
    model_shape: Sequence[Dimension] | None = None,
) -> ArrayGuess:
    """Return what the arrays seem to be.

    Args:
        report: The arrays.
        split: Which split they are for; "x_train" is not taken for a test split where there is "x_test".
        task: Of DATA.yaml; "outputs" needs no labels.
        model_shape: Shape of the model's input with the batch, unknown sizes as text; None while no model is open.
    """
    arrays = [array for array in report.arrays if _is_numeric(array) and array.shape]
    if report.itself is not None:
        inputs = next((array for array in arrays if array.name == report.itself), None)
    else:
        inputs = _named(arrays, _INPUTS, split) or _input_by_shape(arrays, model_shape, split)
    if inputs is None:
        return ArrayGuess()
    # One entry a sample: an array of another length can't be its labels.
    others = [array for array in arrays if array is not inputs and array.shape[0] == inputs.shape[0]]
    targets = None
    if task != "outputs":
        targets = _named(others, _TARGETS, split)
        if targets is None and task == "classification":
            targets = _single(
                [array for array in others if len(array.shape) == 1 and array.dtype[:3] in ("int", "uin")]
            )
    layout = None if model_shape is None else guess_layout(inputs.shape[1:], model_shape[1:])
    return ArrayGuess(inputs.name, None if targets is None else targets.name, layout)


def guess_layout(sample: Sequence[int], wanted: Sequence[Dimension]) -> Layout | None:
    """Return what turns a sample's axes into the model's, None if nothing does or nothing is needed.

    Args:
        sample: Shape of one sample.
        wanted: Shape that the model takes for one sample; text stands for any size.
    """
    if len(sample) == 2 and len(wanted) == 3:
        return "HW->NCHW" if wanted[0] == 1 else None
    if len(sample) != 3 or len(wanted) != 3 or _fits(sample, wanted):
        return None
    first, second, last = sample
    if _fits((last, first, second), wanted):
        return "NHWC->NCHW"
    if _fits((second, last, first), wanted):
        return "NCHW->NHWC"
    # Height and width may have to be brought to the model's, so that only the channels tell.
    if last == wanted[0] and last <= _MOST_CHANNELS and first != wanted[0]:
        return "NHWC->NCHW"
    if first == wanted[2] and first <= _MOST_CHANNELS and last != wanted[2]:
        return "NCHW->NHWC"
    return None


def _named(arrays: Sequence[ArrayReport], names: Sequence[str], split: str) -> ArrayReport | None:
    """Return the array of the first of the names, one that says `split` before one that says none."""
    for wanted in names:
        for marks in (_SPLITS[split], ("",)):
            for array in arrays:
                base, mark = _parted(array.name)
                if base == wanted and mark in marks:
                    return array
    return None


def _parted(name: str) -> tuple[str, str]:
    """Return a name without the split that it says, in small letters, and that split or ""."""
    words = [word for word in re.split(r"[_\-. ]+", name.lower()) if word]
    marks = [word for word in words if any(word in known for known in _SPLITS.values())]
    return "_".join(word for word in words if word not in marks), marks[0] if marks else ""


def _input_by_shape(
    arrays: Sequence[ArrayReport], model_shape: Sequence[Dimension] | None, split: str
) -> ArrayReport | None:
    other = {mark for key, known in _SPLITS.items() if key != split for mark in known}
    usable = [
        a for a in arrays if (a.dtype.startswith("float") or a.dtype == "uint8") and _parted(a.name)[1] not in other
    ]
    pictures = [array for array in usable if len(array.shape) >= 3]
    found = _single(pictures)
    if found is not None or model_shape is None:
        return found
    fitting = [array for array in usable if len(array.shape) >= 2 and _could_feed(array.shape[1:], model_shape[1:])]
    return _single(fitting)


def _could_feed(sample: Sequence[int], wanted: Sequence[Dimension]) -> bool:
    return _fits(sample, wanted) or guess_layout(sample, wanted) is not None


def _single(arrays: Sequence[ArrayReport]) -> ArrayReport | None:
    return arrays[0] if len(arrays) == 1 else None


def _is_numeric(array: ArrayReport) -> bool:
    return array.dtype.startswith(("float", "int", "uint", "bool"))


def _fits(found: Sequence[int], wanted: Sequence[Dimension]) -> bool:
    return len(found) == len(wanted) and all(
        not isinstance(size, int) or size == have for have, size in zip(found, wanted, strict=True)
    )
