"""Signs of weights with the magnitude of their channel, with slopes that lead through the jump.

Notation: weight w, v = w - mean(w) where balanced and w otherwise; forward s · q with odd levels q of M branches and
the scale s of a channel that suits them best (`workbench.graph.binary`): with one branch mean |v| · sign(v), where the
sign of zero is positive.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, axis_of, operator
from workbench.graph.binary import FIRST_SHARE, LEAST_SCALE, ROUNDS, highest_odd
from workbench.graph.passes.trainable_qdq import BINARIZE, DOMAIN


class OddLevel(torch.autograd.Function):
    """The nearest odd level of u, with a slope that a sharpness t > 0 bends at every jump.

    With one branch this is the sign. The slope is 1 with t = 0 (straight through) and k t (1 - tanh(t d)^2) with
    k = max(1 / t, 1) otherwise, d the way to the next jump (IR-Net, Qin et al., 2020): wide while t is small, so that
    all weights learn, and close to the jumps' own in the end.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, sharpness: Tensor, highest: int) -> Tensor:
        """Return odd numbers from -highest to highest."""
        ctx.save_for_backward(u, sharpness)
        ctx.highest = highest
        return odd(u, highest)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of u; the sharpness follows a schedule instead."""
        u, sharpness = ctx.saved_tensors
        last = ctx.highest - 1
        way = u - (u / 2).round().mul(2).clamp(-last, last)
        slope = 1 - torch.tanh(way * sharpness).square()
        return gradients[0] * slope * torch.clamp(sharpness, min=1.0), None, None


def odd(u: Tensor, highest: int) -> Tensor:
    """Return the nearest odd number from -highest to highest; 1 for 0."""
    return (u / 2).floor().mul(2).add(1).clamp(-highest, highest)


@operator(BINARIZE, domain=DOMAIN, fixed=(1,))
def _binarize(context: Context) -> Function:
    axis, balanced = context.attribute("axis"), bool(context.attribute("balanced", 0))
    branches = int(context.attribute("branches", 1))
    highest = highest_odd(branches)

    def run(weight: Tensor, sharpness: Tensor) -> Tensor:
        own = None if axis is None else axis_of(axis, weight.dim())
        others = [place for place in range(weight.dim()) if place != own]
        v = weight - weight.mean(others, keepdim=True) if balanced else weight

        def best(levels: Tensor) -> Tensor:
            return ((v * levels).mean(others, keepdim=True) / levels.square().mean(others, keepdim=True)).clamp(
                min=LEAST_SCALE
            )

        with torch.no_grad():
            size = v.abs().mean(others, keepdim=True).mul(FIRST_SHARE[branches]).clamp(min=LEAST_SCALE)
            for _ in range(ROUNDS - 1 if branches > 1 else 0):
                size = best(odd(v / size, highest))
            levels = odd(v / size, highest)
        # The slope of the scale is that of the mean square's minimum with these levels.
        scale = best(levels)
        found: Tensor = OddLevel.apply(v / scale.detach(), sharpness, highest)  # type: ignore[no-untyped-call]
        return scale * found

    return run
