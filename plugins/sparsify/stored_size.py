"""Says what zeros are worth in bytes: a sparse weight is as large as a dense one until somebody stores it otherwise."""

from __future__ import annotations

import zlib

import numpy as np


def stored_sizes(weight: np.ndarray) -> dict[str, float | int]:
    """Return the measured share of zeros of a weight and its size in three forms.

    "bytes" is what the file takes as it is; "bitmask_bytes" one bit a weight and the values that are not zero, which
    is counted; "deflate_bytes" what zlib at level 6 makes of the file's bytes, which is done.
    """
    values = int(np.count_nonzero(weight))
    return {
        "weights": weight.size,
        "zeros": weight.size - values,
        "zero_share": round(1 - values / max(weight.size, 1), 6),
        "bytes": weight.nbytes,
        "bitmask_bytes": -(-weight.size // 8) + values * weight.itemsize,
        "deflate_bytes": len(zlib.compress(np.ascontiguousarray(weight).tobytes(), 6)),
    }
