from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.graph.channels import channel_groups
from workbench.graph.kept import KEPT_KEY, kept, noted
from workbench.graph.passes.remove_channels import remove_channels


@given(st.lists(st.booleans(), min_size=1, max_size=70), st.data())
def test_two_removals_leave_what_both_leave(first, data):
    positions = np.flatnonzero(first)
    second = data.draw(st.lists(st.booleans(), min_size=len(positions), max_size=len(positions)))
    note = noted({}, 1, np.array(first))
    note = noted({KEPT_KEY: note}, 1, np.array(second, bool))
    found = kept({KEPT_KEY: note})
    assert (found.axis, found.count) == (1, len(first))
    assert found.positions.tolist() == positions[np.array(second, bool)].tolist()


@pytest.mark.parametrize("text", ["", "1", "1:8:zz", "1:9:ff", "a:8:ff", "1:8:ff:ff"])
def test_a_note_of_others_is_none(text):
    assert kept({KEPT_KEY: text}) is None


def test_another_axis_ends_the_note():
    note = noted({}, 1, np.array([True, False]))
    assert noted({KEPT_KEY: note}, 2, np.array([True])) is None
    assert noted({KEPT_KEY: ""}, 1, np.array([True])) is None


def test_channels_removed_twice_are_known_by_their_first_numbers(small_cnn):
    group = next(group for group in channel_groups(small_cnn) if group.prunable)
    layer = group.out_members[0].layer
    once = remove_channels(small_cnn, {group.id: [0, 2]})
    again = next(found for found in channel_groups(once) if layer in {member.layer for member in found.out_members})
    twice = remove_channels(once, {again.id: [0]})
    left = [channel for channel in range(group.channels) if channel not in (0, 1, 2)]
    assert kept(twice.node(layer).metadata).positions.tolist() == left
    assert kept(small_cnn.node(layer).metadata) is None
