"""Steps become methods, and what is wrong with a step is named."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from tests.fakes.methods import RoundWeights, Shake, registry
from workbench.domain.errors import PluginError, RecipeError
from workbench.domain.knobs import WEIGHT_BITS, Knob
from workbench.domain.recipe import Recipe, Step
from workbench.methods.method import Parameters
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


def test_what_can_not_be_described_or_made_is_its_plugins_fault_alone() -> None:
    class Silent(Shake):
        id = "test.silent"
        summary = 3  # type: ignore[assignment]

    class Callback(Shake):
        id = "test.callback"

        class Parameters(Parameters):
            """A parameter that no form can show."""

            when: Callable[[], bool] = bool

    class Endless(Shake):
        id = "test.endless"
        knobs = (Knob("reach", "Reach", "px", untouched=0.0, low=0.0, high=math.inf),)

    known = registry()
    before = known.schemas()
    for method in (Silent, Callback, Endless):
        with pytest.raises(PluginError, match=rf"plugin 'odd': method '{method.id}' can't be described"):
            known.register(method, "odd")
        assert method.id not in known
    assert known.schemas() == before

    class Fragile(Shake):
        id = "test.fragile"

        def __init__(self, parameters: BaseModel) -> None:
            raise OSError("no licence")

    known.register(Fragile, "odd")
    with pytest.raises(PluginError, match=r"plugin 'odd', step 2: method 'test.fragile' .*OSError: no licence"):
        known.instantiate(Step(method="test.fragile"), 2)
