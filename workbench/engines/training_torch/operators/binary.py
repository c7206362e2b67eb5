"""Signs of weights with the magnitude of their channel, with slopes that lead through the jump.

Notation: weight w, v = w - mean(w) where balanced and w otherwise, s = mean |v| of a channel; forward s · sign(v),
where the sign of zero is positive.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, axis_of, operator
from workbench.graph.passes.trainable_qdq import BINARIZE, DOMAIN
from workbench.graph.quantization import LEAST_BINARY_SCALE


class Sign(torch.autograd.Function):
    """The sign of v, with a slope that a sharpness t > 0 bends.

    The slope is 1 with t = 0 (straight through) and k t (1 - tanh(t v)^2) with k = max(1 / t, 1) otherwise (IR-Net,
    Qin et al., 2020): wide while t is small, so that all weights learn, and close to the jump's own in the end.
    """

    @staticmethod
    def forward(ctx: Any, v: Tensor, sharpness: Tensor) -> Tensor:
        """Return 1 or -1."""
        ctx.save_for_backward(v, sharpness)
        return torch.where(v >= 0, 1.0, -1.0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of v; the sharpness follows a schedule instead."""
        v, sharpness = ctx.saved_tensors
        slope = 1 - torch.tanh(v * sharpness).square()
        return gradients[0] * slope * torch.clamp(sharpness, min=1.0), None


@operator(BINARIZE, domain=DOMAIN, fixed=(1,))
def _binarize(context: Context) -> Function:
    axis, balanced = context.attribute("axis"), bool(context.attribute("balanced", 0))

    def run(weight: Tensor, sharpness: Tensor) -> Tensor:
        own = None if axis is None else axis_of(axis, weight.dim())
        others = [place for place in range(weight.dim()) if place != own]
        v = weight - weight.mean(others, keepdim=True) if balanced else weight
        size = v.abs().mean(others, keepdim=True).clamp(min=LEAST_BINARY_SCALE)
        signs: Tensor = Sign.apply(v / size.detach(), sharpness)  # type: ignore[no-untyped-call]
        return size * signs

    return run
