"""Pastes pictures into each other, so that a student sees more of what its teacher knows than its pictures show.

With few pictures a student learns their answers, which the teacher, who was trained on them, knows for sure. What the
teacher says of a patchwork it never saw tells how it sees (Yun et al., 2019, CutMix; as a question to a teacher: Beyer
et al., 2022). No label is right for such a picture: it is the teacher's alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from workbench.engines.contracts import TrainingSettings
from workbench.graph.model import ModelGraph

_COLOURS = 4


class Mixing:
    """Decides which batches are mixed, and mixes them.

    Args:
        share: Of the batches.
        seed: The same seed and epoch give the same rectangles.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed
        self._rng = np.random.default_rng([seed, 0])

    def begin(self, epoch: int) -> None:
        """Begin an epoch; each has its own randomness, so that one that goes on from a checkpoint is the same."""
        self._rng = np.random.default_rng([self._seed, epoch])

    def mixed(self, pictures: Tensor) -> Tensor | None:
        """Return the batch (N, C, H, W) or (N, H, W, C) with rectangles of other pictures, or None to leave it.

        The area is evenly distributed, and so is the middle; what would stand out is cut off.
        """
        if len(pictures) < 2 or self._rng.random() >= self._share:
            return None
        rows = _rows(tuple(pictures.shape))
        count, sizes = len(pictures), pictures.shape[rows : rows + 2]
        middles, sides = self._rng.random((2, count, 1)), np.sqrt(self._rng.random((count, 1)))
        inside = [
            np.abs(np.arange(size) + 0.5 - middle * size) < 0.5 * sides * size
            for size, middle in zip(sizes, middles, strict=True)
        ]
        pasted = torch.from_numpy(inside[0][:, :, None] & inside[1][:, None, :]).to(pictures.device)
        return torch.where(pasted.unsqueeze(1 if rows == 2 else 3), pictures.roll(1, 0), pictures)

    @staticmethod
    def of(settings: TrainingSettings, graph: ModelGraph, taught: bool) -> tuple[Mixing | None, str]:
        """Return the mixing that settings ask for, or None where there can be none, and what is to be noted of it.

        Args:
            settings: Of the training.
            graph: What is trained.
            taught: Whether there is a teacher whose outputs count.
        """
        if not settings.mixing:
            return None, ""
        percent = round(100 * settings.mixing)
        shapes = [info.shape for info in graph.inputs]
        if not taught or settings.distillation_weight <= 0:
            return None, "pictures were not mixed: only the original's outputs could label them, which are not used"
        if len(shapes) != 1 or shapes[0] is None or len(shapes[0]) != 4 or graph.inputs[0].dtype != "float32":
            return None, "nothing was mixed: the model does not take one picture (N, C, H, W) in float32"
        return Mixing(settings.mixing, settings.seed), f"pasted pictures into each other in {percent} % of the batches"


def _rows(shape: tuple[int, ...]) -> int:
    """Return the axis of the rows: colours are few, wherever they stand."""
    return 1 if shape[3] <= _COLOURS < shape[1] else 2
