"""Random masks at the price of a copy: drawn once, then read from a random place for every use.

Drawing a fresh mask for every activation of every step would take longer than the convolutions of a small network.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROOM = 1 << 20


class MaskPool:
    """Mixes a rounded value with the exact one (QDrop, Wei et al., 2022).

    Args:
        share: Probability that an element stays exact.
        generator: Draws masks and places.
        device: Of the values.
    """

    def __init__(self, share: float, generator: torch.Generator, device: torch.device) -> None:
        self._share, self._generator, self._device = share, generator, device
        self._pool = torch.empty(0, dtype=torch.bool, device=device)

    def mixed(self, rounded: Tensor, exact: Tensor) -> Tensor:
        """Return the exact value where the mask says so, else the rounded one."""
        if self._pool.numel() < rounded.numel() + _ROOM:
            drawn = torch.rand(rounded.numel() + _ROOM, generator=self._generator) < self._share
            self._pool = drawn.to(self._device)
        start = int(torch.randint(self._pool.numel() - rounded.numel(), (1,), generator=self._generator))
        # In the memory order of the value, whatever that is.
        mask = self._pool.as_strided(rounded.shape, torch.empty_like(rounded).stride(), start)
        return torch.where(mask, exact, rounded)
