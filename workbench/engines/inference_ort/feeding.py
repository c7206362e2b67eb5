"""Fits a batch to the model's inputs: names, element types, ranks, fixed sizes and fixed batch size.

A model exported for batch 1 is fed sample by sample, so that evaluation and calibration work on any model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import ml_dtypes
import numpy as np

from workbench.domain.errors import DataError
from workbench.graph.model import ValueInfo

_ORT_TYPES = {"float": "float32", "double": "float64"}
_NUMPY_TYPES: dict[str, np.dtype] = {"bfloat16": np.dtype(ml_dtypes.bfloat16)}


def value_info(name: str, ort_type: str, ort_shape: Sequence[int | str | None] | None) -> ValueInfo:
    """Return a session's input or output ("tensor(float)", [None, 3, 'h', 'w']) as the graph's kind of value."""
    dtype = None
    if ort_type.startswith("tensor(") and ort_type.endswith(")"):
        inner = ort_type[len("tensor(") : -1]
        dtype = _ORT_TYPES.get(inner, inner)
    return ValueInfo(name, dtype, None if ort_shape is None else tuple(ort_shape))


def fit(inputs: Mapping[str, np.ndarray], expected: Sequence[ValueInfo], where: str | None) -> dict[str, np.ndarray]:
    """Return the arrays that the model takes, cast to its element types.

    Casts keep values: integers to floats and back only where nothing is lost; floats to narrower floats round, as
    the deployed model would, but must not overflow.

    Raises:
        DataError: an input is missing or unknown, or its type, rank or a fixed size does not fit.
    """
    unknown = [name for name in inputs if all(name != info.name for info in expected)]
    missing = [info.name for info in expected if info.name not in inputs]
    if unknown or missing:
        raise DataError(
            f"the data feeds {_names(inputs)}",
            where=where,
            expected="the model's inputs " + _names(info.name for info in expected),
            action="Map data keys to model inputs under `inputs:` in the data file.",
        )
    return {info.name: _fitted(np.asarray(inputs[info.name]), info, where) for info in expected}


def fixed_batch(expected: Sequence[ValueInfo]) -> int | None:
    """Return the batch size that the model insists on, or None where it takes any."""
    sizes = {info.shape[0] for info in expected if info.shape}
    fixed = {size for size in sizes if isinstance(size, int)}
    return fixed.pop() if len(sizes) == 1 and fixed else None


def chunks(inputs: Mapping[str, np.ndarray], size: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Yield (arrays with exactly `size` samples, how many of them count); the last one repeats its last sample."""
    total = len(next(iter(inputs.values())))
    for start in range(0, total, size):
        count = min(size, total - start)
        part = {name: array[start : start + size] for name, array in inputs.items()}
        if count < size:
            part = {
                name: np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)])
                for name, array in part.items()
            }
        yield part, count


def run_in_parts(
    arrays: Mapping[str, np.ndarray],
    size: int | None,
    run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Return the outputs of a batch: of one run, or of as many as a model with the fixed batch `size` takes."""
    if size is None or len(next(iter(arrays.values()), ())) == size:
        return run(arrays)
    parts: list[dict[str, np.ndarray]] = []
    for part, count in chunks(arrays, size):
        outputs = run(part)
        parts.append(
            {name: array[:count] if array.ndim and len(array) == size else array for name, array in outputs.items()}
        )
    return {
        name: np.concatenate([part[name] for part in parts]) if array.ndim else array
        for name, array in parts[0].items()
    }


def numpy_dtype(name: str) -> np.dtype:
    """Return the numpy type of a value's element type name."""
    if name == "string":
        return np.dtype(object)
    return _NUMPY_TYPES.get(name) or np.dtype(name)


def _fitted(array: np.ndarray, info: ValueInfo, where: str | None) -> np.ndarray:
    if info.shape is not None and (
        array.ndim != len(info.shape)
        or any(isinstance(want, int) and want != got for want, got in zip(info.shape[1:], array.shape[1:], strict=True))
    ):
        raise DataError(
            f"samples do not fit the model's input {info.name!r}",
            where=where,
            expected=f"shape {_shape(info.shape)}",
            found=_shape(array.shape),
            action="Check `preprocess` (resize, layout) in the data file.",
        )
    if info.dtype is None or info.dtype == "string":
        return array
    wanted = numpy_dtype(info.dtype)
    if array.dtype == wanted:
        return np.asarray(array, order="C")
    cast = _cast(array, wanted)
    if cast is None:
        raise DataError(
            f"values of type {array.dtype} can't be fed to the model's input {info.name!r} without loss",
            where=where,
            expected=str(wanted),
            action="Set `preprocess: {dtype: …}` in the data file.",
        )
    return cast


def _cast(array: np.ndarray, wanted: np.dtype) -> np.ndarray | None:
    kinds = _kind(array.dtype), _kind(wanted)
    if array.dtype == object or "other" in kinds:
        return None
    with np.errstate(all="ignore"):
        cast: np.ndarray = np.asarray(array.astype(wanted), order="C")
        if kinds == ("float", "float"):
            overflow = np.isinf(cast.astype(np.float64)) & np.isfinite(array.astype(np.float64))
            return None if overflow.any() else cast
        same = np.array_equal(cast.astype(np.float64), array.astype(np.float64), equal_nan=False)
    return cast if same else None


def _kind(dtype: np.dtype) -> str:
    if dtype.kind == "f" or dtype in _NUMPY_TYPES.values():
        return "float"
    return {"i": "int", "u": "int", "b": "bool"}.get(dtype.kind, "other")


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"


def _shape(shape: Sequence[int | str | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
