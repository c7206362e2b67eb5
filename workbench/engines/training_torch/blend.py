"""Blends of two samples as further samples (Zhang et al., 2018, mixup).

A teacher knows the answer to a blend as well as to a sample, so that few samples go a longer way (Beyer et al., 2022,
"Knowledge distillation: A good teacher is patient and consistent").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Blend:
    """How the samples of one batch are blended.

    Attributes:
        partners: (N,) which sample each one is blended with.
        share: Of the sample itself, 0-1; the rest is its partner's.
    """

    partners: np.ndarray
    share: float

    @staticmethod
    def drawn(inputs: Mapping[str, Tensor], probability: float) -> Blend | None:
        """Return a blend by chance, from torch's generator; None for none, and for inputs that can't be blended.

        Args:
            inputs: (N, …) each; token ids and other whole numbers have no blend.
            probability: Of a blend.
        """
        if probability <= 0 or not all(tensor.is_floating_point() and tensor.dim() > 0 for tensor in inputs.values()):
            return None
        counts = {len(tensor) for tensor in inputs.values()}
        if len(counts) != 1:
            return None
        chance, share = torch.rand(2).tolist()
        partners = torch.randperm(counts.pop()).numpy()
        return Blend(partners, share) if chance < probability else None

    def of(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the blended inputs, in their memory format."""
        order = torch.from_numpy(self.partners)
        return {name: torch.lerp(each[order.to(each.device)], each, self.share) for name, each in inputs.items()}
