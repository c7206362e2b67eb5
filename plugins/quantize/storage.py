"""Asks the runtime at hand which narrow element types it can store weights in, by trying them."""

from __future__ import annotations

import numpy as np

from workbench.api import InferenceEngine, JobError, ModelFileError, narrow_trial

NARROW_BITS = (4, 2)


def usable_bits(inference: InferenceEngine) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the bits, of 4 and 2, that the runtime unpacks rightly when it loads a weight, and notes on the others."""
    usable, notes = [], []
    for bits in NARROW_BITS:
        trial = narrow_trial(bits)
        try:
            result = inference.open(trial, threads=1).run({"x": np.zeros(3, np.float32)})["y"]
        except (JobError, ModelFileError) as error:
            notes.append(f"weights are not stored in {bits} bits, which the runtime here can't read: {error.message}")
            continue
        if result.tolist() == [0.0, 1.0, -1.0]:
            usable.append(bits)
        else:
            notes.append(f"weights are not stored in {bits} bits, which the runtime here reads wrongly")
    return tuple(usable), tuple(notes)
