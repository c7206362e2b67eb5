"""What an operator is there for: which compute in integers, and which a runtime adds of its own for layout and type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from workbench.domain.measurements import OperatorTime

OperatorKind = Literal["float", "integers", "packed", "layout", "conversion"]

KIND_TITLES: Final[dict[OperatorKind, str]] = {
    "float": "float kernels",
    "integers": "integer kernels",
    "packed": "kernels of packed weights",
    "layout": "changes of layout",
    "conversion": "conversions between types",
}
_LAYOUT: Final = frozenset({"ReorderInput", "ReorderOutput", "Transpose"})
_QUANTIZERS: Final = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_CONVERSIONS: Final = _QUANTIZERS | {"Cast"}
_PACKED: Final = frozenset({"MatMulNBits", "GatherBlockQuantized"})
_INTEGERS: Final = frozenset({"QGemm", "QAttention"})
_INTEGER_BEGINNINGS: Final = ("QLinear", "DynamicQuantize", "ConvInteger", "MatMulInteger")


def operator_kind(op: str) -> OperatorKind:
    """Return the kind of an operator of the deployed graph, by the name that ONNX Runtime has for it."""
    if op in _LAYOUT:
        return "layout"
    if op in _CONVERSIONS:
        return "conversion"
    if op in _PACKED:
        return "packed"
    return "integers" if op in _INTEGERS or op.startswith(_INTEGER_BEGINNINGS) else "float"


def computes_in_integers(op: str) -> bool:
    """Whether an operator quantizes, dequantizes, or takes weights or data in integers."""
    return op in _QUANTIZERS or operator_kind(op) in ("integers", "packed")


def kind_shares(operators: Iterable[OperatorTime]) -> dict[OperatorKind, float]:
    """Return each kind's share of the operators' time, the largest first; kinds that are not there are left out."""
    found: dict[OperatorKind, float] = {}
    for operator in operators:
        kind = operator_kind(operator.op)
        found[kind] = found.get(kind, 0.0) + operator.median_ms
    total = sum(found.values())
    if total <= 0:
        return {}
    return {kind: found[kind] / total for kind in sorted(found, key=lambda kind: -found[kind])}
