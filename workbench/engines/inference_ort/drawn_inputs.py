"""Draws inputs of given shapes where values do not matter, the same ones on this computer and on devices.

A device gets this very file: it needs nothing but numpy, and Python 3.9.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def draw(shapes: Mapping[str, tuple[np.dtype, tuple[int, ...]]], seed: int) -> dict[str, np.ndarray]:
    """Return one array per input: floats are uniform in 0-1, integers and booleans 0 or 1."""
    rng = np.random.default_rng(seed)
    return {name: _drawn(rng, dtype, shape) for name, (dtype, shape) in shapes.items()}


def _drawn(rng: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.kind in "iub":
        return rng.integers(0, 2, size=shape).astype(dtype)
    return rng.random(size=shape, dtype=np.float32).astype(dtype)
