"""Allocation within a budget is the best there is, honours pins and ties, and says what a step would change."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.errors import RecipeError
from workbench.methods.budget import Choice, Tie, allocate

numbers = st.floats(0, 10, allow_nan=False, width=32)
layer = st.lists(st.tuples(numbers, st.floats(0.125, 8, width=32)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(layer, min_size=1, max_size=5), st.floats(0.25, 1.0))
def test_no_other_assignment_is_better(layers: list[list[tuple[float, float]]], share: float) -> None:
    choices = {
        f"layer{number}": [Choice(index, loss, cost) for index, (loss, cost) in enumerate(options)]
        for number, options in enumerate(layers)
    }
    budget = share * sum(max(choice.cost for choice in options) for options in choices.values())
    feasible = [
        sum(choice.loss for choice in picked)
        for picked in itertools.product(*choices.values())
        if sum(choice.cost for choice in picked) <= budget * (1 + 1e-9)
    ]
    if not feasible:
        with pytest.raises(RecipeError, match="nothing is within the budget"):
            allocate(choices, budget)
        return
    found = allocate(choices, budget)
    assert found.cost <= budget * (1 + 1e-6)
    assert found.loss == pytest.approx(min(feasible), rel=1e-4, abs=1e-4)
    assert found.loss == pytest.approx(sum(entry.choice.loss for entry in found.layers.values()))


def bits(loss_per_bit: float, weights: int, counts: range = range(2, 9)) -> list[Choice]:
    """A layer that loses less with every bit."""
    return [Choice(count, loss_per_bit / 4**count, weights * count) for count in counts]


def test_bits_go_where_they_are_worth_most_and_pins_and_ties_hold() -> None:
    choices = {"minds": bits(100, 10), "careless": bits(0.01, 10), "pinned": [Choice(3, 0.0, 30)], "tied": bits(50, 10)}
    found = allocate(choices, 4 * 40, [frozenset({"minds", "tied"})])
    got = {name: entry.choice.value for name, entry in found.layers.items()}
    assert got["pinned"] == 3
    assert got["minds"] == got["tied"] > got["careless"]
    assert found.cost <= 160
    minds = found.layers["minds"]
    assert minds.dearer is not None
    assert minds.dearer.value == int(minds.choice.value) + 1
    assert minds.dearer.loss < 0 < minds.dearer.cost
    assert minds.cheaper is not None
    assert minds.cheaper.loss > 0 > minds.cheaper.cost
    assert found.layers["pinned"].dearer is found.layers["pinned"].cheaper is None


def test_a_layer_that_minds_nothing_takes_nothing() -> None:
    found = allocate({"free": [Choice(count, 0.0, count) for count in (2, 4, 8)]}, 100)
    assert found.layers["free"].choice.value == 2


def test_what_can_not_be_had_is_said() -> None:
    with pytest.raises(RecipeError, match="at least 20") as caught:
        allocate({"a": bits(1, 10)}, 15)
    assert "Raise the budget" in str(caught.value)
    with pytest.raises(RecipeError, match="can't have equal settings"):
        allocate({"a": [Choice(2, 0, 1)], "b": [Choice(3, 0, 1)]}, 10, [frozenset({"a", "b"})])


def test_ties_may_concern_one_respect_of_a_setting():
    offered = {
        "a": [Choice("x1", 0.0, 4.0), Choice("y1", 1.0, 3.0), Choice("x2", 2.0, 1.0)],
        "b": [Choice("z2", 0.0, 1.0), Choice("z1", 5.0, 1.0)],
    }
    free = allocate(offered, 5.0)
    tied = allocate(offered, 5.0, [Tie(frozenset("ab"), lambda setting: str(setting)[-1])])
    assert [chosen.choice.value for chosen in free.layers.values()] == ["x1", "z2"]
    assert [chosen.choice.value for chosen in tied.layers.values()] == ["x2", "z2"]
