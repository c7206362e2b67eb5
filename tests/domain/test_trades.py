"""What one step more or less on a layer would change is read from a step's details and said in words."""

from __future__ import annotations

from workbench.cli.formats import trades
from workbench.domain.trades import setting_text, trade_text, trades_of

DETAILS = {
    "trades": {
        "conv1": {
            "bits": 4,
            "loss": 0.002,
            "dearer": {"bits": 5, "loss": -0.0015, "cost": 288.0},
            "cheaper": {"bits": 3, "loss": 0.02, "cost": -1152.0},
        },
        "fc": {"bits": 8, "loss": 0.0, "cheaper": {"bits": 7, "loss": 0.0001, "cost": -80.0}},
    },
    "trade_units": {"cost": "bytes", "loss": "share of the outputs' power"},
    "ranges": {},
}


def test_trades_are_told_layer_by_layer() -> None:
    found = trades_of(DETAILS)
    assert found is not None
    text = trades(found).splitlines()
    assert text[2].split("  ")[0] == "conv1"
    assert "5 bits: loss -0.0015, +288 B" in text[2]
    assert "3 bits: loss +0.02, -1.15 kB" in text[2]
    assert "7 bits: loss +0.0001, -80 B" in text[3]
    assert text[-1] == "loss: share of the outputs' power"


def test_other_units_and_settings_have_their_own_words() -> None:
    made = trades_of(DETAILS | {"trade_units": {"cost": "share of the time", "loss": "x"}})
    assert made is not None
    entry = made.layers["conv1"]
    other = entry.dearer.model_copy(update={"bits": 32, "cost": 0.0123})  # type: ignore[union-attr]
    assert trade_text(other, made.units) == "float: loss -0.0015, +1.2% of the time"
    assert trade_text(other, made.units, 2.0) == "float: loss -0.0015, +0.025 ms"
    counted = made.units.model_copy(update={"cost": "bit operations"})
    assert trade_text(other.model_copy(update={"bits": "W4A8", "cost": 2.5e6}), counted).endswith(
        "+2.5 M bit operations"
    )
    assert trade_text(None, counted) == ""
    assert [setting_text(bits) for bits in (1, 3, 32, "W2A4")] == ["1 bit", "3 bits", "float", "W2A4"]


def test_details_without_trades_are_no_error() -> None:
    assert trades_of({}) is None
    assert trades_of({"trades": {}, "trade_units": {"cost": "bytes", "loss": ""}}) is None
    assert trades_of({"trades": "of a stranger"}) is None
