"""Rounding of activations while roundings of weights are learned: some elements may stay exact.

Notation as in `fake_quantization`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.fake_quantization import fake_quantize
from workbench.engines.training_torch.operators.registry import Context, Function, operator

_ALL_LEVELS_OF_A_BYTE = 255


@operator("RoundToScale", domain="workbench", fixed=(1,))
def _round_to_scale(context: Context) -> Function:
    zero, lowest, highest = (int(context.attribute(name)) for name in ("zero_point", "lowest", "highest"))
    mode, coarse = context.mode, highest - lowest < _ALL_LEVELS_OF_A_BYTE
    origin = torch.tensor(float(zero))

    def run(x: Tensor, scale: Tensor) -> Tensor:
        rounded = fake_quantize(x, scale, origin, lowest, highest)
        return rounded if mode.mixed is None or not coarse else mode.mixed(rounded, x)

    return run
