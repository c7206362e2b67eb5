"""Samples of inner values as a training step takes them: rows by number, images with their channels last."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class SampleStore:
    """Values of many samples.

    Args:
        array: (samples · rows, …) float32, in memory or mapped from a file; a mapped one stays where it is.
        samples: How many.
        device: Where batches are wanted.
        channels_last: Lay out four axes with the second one last in memory.
    """

    def __init__(self, array: np.ndarray, samples: int, device: torch.device, channels_last: bool) -> None:
        mapped = isinstance(array, np.memmap)
        # torch does not take read-only arrays without a warning; nothing here writes.
        stored = torch.from_numpy(array if array.flags.writeable else array.copy())
        self._rows = len(array) // samples
        self._permuted = channels_last and array.ndim == 4 and not mapped
        self._late = channels_last and array.ndim == 4 and mapped
        if self._permuted:
            stored = stored.permute(0, 2, 3, 1).contiguous()
        self._stored = stored.reshape(samples, self._rows, *stored.shape[1:])
        if not mapped:
            self._stored = self._stored.to(device)
        self._device = device

    def rows(self, chosen: Tensor) -> Tensor:
        """Return the samples of the given numbers, (len(chosen) · rows, …)."""
        found = self._stored.index_select(0, chosen.to(self._stored.device)).flatten(0, 1).to(self._device)
        if self._permuted:
            return found.permute(0, 3, 1, 2)
        return found.contiguous(memory_format=torch.channels_last) if self._late else found
