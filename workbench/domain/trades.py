"""What one step more or less on a layer would change, where a step of a recipe chose among settings within a budget.

A method puts it into its details as `trades` and `trade_units`; command line and window show it in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Trade(_Value):
    """A neighbouring setting, and what it changes in loss and cost, both signed."""

    bits: int | str
    loss: float
    cost: float


class LayerTrade(_Value):
    """What a layer got, its loss, and the settings beside it; None where there is none."""

    bits: int | str
    loss: float
    dearer: Trade | None = None
    cheaper: Trade | None = None


class Units(_Value):
    """What costs and losses are counted in."""

    cost: str
    loss: str


class Trades(_Value):
    """By layer, in the order in which they were chosen."""

    layers: dict[str, LayerTrade] = Field(alias="trades")
    units: Units = Field(alias="trade_units")


def trades_of(details: Mapping[str, Any]) -> Trades | None:
    """Return the trades among a step's details, or None where it has none."""
    try:
        found = Trades.model_validate(dict(details))
    except ValidationError:
        # What a method puts there is its own affair; only trades can be shown as such.
        return None
    return found if found.layers else None


def setting_text(bits: int | str) -> str:
    """Return a setting as words: "4 bits", "float", "W4A8"."""
    if isinstance(bits, str):
        return bits
    return "float" if bits > 16 else f"{bits} bit{'' if bits == 1 else 's'}"


def trade_text(trade: Trade | None, units: Units, original_ms: float | None = None) -> str:
    """Return a neighbouring setting as words: "5 bits: loss -0.00031, +288 B"; "" for none.

    Args:
        trade: The setting.
        units: Of its figures.
        original_ms: Time of the original, of which costs may be shares; percent without it.
    """
    if trade is None:
        return ""
    if units.cost == "share of the time":
        cost = f"{trade.cost:+.1%} of the time" if original_ms is None else f"{trade.cost * original_ms:+.2g} ms"
    elif units.cost == "bytes":
        cost = f"{_rounded(trade.cost, ' ')}B"
    else:
        cost = f"{_rounded(trade.cost)} {units.cost}"
    return f"{setting_text(trade.bits)}: loss {trade.loss:+.2g}, {cost}"


def _rounded(cost: float, plain: str = "") -> str:
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(cost) >= limit:
            return f"{cost / limit:+.3g}{suffix}"
    return f"{cost:+.3g}{plain}"
