"""Names the layers that take one layer's place, so that the plan's later steps still find its settings.

A factorised layer "fc1" becomes "fc1~1", "fc1~2" … and, last, "fc1" itself, which computes what the layer computed.
"""

from __future__ import annotations

from workbench.domain.knobs import PRUNE_RATIO, RANK_RATIO

_MARK = "~"
# What is said of a layer's channels and rank is said of its own output, not of the values between its factors.
OWN_KNOBS = frozenset({PRUNE_RATIO.name, RANK_RATIO.name})


def derived_name(layer: str, number: int) -> str:
    """Return the name of the `number`-th (from 1) of the layers that come before the one that keeps `layer`'s name."""
    return f"{layer}{_MARK}{number}"


def original_name(layer: str) -> str | None:
    """Return the name of the layer that `layer` was derived from, or None if its name is no derived one."""
    before, mark, number = layer.rpartition(_MARK)
    return before if mark and before and number.isdecimal() else None
