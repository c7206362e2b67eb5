"""Sums of signs: their levels, their scales, and that one convolution computes what several in parallel do."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import OrtEngine
from workbench.graph.binary import binarized, highest_odd, last_jump, odd_levels, odd_scales
from workbench.graph.diff import layer_states
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.passes.insert_qdq import insert_qdq

BRANCHES = [1, 2, 3]
ROWS = np.random.default_rng(1).normal(size=(16, 400)) * np.linspace(0.1, 3.0, 16)[:, None]


def error(rows, scales, branches):
    return np.square(rows - odd_levels(rows / scales[:, None], branches) * scales[:, None]).sum(1)


@pytest.mark.parametrize("branches", BRANCHES)
def test_levels_are_odd_and_the_nearest(branches):
    values = np.linspace(-12, 12, 481)
    levels = odd_levels(values, branches)
    every = np.arange(-highest_odd(branches), highest_odd(branches) + 1, 2)
    assert set(np.unique(levels)) == set(every)
    np.testing.assert_allclose(np.abs(values - levels), np.abs(values[:, None] - every).min(1))
    assert odd_levels(np.zeros(1), branches) == 1


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize(("shape", "share"), [("normal", 1.01), ("laplace", 1.06), ("uniform", 2.0)])
def test_the_scale_is_about_the_best_of_weights_as_they_usually_are(branches, shape, share):
    rows = getattr(np.random.default_rng(2), shape)(size=(8, 900))
    rows -= rows.mean(1, keepdims=True)
    found = error(rows, odd_scales(rows, branches), branches)
    shares = np.linspace(0.05, 2.0, 800)
    best = np.min([error(rows, share * np.abs(rows).mean(1), branches) for share in shares], axis=0)
    assert (found <= share * best + 1e-9).all()


def test_each_branch_takes_most_of_the_error_that_is_left():
    errors = [error(ROWS, odd_scales(ROWS, branches), branches).sum() / np.square(ROWS).sum() for branches in BRANCHES]
    # Of normal weights: 1 - 2 / pi; 0.1188 and 0.0374 with four and eight even steps (Max, 1960).
    assert errors == pytest.approx([0.363, 0.119, 0.0374], rel=0.05)


def test_one_scale_and_silent_channels():
    weight = np.concatenate([ROWS[:2], np.zeros((1, 400))]).astype(np.float32)
    found = binarized(weight, 0, branches=2)
    assert np.abs(found.values()[2]).max() < 1e-20
    assert binarized(weight, None, branches=2).scales.shape == ()
    turned = binarized(weight.T, -1, branches=2)
    np.testing.assert_array_equal(turned.integers.T, found.integers)
    np.testing.assert_allclose(turned.scales, found.scales, rtol=1e-5)
    assert binarized(weight, 0, balanced=True, branches=3).levels == (-7, 7)


def test_the_last_jump_is_where_normal_weights_reach_the_largest_level():
    scales = odd_scales(ROWS, 3)
    assert np.median(6 * scales / np.abs(ROWS).mean(1)) == pytest.approx(last_jump(3), rel=0.05)
    assert last_jump(1) == 0


@pytest.mark.parametrize("branches", [2, 3])
def test_it_is_as_many_binary_convolutions_in_parallel(graph_from, branches):
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(6, 4, 3, 3)).astype(np.float32)
    found = binarized(weight, 0, branches=branches)
    x = rng.normal(size=(2, 4, 9, 9)).astype(np.float32)
    header = '<ir_version: 9, opset_import: ["" : 17]> net (float[2,4,9,9] x) => (float[2,6,7,7] y)'
    one = graph_from(f"{header} {{ y = Conv (x, w) }}", {"w": found.values()})
    # The bits of (q + 2^M - 1) / 2 are the signs of the bases.
    codes = (found.integers.astype(int) + highest_odd(branches)) // 2
    bases = {f"b{k}": np.where(codes >> k & 1, 1, -1).astype(np.float32) for k in range(branches)}
    scales = {f"s{k}": (found.scales * 2.0**k).reshape(1, 6, 1, 1).astype(np.float32) for k in range(branches)}
    parts = " ".join(f"c{k} = Conv (x, b{k}) p{k} = Mul (c{k}, s{k})" for k in range(branches))
    summed = ", ".join(f"p{k}" for k in range(branches))
    many = graph_from(f"{header} {{ {parts} y = Sum ({summed}) }}", {**bases, **scales})
    run = [OrtEngine(threads=1).open(graph).run({"x": x})["y"] for graph in (one, many)]
    np.testing.assert_allclose(*run, atol=1e-5)


@pytest.mark.parametrize("branches", BRANCHES)
def test_every_base_counts_as_a_bit(small_cnn, branches):
    file = insert_qdq(small_cnn, {}, {"w2": binarized(small_cnn.constant("w2"), 0, branches=branches)})
    layer = file.consumers("w2")[0].name
    assert layer_states(file)[layer].bits == branches
    weights = small_cnn.constant("w2").size
    assert 10_000 - packed_size_bytes(file, 10_000) == weights - -(-weights * branches // 8)
