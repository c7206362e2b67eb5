"""Progress never goes back, however finely work is split."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workbench.domain.cancel import Progress

shares = st.floats(0.0, 1.0, allow_nan=False)


@given(cuts=st.lists(shares, min_size=1, max_size=6), inner=st.lists(shares, min_size=1, max_size=4))
def test_where_one_part_ends_the_next_begins(cuts: list[float], inner: list[float]) -> None:
    told: list[float] = []
    whole = Progress(lambda fraction, _: told.append(fraction)).part(0.0, 0.9)
    bounds = [0.0, *sorted(cuts), 1.0]
    for start, end in pairwise(bounds):
        part = whole.part(start, end)
        for fraction in (0.0, *sorted(inner), 1.0):
            part.update(fraction)
    assert told == sorted(told)
    assert told[-1] == 0.9


def test_shares_of_shares_add_up() -> None:
    told: list[tuple[float, str]] = []
    Progress(lambda *said: told.append(said)).part(0.5, 1.0, "b").part(0.0, 0.5, "c").update(0.5, "d")
    assert told == [(0.625, "b: c: d")]
