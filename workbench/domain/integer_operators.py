"""Tells by its operators whether a model is quantized already, in the same way for plugins, command line and window."""

from __future__ import annotations

_OPERATORS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulNBits"})
_PREFIXES = ("QLinear", "ConvInteger", "MatMulInteger")


def computes_in_integers(op: str) -> bool:
    """Whether an operator quantizes, dequantizes, or takes weights or data in integers."""
    return op in _OPERATORS or op.startswith(_PREFIXES)
