"""What the window is told of a compressed graph: removed channels, layers that left with their branch, new layers."""

from __future__ import annotations

import numpy as np

from workbench.domain.channel_counts import kept_units
from workbench.domain.derived_layers import derived_name
from workbench.graph.branches import find_branches
from workbench.graph.channels import channel_groups, group_reports
from workbench.graph.diff import layer_changes, new_layers, operator_changes
from workbench.graph.passes.factorize import Factor, Factors, factorize, layer_weight
from workbench.graph.passes.remove_branches import remove_branches
from workbench.graph.passes.remove_channels import remove_channels


def test_a_graph_against_itself_says_nothing(small_cnn):
    for change in layer_changes(small_cnn, small_cnn):
        assert change.before == change.after
        assert (change.channels, change.removed_channels, change.factors, change.branch) == (0, (), (), None)
    assert new_layers(small_cnn, small_cnn) == ()
    assert operator_changes(small_cnn, small_cnn) == ()


def test_removed_channels_are_told_by_their_numbers_in_the_original(small_cnn):
    group = next(group for group in channel_groups(small_cnn) if group.prunable)
    after = remove_channels(small_cnn, {group.id: [1, 6]})
    losers = {member.layer for member in group.out_members}
    for change in layer_changes(small_cnn, after):
        lost = (8, (1, 6)) if change.name in losers else (0, ())
        assert (change.channels, change.removed_channels) == lost


def test_a_layer_that_was_left_out_names_its_branch(small_cnn):
    (branch, *_) = find_branches(small_cnn)
    after = remove_branches(small_cnn, [branch.id])
    gone = {change.name: change.branch for change in layer_changes(small_cnn, after) if change.after is None}
    assert gone == dict.fromkeys(branch.layers, branch.id)
    counts = {change.op: (change.before, change.after) for change in operator_changes(small_cnn, after)}
    assert counts["Add"] == (1, 0)


def test_factors_are_new_layers_and_belong_to_the_one_that_kept_its_name(small_cnn):
    name = next(node.name for node in small_cnn.nodes if node.op == "Gemm")
    weight = layer_weight(small_cnn, name)
    left, values, right = np.linalg.svd(weight, full_matrices=False)
    factors = (Factor((left[:, :2] * values[:2]).astype(np.float32)), Factor(right[:2].astype(np.float32)))
    after = factorize(small_cnn, {name: Factors(factors)})
    (new,) = new_layers(small_cnn, after)
    assert (new.name, new.origin) == (derived_name(name, 1), name)
    assert sorted(new.state.weight_shape) == [2, 8]
    change = next(change for change in layer_changes(small_cnn, after) if change.name == name)
    assert change.factors == (new.name,)


def test_groups_say_enough_to_count_what_a_ratio_leaves(small_cnn):
    group = next(group for group in group_reports(small_cnn) if group.prunable)
    assert sum(group.strata) == 8
    assert {member.per_unit for member in group.layers if member.axis == "in"} == {()}
    (widths,) = {member.per_unit for member in group.layers if member.axis == "out"}
    assert sum(wide * kept_units(units, 0.5) for wide, units in zip(widths, group.strata, strict=True)) == 4
