"""What the open sizes of a model's inputs may be: what the data shows, or what their names and places say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.domain.data_description import DataDescription
from workbench.domain.dimensions import FreeDimension, free_dimensions
from workbench.domain.reports import TensorReport
from workbench.project.state import ProjectState

_PICTURE, _SEQUENCE, _ONE = 224, 128, 1
_WORDS = (
    (
        frozenset({"length", "len", "seq", "sequence", "tokens", "token", "time", "t", "steps", "frames", "l", "past"}),
        _SEQUENCE,
    ),
    (frozenset({"batch", "n", "samples"}), _ONE),
    (frozenset({"h", "w", "height", "width", "rows", "cols", "columns", "side", "size", "x", "y"}), _PICTURE),
)
"""Words within names and the size that they suggest; the first that occurs decides."""


@dataclass(frozen=True)
class SizeRow:
    """An open size as the dialog shows it.

    Attributes:
        places: Where it is used, e.g. "axis 2 of image".
        value: To begin with; `known` if the user gave it before.
    """

    dimension: FreeDimension
    places: str
    value: int
    known: bool


def size_rows(state: ProjectState) -> tuple[SizeRow, ...]:
    """Return the open sizes of the project's model; () without one."""
    if state.inspect is None:
        return ()
    rows = []
    for dimension in free_dimensions(state.inspect.inputs):
        given = dimension.given(state.dimensions)
        if dimension.batch:
            # How many samples run at once is told where latency is set; everything else counts one sample.
            given = state.latency.batch
        value = guess_size(dimension, state.inspect.inputs) if given is None else given
        rows.append(SizeRow(dimension, places_text(dimension), value, given is not None and not dimension.batch))
    return tuple(rows)


def guess_size(dimension: FreeDimension, inputs: Sequence[TensorReport]) -> int:
    """Return a sensible size: 1 for samples, 224 for sides of pictures, 128 for sequences, else by the place."""
    if dimension.batch:
        return _ONE
    place = dimension.places[0]
    if dimension.key != place.key:
        words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", dimension.key).lower()))
        for known, size in _WORDS:
            if words & known:
                return size
    shape = next(tensor.shape for tensor in inputs if tensor.name == place.input)
    if len(shape) == 4:
        last = shape[3]
        channels_last = isinstance(last, int) and last <= 4
        return _PICTURE if place.axis in ((1, 2) if channels_last else (2, 3)) else _ONE
    if len(shape) == 3 and place.axis == 1 and isinstance(shape[0], int) and shape[0] > 1:
        return _ONE  # the state of a recurrent layer: (layers, samples, width)
    return _SEQUENCE if len(shape) <= 3 else _ONE


def sizes_of_sample(
    inputs: Sequence[TensorReport], data: DataDescription, sample: Sequence[int] | None
) -> dict[str, int]:
    """Return the open sizes that a sample of the data shows, by key; {} where it is not the shape of an input.

    Args:
        inputs: Of the model.
        data: Says which input the sample is for, where there are several.
        sample: Shape of one preprocessed sample, without the batch.
    """
    split = data.test or data.train
    names = list(split.inputs) if split is not None and isinstance(split.inputs, dict) else []
    tensor = next((t for t in inputs if (t.name == names[0] if names else len(inputs) == 1)), None)
    if tensor is None or sample is None or len(tensor.shape) != len(sample) + 1:
        return {}
    wanted = tensor.shape[1:]
    if any(isinstance(size, int) and size != have for size, have in zip(wanted, sample, strict=True)):
        return {}
    found: dict[str, int] = {}
    for dimension in free_dimensions(inputs):
        axes = [place.axis for place in dimension.places if place.input == tensor.name and place.axis > 0]
        if axes and not dimension.batch:
            found[dimension.key] = sample[axes[0] - 1]
    return found


def places_text(dimension: FreeDimension) -> str:
    """Return where a size is used, e.g. "axis 2 of image, axis 1 of mask and 3 more"."""
    shown = [f"axis {place.axis} of {place.input}" for place in dimension.places[:2]]
    rest = len(dimension.places) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
