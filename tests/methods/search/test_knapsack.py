"""The integer program finds what trying everything finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.plan import Plan
from workbench.methods.search.knapsack import least_loss
from workbench.methods.search.space import Dimension, Space


def space() -> Space:
    """Return a block of two layers that may go, channels of one of them, and of a layer outside."""
    able = frozenset({"keep", "prune_ratio"})
    prune = ({}, {"prune_ratio": 0.25}, {"prune_ratio": 0.5})
    knobs = dict.fromkeys(("a", "b", "c"), able)
    return Space(
        (
            Dimension("keep a", ("a", "b"), ({}, {"keep": "no"}), knobs),
            Dimension("prune_ratio a", ("a",), prune, knobs),
            Dimension("prune_ratio c", ("c",), prune, knobs),
        ),
        Plan(),
    )


COLUMNS = ((0, 1), (1, 1), (1, 2), (2, 1), (2, 2))


@settings(max_examples=40, deadline=None)
@given(
    losses=st.lists(st.integers(0, 20), min_size=5, max_size=5),
    savings=st.lists(st.integers(0, 10), min_size=5, max_size=5),
    needed=st.integers(0, 20),
)
def test_it_is_what_trying_all_gives(losses: list[int], savings: list[int], needed: int) -> None:
    found = least_loss(space(), (0, 0, 0), COLUMNS, np.array(losses, float), np.array([savings], float), [needed])

    def total(proposal: tuple[int, ...], of: list[int]) -> int:
        return sum(of[COLUMNS.index((place, choice))] for place, choice in enumerate(proposal) if choice)

    able = [
        proposal
        for proposal in itertools.product(range(2), range(3), range(3))
        if not (proposal[0] and proposal[1]) and total(proposal, savings) >= needed
    ]
    if not able:
        assert found is None
    else:
        assert found is not None
        assert total(found, savings) >= needed
        assert total(found, losses) == pytest.approx(min(total(proposal, losses) for proposal in able), abs=0.01)


def test_choices_that_do_not_pay_are_left_alone() -> None:
    losses, savings = np.array([9.0, 1.0, 2.0, 3.0, 4.0]), np.array([[5.0, 2.0, 3.0, 2.0, 3.0]])
    assert least_loss(space(), (0, 0, 0), COLUMNS, losses, savings, [3]) == (0, 2, 0)
    assert least_loss(space(), (0, 0, 0), COLUMNS, losses, savings, [3], ((0, 1), (0,), (0, 2))) == (0, 0, 2)
