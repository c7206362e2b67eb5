"""One file per operator family; importing this package registers them all."""

from workbench.graph.channels.rules import (
    attention,
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
    "attention",
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
