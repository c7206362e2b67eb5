"""Keeps learned scales positive and their steps small, and weights from jumping between two levels.

Notation: scale s of N values with highest level Q; weight w, its level q = clip(round(w / s)), less the zero point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.api import TrainingForm

_LEAST_SHARE = 1e-3
_FARTHEST_STEP = 0.02


@dataclass(frozen=True)
class Damping:
    """How strongly weights are pulled to their levels at the end of a training (Nagel et al., 2022).

    Attributes:
        strength: λ of λ · (w - s·q)², reached along half a cosine.
        bits: Weights of more bits are left alone.
    """

    strength: float
    bits: int


class QuantizerHook:
    """Takes part in a training of a training form; implements TrainingHook.

    Slopes of scales are multiplied with 1 / sqrt(N · Q), so that scales move in proportion to weights (Esser et al.,
    2020). A clipping range that only clipped values move is pulled to zero (Choi et al., 2018).

    Args:
        form: What is trained.
        damping: Of weights.
        decay: Pull of clipping ranges to zero; 0 for scales that have slopes on both sides.
    """

    def __init__(self, form: TrainingForm, damping: Damping, decay: float = 0.0) -> None:
        self._form, self._damping, self._decay = form, damping, decay
        # Torch tensors, which are used through their own functions only.
        self._scales: list[tuple[Any, float, Any, bool]] = []
        self._before: list[Any] = []
        self._damped: list[tuple[Any, Any, tuple[int, ...], Any, Any]] = []
        self._steps = 1

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Find the scales among what is trained."""
        form, self._steps = self._form, max(epochs * steps_per_epoch, 1)
        of_values = {entry.scale: entry for entry in form.activations.values()}
        settings = [*of_values.values(), *form.weights.values()]
        self._scales = [
            (
                weights[entry.scale],
                1.0 / math.sqrt(max(entry.elements, 1) * max(entry.highest, 1)),
                weights[entry.scale].detach().abs().clone().mul_(_LEAST_SHARE),
                entry.scale in of_values,
            )
            for entry in settings
            if entry.scale in weights
        ]
        self._damped = []
        if self._damping.strength <= 0:
            return
        for name, entry in form.weights.items():
            given = form.given[name]
            if given.bits <= self._damping.bits and name in weights and entry.scale in weights:
                weight, shape = weights[name], given.spread().shape
                zeros = weight.new_tensor(given.zeros())
                lowest, highest = (level - zeros for level in given.levels)
                self._damped.append((weight, weights[entry.scale], shape, lowest, highest))

    def after_backward(self, step: int) -> None:
        """Scale the slopes of scales; add those of damping to the weights'."""
        self._before = [scale.detach().clone() for scale, *_ in self._scales]
        for scale, factor, _, of_value in self._scales:
            if scale.grad is not None:
                scale.grad.mul_(factor)
                if self._decay and of_value:
                    scale.grad.add_(scale.detach(), alpha=self._decay)
        strength = self._damping.strength * 0.5 * (1 - math.cos(math.pi * step / self._steps))
        for weight, scale, shape, lowest, highest in self._damped:
            if weight.grad is not None:
                step_size = scale.detach().reshape(shape)
                level = (weight.detach() / step_size).clamp_(lowest, highest)
                weight.grad.add_(level.sub_(level.round()).mul_(step_size), alpha=2 * strength)

    def after_step(self, step: int) -> None:
        """Keep scales above a thousandth of what they began with, and within two percent of the step before.

        A first step on a badly scaled loss would throw a scale far from anything that rounds well, and no slope leads
        back from where all values fall on one level.
        """
        for (scale, _, least, _), before in zip(self._scales, self._before, strict=True):
            scale.clamp_(before * (1 - _FARTHEST_STEP), before * (1 + _FARTHEST_STEP))
            scale.copy_(scale.maximum(least))

    def after_epoch(self, epoch: int) -> None:
        """Leave the end of an epoch as it is."""

    def state(self) -> dict[str, Any]:
        """Return where scales may not fall below, which is a share of what they began with."""
        return {"least": [least for _, _, least, _ in self._scales]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the bounds of the training that was stored."""
        for (_, _, least, _), stored in zip(self._scales, state["least"], strict=True):
            least.copy_(stored)
