"""One file per operator family; importing this package registers them all."""

from workbench.graph.channels.rules import (
    convolution,
    einsum,
    elementwise,
    integer,
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
    "einsum",
    "elementwise",
    "integer",
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
