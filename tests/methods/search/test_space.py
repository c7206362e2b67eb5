"""What a study chooses from: couplings, pins, ties, counts at which kernels are fast."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.api import ModelGraph
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError
from workbench.domain.recipe import Step
from workbench.domain.study import Study
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.forming import form_space
from workbench.methods.search.space import Space
from workbench.methods.search.template import Template, completed
from workbench.worker.installed_methods import installed_methods

STEPS = [
    {"method": "prune.depth"},
    {"method": "prune.l1"},
    {"method": "train.finetune", "parameters": {"epochs": 2}},
    {"method": "quantize.ptq"},
]


@pytest.fixture(scope="module")
def registry() -> MethodRegistry:
    return installed_methods()[0]


@pytest.fixture(scope="module")
def chain(graph_from) -> ModelGraph:
    """Three convolutions of 64, 64 and 32 channels, the second one in a residual branch of its own, and a head."""
    rng = np.random.default_rng(1)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) * 0.1

    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,4] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            ra = Relu (a)
            b = Conv <pads = [1,1,1,1]> (ra, w2)
            rb = Relu (b)
            c = Conv <pads = [1,1,1,1]> (rb, w3)
            s = Add (c, ra)
            rs = Relu (s)
            p = GlobalAveragePool (rs)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w4)
        }""",
        {"w1": weight(64, 3, 3, 3), "w2": weight(64, 64, 3, 3), "w3": weight(64, 64, 3, 3), "w4": weight(4, 64)},
    )


def formed(chain: ModelGraph, registry: MethodRegistry, **content: object) -> tuple[Space, Template]:
    study = completed(Study.model_validate({"steps": STEPS, **content}), chain, registry)
    space = form_space(chain, study, registry)
    return space, Template(study, chain, registry, space)


def by_id(space: Space) -> dict[str, tuple[dict[str, object], ...]]:
    return {dimension.id: tuple(map(dict, dimension.choices)) for dimension in space.dimensions}


def test_what_is_coupled_is_one_dimension_and_counts_are_multiples_of_sixteen(chain, registry) -> None:
    space, _ = formed(chain, registry)
    found = by_id(space)
    assert found == {
        "keep Conv_2": ({}, {"keep": "no"}),
        "prune_ratio Conv_0": ({}, {"prune_ratio": 0.25}, {"prune_ratio": 0.5}, {"prune_ratio": 0.75}),
        "prune_ratio Conv_2": ({}, {"prune_ratio": 0.25}, {"prune_ratio": 0.5}, {"prune_ratio": 0.75}),
        "weight_bits *": ({}, {"weight_bits": 8, "activation_bits": 8}),
    }
    coupled = {dimension.id: dimension.layers for dimension in space.dimensions}
    assert coupled["keep Conv_2"] == ("Conv_2", "Conv_4")
    assert coupled["prune_ratio Conv_0"] == ("Conv_0", "Conv_4")


def test_counts_that_were_measured_to_be_no_faster_are_left_out(chain, registry) -> None:
    study = completed(Study.model_validate({"steps": STEPS}), chain, registry)
    space = form_space(chain, study, registry, {"Conv_0": {32, 64}, "Conv_2": {64}})
    found = by_id(space)
    assert found["prune_ratio Conv_0"] == ({}, {"prune_ratio": 0.5})
    assert "prune_ratio Conv_2" not in found
    assert any("5 channel count(s)" in note for note in space.notes)
    named = completed(
        Study.model_validate({"steps": STEPS, "knobs": {"prune_ratio": {"values": [0.25]}}}), chain, registry
    )
    found = by_id(form_space(chain, named, registry, {"Conv_0": {64}}))
    assert found["prune_ratio Conv_0"] == ({}, {"prune_ratio": 0.25}), "what the study names is tried"


def test_ratios_that_are_named_go_to_the_nearest_fast_count(chain, registry) -> None:
    space, _ = formed(chain, registry, knobs={"prune_ratio": [0.3, 0.45, 0.5]})
    assert by_id(space)["prune_ratio Conv_2"] == ({}, {"prune_ratio": 0.25}, {"prune_ratio": 0.5})
    space, _ = formed(chain, registry, knobs={"prune_ratio": [0.3]}, channel_multiple=1)
    (_, found) = by_id(space)["prune_ratio Conv_2"]
    assert found["prune_ratio"] == pytest.approx(0.3, abs=1 / 64)


def test_pins_and_layers_out_of_play_are_never_turned(chain, registry) -> None:
    space, template = formed(
        chain, registry, pins={"Conv_2": {"prune_ratio": 0.25, "keep": "yes"}, "Gemm_9": {"weight_bits": 32}}
    )
    assert set(by_id(space)) == {"prune_ratio Conv_0", "weight_bits *"}
    assert {dimension.id for dimension in space.pinned} == {"keep Conv_2", "prune_ratio Conv_2"}
    plan = template.recipe((3, 1)).plan
    assert plan.layers["Conv_2"] == {"prune_ratio": 0.25, "keep": "yes"}
    assert plan.layers["Gemm_9"] == {"weight_bits": 32}
    assert plan.default == {"weight_bits": 8, "activation_bits": 8}
    assert "Gemm_9" not in space.settings((3, 1))

    space, _ = formed(chain, registry, layers=["Conv_2"], knobs={"prune_ratio": [0.5]})
    assert set(by_id(space)) == {"prune_ratio Conv_2"}


def test_ties_make_one_dimension_of_several(chain, registry) -> None:
    space, _ = formed(chain, registry, knobs={"prune_ratio": [0.5]}, ties=[["Conv_0", "Conv_2"]])
    (dimension,) = space.dimensions
    assert set(dimension.layers) == {"Conv_0", "Conv_2", "Conv_4"}
    settings = space.settings((1,))
    assert {line["prune_ratio"] for line in settings.values()} == {0.5}


def test_layers_that_go_take_their_other_settings_along(chain, registry) -> None:
    space, _ = formed(chain, registry)
    place = {dimension.id: number for number, dimension in enumerate(space.dimensions)}
    proposal = [0, 0, 0, 0]
    proposal[place["keep Conv_2"]], proposal[place["prune_ratio Conv_2"]] = 1, 2
    canonical = space.canonical(proposal)
    assert canonical[place["prune_ratio Conv_2"]] == 0
    assert space.key(proposal) == space.key(canonical)
    assert space.proposal_of(space.settings(proposal)) == canonical


def test_steps_without_anything_to_do_are_switched_off_and_training_with_them(chain, registry) -> None:
    space, template = formed(chain, registry)
    place = {dimension.id: number for number, dimension in enumerate(space.dimensions)}

    def enabled(**choices: int) -> list[bool]:
        proposal = [0] * len(space.dimensions)
        for name, choice in choices.items():
            proposal[next(number for key, number in place.items() if key.startswith(name))] = choice
        return [step.enabled for step in template.recipe(tuple(proposal)).steps]

    assert enabled(weight_bits=1) == [False, False, False, True]
    assert enabled(keep=1) == [True, False, True, False]
    assert enabled(prune_ratio=1, weight_bits=1) == [False, True, True, True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"layers": ["nothing*"]}, "'nothing\\*' matches no layer"),
        ({"pins": {"Conv_9": {"keep": "yes"}}}, "'Conv_9' matches no layer"),
        ({"pins": {"Conv_0": {"keep": "perhaps"}}}, "keep is 'perhaps'"),
        ({"knobs": {"prune_ratio": [1.5]}}, "prune_ratio is 1.5"),
        ({"knobs": {"rank_ratio": [0.5]}}, "no step reads rank_ratio"),
        ({"knobs": {"speed": [2]}}, "unknown knob 'speed'"),
        ({"layers": ["Gemm_9"], "knobs": {"prune_ratio": [0.5]}}, "there is nothing to search"),
        ({"steps": [{"method": "prune.magic"}]}, "unknown method 'prune.magic'"),
        ({"steps": [{"method": "prune.l1", "parameters": {"power": 2}}]}, "there is no such key"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(chain, registry, content: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        formed(chain, registry, **content)


def test_trainings_side_by_side_share_the_cores_and_their_recipes_say_so(chain, registry, monkeypatch) -> None:
    monkeypatch.setattr("workbench.methods.search.template.available_cores", lambda: 8)

    def threads(**content: object) -> list[object]:
        space, template = formed(chain, registry, **content)
        last = tuple(len(dimension.choices) - 1 for dimension in space.dimensions)
        return [step.parameters.get("threads") for step in template.recipe(last).steps]

    assert threads() == [None] * 4  # alone, a training takes all cores of whatever machine it runs on
    assert threads(workers=3) == [None, None, 2, None]
    named = [*STEPS[:2], {"method": "train.finetune", "parameters": {"epochs": 2, "threads": 1}}, STEPS[3]]
    assert threads(workers=3, steps=named) == [None, None, 1, None]


def test_steps_that_a_search_fills_in_stay_within_what_the_processor_adds(
    chain: ModelGraph, registry: MethodRegistry, labelled: DataDescription
) -> None:
    def integers(*, saturates: bool) -> dict[str, object]:
        study = completed(Study(data=labelled), chain, registry, saturates=saturates)
        return next(step.parameters for step in study.steps if step.method == "quantize.ptq")

    assert integers(saturates=True) == {"reduce_range": True}
    assert integers(saturates=False) == {}
    named = Study(data=labelled, steps=(Step(method="quantize.ptq"),))
    assert completed(named, chain, registry, saturates=True).steps == named.steps, "what is named stays"
