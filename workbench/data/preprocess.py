"""Turns raw samples into what the model takes, because a wrong scale or layout is the commonest cause of bad accuracy.

Notation: a raw batch is (N, …) in the layout of the files; the prepared one is in the model's layout and element type.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from workbench.domain.data_description import Preprocess
from workbench.domain.errors import DataError

_LIKELY_CHANNELS: Final = (1, 2, 3, 4)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether a raw batch of this shape, (N, H, W) or rank 4, is taken as pictures."""
    return len(shape) in (3, 4)


def height_axis(shape: tuple[int, ...], preprocess: Preprocess) -> int:
    """Return the axis of the rows in a raw batch of pictures; the columns follow it."""
    if preprocess.layout == "NCHW->NHWC":
        return 2
    if preprocess.layout in ("NHWC->NCHW", "HW->NCHW") or len(shape) == 3:
        return 1
    return 2 if shape[1] in _LIKELY_CHANNELS and shape[-1] not in _LIKELY_CHANNELS[:3] else 1


def prepare(raw: np.ndarray, preprocess: Preprocess, dtype: str | None, *, image: bool, where: str) -> np.ndarray:
    """Apply resize, scale, mean and std, layout and element type, in this order.

    Args:
        raw: Batch as the reader gives it (N, …).
        preprocess: The description's entry.
        dtype: Element type of the model's input, or None while it is not known.
        image: Whether resize, scale, mean, std and layout apply to this input.
        where: Names the input in messages.

    Raises:
        DataError: mean, std or layout don't fit the shape, or numbers with fractions would have to become integers.
    """
    array = raw
    if image and preprocess.resize is not None:
        array = _resized(array, preprocess.resize, height_axis(array.shape, preprocess))
    arithmetic = image and (preprocess.scale, preprocess.mean, preprocess.std) != (None, None, None)
    channel = _channel_axis(array.shape, preprocess) if arithmetic else None
    if image:
        array, channel = _laid_out(array, preprocess, channel, where)
    if arithmetic:
        array = _normalised(array, preprocess, channel, where)
    return _typed(array, preprocess.dtype, dtype, where)


def _resized(array: np.ndarray, size: tuple[int, int], rows: int) -> np.ndarray:
    """Return the pictures at (height, width) `size`, bilinear, channel by channel; integers stay integers."""
    if array.shape[rows : rows + 2] == size:
        return array
    planes = np.moveaxis(array, (rows, rows + 1), (-2, -1))
    flat = planes.reshape(-1, *planes.shape[-2:]).astype(np.float32)
    scaled = np.stack(
        [np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR)) for plane in flat]
    ).reshape(*planes.shape[:-2], *size)
    if array.dtype.kind in "ui":
        limits = np.iinfo(array.dtype)
        scaled = np.clip(np.rint(scaled), limits.min, limits.max).astype(array.dtype)
    return np.moveaxis(scaled, (-2, -1), (rows, rows + 1))


def _channel_axis(shape: tuple[int, ...], preprocess: Preprocess) -> int | None:
    """Return the axis that mean and std run over in the raw layout; None if they are one number."""
    count = max(len(preprocess.mean or ()), len(preprocess.std or ()))
    if count <= 1:
        return None
    if preprocess.layout == "NHWC->NCHW":
        return len(shape) - 1
    if preprocess.layout in ("NCHW->NHWC", "HW->NCHW"):
        return 1
    return 1 if shape[1] == count or shape[-1] != count else len(shape) - 1


def _laid_out(
    array: np.ndarray, preprocess: Preprocess, channel: int | None, where: str
) -> tuple[np.ndarray, int | None]:
    """Return the batch as a view in the model's layout, and where its channel axis went."""
    layout = preprocess.layout
    if layout is None or layout == "none":
        return array, channel
    rank = 3 if layout == "HW->NCHW" else 4
    if array.ndim != rank:
        raise DataError(
            f"layout {layout} does not fit samples of shape {array.shape[1:]}",
            where=where,
            expected=f"samples with {rank - 1} dimensions",
            action="Correct preprocess.layout.",
        )
    if layout == "HW->NCHW":
        return array[:, None], channel
    order = (0, 3, 1, 2) if layout == "NHWC->NCHW" else (0, 2, 3, 1)
    return array.transpose(order), None if channel is None else order.index(channel)


def _normalised(array: np.ndarray, preprocess: Preprocess, channel: int | None, where: str) -> np.ndarray:
    """Return (x / scale - mean) / std as float32, as one multiplication and one addition a channel."""
    scale = preprocess.scale or 1.0
    mean = np.asarray(preprocess.mean or (0.0,), np.float64)
    std = np.asarray(preprocess.std or (1.0,), np.float64)
    channels = 1 if channel is None else array.shape[channel]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise DataError(
                f"preprocess.{name} has {len(values)} numbers",
                where=where,
                expected=f"one, or one for each of the {channels} channels",
                found=f"samples of shape {array.shape[1:]}",
            )
    if np.any(std == 0):
        raise DataError("preprocess.std holds a zero", where=where, expected="numbers above 0")
    factor = np.broadcast_to((1.0 / (scale * std)).astype(np.float32), (channels,))
    offset = np.broadcast_to((-mean / std).astype(np.float32), (channels,))
    out = np.empty(array.shape, np.float32)
    for index in range(channels):
        part = (slice(None),) * (channel or 0) + (index,) if channel is not None else ...
        np.multiply(array[part], factor[index], out=out[part], casting="unsafe")
        if offset[index]:
            out[part] += offset[index]
    return out


def _typed(array: np.ndarray, wanted: str | None, model: str | None, where: str) -> np.ndarray:
    target = wanted or model
    if target is None or array.dtype == np.dtype(target):
        return np.ascontiguousarray(array)
    if wanted is None and array.dtype.kind == "f" and np.dtype(target).kind in "iub":
        raise DataError(
            f"samples are {array.dtype}, the model takes {target}",
            where=where,
            action=f"Take the scaling out of preprocess, or add preprocess.dtype: {target}.",
        )
    return np.ascontiguousarray(array.astype(target))
