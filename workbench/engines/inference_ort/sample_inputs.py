"""Makes up inputs that a model accepts, for measuring time where the values do not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.domain.errors import BadInputError, OpenDimensionsError
from workbench.engines.inference_ort.drawn_inputs import draw
from workbench.engines.inference_ort.feeding import numpy_dtype
from workbench.graph.model import ValueInfo
from workbench.graph.shapes import dimension_keys


def batch_of(inputs: Sequence[ValueInfo], batch: int, where: str | None) -> int:
    """Return the batch size that the model runs with: its own where it is fixed, else `batch`.

    Raises:
        BadInputError: a batch other than 1 was asked for and the model has another fixed one.
    """
    fixed = [info.shape[0] for info in inputs if info.shape and isinstance(info.shape[0], int)]
    if not fixed or len(fixed) < sum(bool(info.shape) for info in inputs) or batch in fixed:
        return batch
    if batch != 1:
        raise BadInputError(
            f"the model has a fixed batch of {fixed[0]}",
            where=where,
            found=f"batch {batch}",
            action=f"Measure with batch {fixed[0]}, or export the model with a dynamic batch.",
        )
    return int(fixed[0])


def common_batch(models: Sequence[tuple[str, Sequence[ValueInfo]]], batch: int) -> int:
    """Return the batch size that all models, given as (name, inputs), run with; see `batch_of`.

    Raises:
        BadInputError: their fixed batches differ, or are not the one that was asked for.
    """
    sizes = [batch_of(inputs, batch, name) for name, inputs in models]
    if len(set(sizes)) > 1:
        found = ", ".join(f"{name} {size}" for (name, _), size in zip(models, sizes, strict=True))
        raise BadInputError(
            f"the models have different fixed batches: {found}",
            action="Export them with a dynamic batch, or measure each by itself.",
        )
    return sizes[0]


def random_inputs(
    inputs: Sequence[ValueInfo],
    *,
    batch: int = 1,
    dimensions: Mapping[str, int] | None = None,
    seed: int = 0,
    where: str | None = None,
) -> dict[str, np.ndarray]:
    """Return one array per input, as `drawn_inputs.draw` makes them; see `input_shapes`.

    Args:
        inputs: The model's inputs.
        batch: Size of a dynamic first dimension.
        dimensions: Sizes of other dynamic dimensions by name; an unnamed one is "input:axis".
        seed: Of the values.
        where: Names the model in messages.

    Raises:
        OpenDimensionsError: a dynamic dimension has no value; all are named.
        BadInputError: an input is not a tensor of numbers.
    """
    return draw(input_shapes(inputs, batch=batch, dimensions=dimensions, where=where), seed)


def input_shapes(
    inputs: Sequence[ValueInfo],
    *,
    batch: int = 1,
    dimensions: Mapping[str, int] | None = None,
    where: str | None = None,
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Return element type and shape of every input, all sizes filled in; otherwise as `random_inputs`."""
    known = dict(dimensions or {})
    batch_names = {dimension_keys(info, 0)[0] for info in inputs if info.shape and not isinstance(info.shape[0], int)}
    missing: list[str] = []
    shapes: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    for info in inputs:
        if info.dtype is None or info.dtype == "string" or info.shape is None:
            raise BadInputError(
                f"no inputs can be made up for {info.name!r}",
                where=where,
                expected="a tensor of numbers with a known rank",
                found=f"type {info.dtype or 'unknown'}",
            )
        shape: list[int] = []
        for axis, size in enumerate(info.shape):
            keys = dimension_keys(info, axis)
            given = next((known[key] for key in keys if key in known), None)
            if isinstance(size, int):
                shape.append(size)
            elif given is not None:
                shape.append(given)
            elif axis == 0 or keys[0] in batch_names:
                shape.append(batch)
            else:
                missing.append(keys[0])
        shapes[info.name] = numpy_dtype(info.dtype), tuple(shape)
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise OpenDimensionsError(
            f"the model has dynamic dimensions without a value: {names}",
            where=where,
            action=f"Give each a size, for example --dimension {missing[0]}=224.",
        )
    return shapes
