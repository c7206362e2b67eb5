"""Steps become methods, and what is wrong with a step is named."""

from __future__ import annotations

import pytest

from tests.fakes.methods import RoundWeights, Shake, registry
from workbench.domain.errors import PluginError, RecipeError
from workbench.domain.knobs import WEIGHT_BITS, Knob
from workbench.domain.recipe import Recipe, Step
from workbench.methods.registry import MethodRegistry


def test_a_step_becomes_its_method() -> None:
    method = registry().instantiate(Step(method="test.round", parameters={"reach": 0.5}))
    assert isinstance(method, RoundWeights)
    assert method.parameters.reach == 0.5


def test_disabled_steps_are_left_out_but_keep_their_place() -> None:
    steps = (Step(method="test.shake"), Step(method="nowhere", enabled=False), Step(method="test.round"))
    found = registry().instantiate_all(Recipe(steps=steps))
    assert [(index, method.id) for index, method in found] == [(0, "test.shake"), (2, "test.round")]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(method="prune.l3"), r"step 2: unknown method 'prune.l3'.*test.drop"),
        (
            Step(method="test.round", parameters={"reach": 7}),
            r"step 2 \(test.round\): reach: .*less than or equal to 1",
        ),
        (Step(method="test.round", parameters={"rich": 7}), r"step 2 \(test.round\): rich: there is no such key"),
    ],
)
def test_a_wrong_step_is_named(step: Step, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        registry().instantiate(step, 2)


def test_knobs_and_schemas_cover_all_methods() -> None:
    known = registry()
    assert {knob.name for knob in known.knobs} == {"weight_bits", "activation_bits", "prune_ratio", "fineness"}
    schema = next(schema for schema in known.schemas() if schema.id == "test.round")
    assert schema.plugin == "fakes"
    assert schema.knobs == ("weight_bits",)
    assert schema.json_schema["properties"]["reach"]["maximum"] == 1
    with pytest.raises(RecipeError, match=r"unknown knob 'bits'.*weight_bits"):
        known.knob("bits")


def test_clashing_plugins_are_refused() -> None:
    known = MethodRegistry()
    known.register(RoundWeights, "one")
    with pytest.raises(PluginError, match=r"two.*'test.round' exists already.*'one'"):
        known.register(RoundWeights, "two")

    class Other(Shake):
        id = "test.other"
        knobs = (Knob(WEIGHT_BITS.name, "W", "bits", untouched=32, choices=(1, 32)),)

    with pytest.raises(PluginError, match="declares the knob 'weight_bits' differently"):
        known.register(Other, "two")
