"""Layers that take another's place are found under names from which the plan's settings follow."""

from __future__ import annotations

from workbench.domain.derived_layers import derived_name, original_name
from workbench.domain.knobs import FIRST_PARTY_KNOBS, PRUNE_RATIO, RANK_RATIO, WEIGHT_BITS
from workbench.domain.plan import LayerSettings, Origin, Plan, resolve

NAMES = ("prune_ratio", "weight_bits", "rank_ratio")


def settings() -> LayerSettings:
    plan = Plan(layers={"fc1": {"prune_ratio": 0.5, "weight_bits": 8, "rank_ratio": 0.25}})
    return resolve(plan, {"fc1": NAMES, "fc2": NAMES}, FIRST_PARTY_KNOBS)


def test_names_lead_back() -> None:
    assert original_name(derived_name("fc1", 2)) == "fc1"
    assert original_name(derived_name("a~1", 1)) == "a~1"
    assert [original_name(name) for name in ("fc1", "fc~x", "~1", "a~")] == [None] * 4


def test_bits_pass_to_derived_layers_channels_and_rank_do_not() -> None:
    found = settings()
    name = derived_name("fc1", 1)
    assert name in found
    assert dict(found[name]) == {"weight_bits": 8}
    assert found.number(name, WEIGHT_BITS) == 8
    assert found.origin(name, WEIGHT_BITS) is Origin.LINE
    assert (found.number(name, PRUNE_RATIO), found.number(name, RANK_RATIO)) == (0.0, 1.0)
    assert found.origin(name, PRUNE_RATIO) is Origin.DEFAULT


def test_a_layer_of_that_name_has_its_own_settings() -> None:
    found = resolve(Plan(default={"weight_bits": 4}), {"fc1": NAMES, "fc1~1": NAMES}, FIRST_PARTY_KNOBS)
    assert found.number("fc1~1", WEIGHT_BITS) == 4
    assert "fc2~1" not in found
    assert list(found) == ["fc1", "fc1~1"]
