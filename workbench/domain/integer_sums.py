"""What to say of 8-bit integers on processors that add their products in pairs of 16 bits, where sums saturate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def saturation(layers: Sequence[str], ways_out: Sequence[Mapping[str, Any]] = (), where: str = "") -> str:
    """Return a warning that layers can saturate on this processor.

    Args:
        layers: Their names, one at least.
        ways_out: Parameters with which they can't, the best first.
        where: The step that has those parameters.
    """
    named = ", ".join(layers[:3]) + (" …" if len(layers) > 3 else "")
    text = (
        f"this processor adds pairs of 8-bit products in 16 bits, which {len(layers)} layer(s) can exceed ({named}): "
        "results saturate"
    )
    text = f"{where}: {text}" if where else text[:1].upper() + text[1:]
    return text + (f". Set {' or '.join(_words(way) for way in ways_out)}." if ways_out else ".")


def _words(parameters: Mapping[str, Any]) -> str:
    return " and ".join(name if value is True else f"{name} to {value}" for name, value in parameters.items())
