"""Layout changes and conversions are called such, and integer kernels are told from float ones."""

from __future__ import annotations

import pytest

from workbench.domain.measurements import OperatorTime
from workbench.domain.operator_kinds import kind_shares, operator_kind


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("Conv", "float"),
        ("FusedMatMul", "float"),
        ("QLinearConv", "integers"),
        ("QGemm", "integers"),
        ("MatMulIntegerToFloat", "integers"),
        ("DynamicQuantizeMatMul", "integers"),
        ("MatMulNBits", "packed"),
        ("ReorderOutput", "layout"),
        ("Transpose", "layout"),
        ("QuantizeLinear", "conversion"),
        ("DynamicQuantizeLinear", "conversion"),
        ("Cast", "conversion"),
    ],
)
def test_operators_are_told_apart(op: str, kind: str) -> None:
    assert operator_kind(op) == kind


def test_shares_are_of_all_operators_and_begin_with_the_largest() -> None:
    def took(op: str, milliseconds: float) -> OperatorTime:
        return OperatorTime(node=op, layer=None, op=op, median_ms=milliseconds, share=0.0)

    shares = kind_shares([took("Transpose", 0.1), took("QLinearConv", 0.5), took("QLinearAdd", 0.4)])
    assert list(shares.items()) == [("integers", pytest.approx(0.9)), ("layout", pytest.approx(0.1))]
    assert kind_shares([]) == {}
