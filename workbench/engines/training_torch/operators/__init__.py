"""Operators by family; importing this package registers them all."""

from workbench.engines.training_torch.operators import (
    binary,
    control_flow,
    convolution,
    elementwise,
    fake_quantization,
    indexing,
    linear,
    microsoft,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    rounding,
    shapes,
)

__all__ = [
    "binary",
    "control_flow",
    "convolution",
    "elementwise",
    "fake_quantization",
    "indexing",
    "linear",
    "microsoft",
    "normalization",
    "pooling",
    "quantization",
    "recurrent",
    "reduction",
    "resize",
    "rounding",
    "shapes",
]
