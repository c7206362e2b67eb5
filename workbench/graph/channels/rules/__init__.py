"""One file per operator family; importing this package registers them all."""

from workbench.graph.channels.rules import (
    convolution,
    elementwise,
    matrix,
    normalization,
    pooling,
    quantized,
    recurrent,
    reducing,
    reshaping,
    selecting,
    shaping,
)

__all__ = [
    "convolution",
    "elementwise",
    "matrix",
    "normalization",
    "pooling",
    "quantized",
    "recurrent",
    "reducing",
    "reshaping",
    "selecting",
    "shaping",
]
