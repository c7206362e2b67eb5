"""Exact merging: the same function with fewer nodes, and nothing merged where it would not be the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from tests.fakes.removal import feeds, run
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.merge_affine import merge_affine
from workbench.graph.passes.merge_affine_ahead import merge_affine_ahead
from workbench.graph.passes.merge_branches import merge_branches
from workbench.graph.passes.remove_idle import remove_idle

Build = Callable[..., ModelGraph]
HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(int(np.prod(shape)) + len(shape)).normal(size=shape).astype(np.float32)


def norm(channels: int, prefix: str = "") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(channels)
    return {f"{prefix}{name}": rng.uniform(0.5, 1.5, channels).astype(np.float32) for name in ("s", "h", "m", "v")}


def kinds(graph: ModelGraph) -> list[str]:
    return [node.op for node in graph.nodes]


def assert_same(before: ModelGraph, after: ModelGraph, tolerance: float = 1e-5) -> None:
    check(after)
    assert [info.name for info in after.outputs] == [info.name for info in before.outputs]
    inputs = feeds(before, 0)
    for expected, found in zip(run(before, inputs), run(after, inputs), strict=True):
        assert expected.shape == found.shape
        assert np.abs(expected - found).max() <= tolerance * np.abs(expected).max()


def merged(
    build: Build, step: Callable[[ModelGraph], ModelGraph], text: str, weights: Mapping[str, np.ndarray]
) -> ModelGraph:
    graph = build(HEADER + text, weights)
    before = graph.to_bytes()
    after = step(graph)
    assert graph.to_bytes() == before
    assert_same(graph, after)
    assert step(after).to_bytes() == after.to_bytes()
    return after


class TestAffineBehind:
    def test_scales_and_offsets_of_convolutions(self, graph_from: Build) -> None:
        text = """net (float[batch,3,6,6] x) => (float[batch,4,6,6] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)
            b = Mul (a, scale)
            c = Add (offset, b)
            d = Div (c, two)
            e = Sub (one, d)
            t = ConvTranspose <pads = [1,1,1,1], group = 2> (e, wt, bt)
            y = Mul (t, scale)
        }"""
        after = merged(
            graph_from,
            merge_affine,
            text,
            {
                "w": normal(4, 3, 3, 3),
                "wt": normal(4, 2, 3, 3),
                "bt": normal(4),
                "scale": normal(1, 4, 1, 1),
                "offset": normal(4, 1, 1),
                "two": np.float32(2),
                "one": np.ones(1, np.float32),
            },
        )
        assert kinds(after) == ["Conv", "ConvTranspose"]

    def test_matrices(self, graph_from: Build) -> None:
        text = """net (float[batch,3,6] x) => (float[batch,3,4] y, float[5,2] z) {
            a = MatMul (x, w)
            b = Mul (a, scale)
            c = Add (b, bias)
            y = Mul (c, two)
            g = Gemm <alpha = 2.0, beta = 0.5> (k, u, v)
            z = Sub (g, offset)
        }"""
        weights = {"w": normal(6, 4), "scale": normal(4), "bias": normal(4), "two": np.float32(2)}
        text = text.replace("float[batch,3,6] x", "float[batch,3,6] x, float[5,3] k")
        after = merged(
            graph_from, merge_affine, text, {**weights, "u": normal(3, 2), "v": normal(2), "offset": normal(2)}
        )
        assert kinds(after) == ["MatMul", "Add", "Gemm"]

    def test_batch_norm_and_runs_of_constants(self, graph_from: Build) -> None:
        text = """net (float[batch,4,6,6] x) => (float[batch,4,6,6] y) {
            p = Mul (x, c1)
            q = Mul (c2, p)
            b = BatchNormalization (q, s, h, m, v)
            y = Mul (b, c2)
        }"""
        after = merged(graph_from, merge_affine, text, {"c1": normal(4, 1, 1), "c2": normal(1, 4, 1, 1), **norm(4)})
        assert kinds(after) == ["Mul", "BatchNormalization"]

    def test_what_must_stay(self, graph_from: Build) -> None:
        text = """net (float[batch,3,4,4] x) => (float[batch,4,4,4] y, float[batch,4,4,4] z, float[batch,4,4,4] u) {
            a = Conv (x, w)
            y = Mul (a, scale)
            z = Relu (a)
            c = Conv (x, w)
            u = Mul (c, along)
        }"""
        weights = {"w": normal(4, 3, 1, 1), "scale": normal(4, 1, 1), "along": normal(4)}
        assert kinds(merged(graph_from, merge_affine, text, weights)) == ["Conv", "Mul", "Relu", "Conv", "Mul"]

    def test_a_bias_along_another_axis_stays(self, graph_from: Build) -> None:
        text = """net (float[4,6] x) => (float[4,4] y) {
            a = MatMul (x, w)
            b = Add (a, rows)
            y = Mul (b, scale)
        }"""
        weights = {"w": normal(6, 4), "rows": normal(4, 1), "scale": normal(4)}
        assert kinds(merged(graph_from, merge_affine, text, weights)) == ["MatMul", "Add", "Mul"]


class TestAffineAhead:
    def test_batch_norm_ahead_of_unpadded_layers(self, graph_from: Build) -> None:
        text = """net (float[n,4,6,6] x, float[n,5] k) => (float[n,6,4,4] y, float[n,6,6,6] q, float[n,3] z) {
            b = BatchNormalization (x, s, h, m, v)
            y = Conv <group = 2> (b, w1, b1)
            q = Conv (b, w2)
            c = BatchNormalization (k, ks, kh, km, kv)
            z = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (c, w3, b3)
        }"""
        after = merged(
            graph_from,
            merge_affine_ahead,
            text,
            {
                "w1": normal(6, 2, 3, 3),
                "b1": normal(6),
                "w2": normal(6, 4, 1, 1),
                "w3": normal(3, 5),
                "b3": normal(3),
                **norm(4),
                **norm(5, "k"),
            },
        )
        assert kinds(after) == ["Conv", "Conv", "Gemm"]

    def test_input_normalisation_passes_as_far_as_padding_lets_it(self, graph_from: Build) -> None:
        text = """net (float[batch,3,6,6] x) => (float[batch,4,6,6] y) {
            a = Sub (x, mean)
            b = Div (a, std)
            y = Conv <pads = [1,1,1,1]> (b, w)
        }"""
        weights = {"mean": normal(1, 3, 1, 1), "std": norm(3)["v"].reshape(3, 1, 1), "w": normal(4, 3, 3, 3)}
        assert kinds(merged(graph_from, merge_affine_ahead, text, weights)) == ["Sub", "Conv"]
        free = text.replace(" <pads = [1,1,1,1]>", "").replace("4,6,6] y", "4,4,4] y")
        assert kinds(merged(graph_from, merge_affine_ahead, free, weights)) == ["Conv"]
        same = text.replace("pads = [1,1,1,1]", 'auto_pad = "SAME_UPPER"')
        assert kinds(merged(graph_from, merge_affine_ahead, same, weights)) == ["Sub", "Conv"]

    def test_scales_ahead_of_matrices_and_transposed_convolutions(self, graph_from: Build) -> None:
        text = """net (float[batch,4,6,6] x, float[batch,2,5] k) => (float[batch,3,8,8] y, float[batch,2,3] z) {
            a = Mul (x, c)
            y = ConvTranspose (a, w1)
            b = Mul (k, d)
            z = MatMul (b, w2)
        }"""
        weights = {"c": normal(4, 1, 1), "d": normal(5), "w1": normal(4, 3, 3, 3), "w2": normal(5, 3)}
        assert kinds(merged(graph_from, merge_affine_ahead, text, weights)) == ["ConvTranspose", "MatMul"]

    def test_a_second_reader_keeps_it(self, graph_from: Build) -> None:
        text = """net (float[batch,4,6,6] x) => (float[batch,2,6,6] y, float[batch,4,6,6] z) {
            b = BatchNormalization (x, s, h, m, v)
            y = Conv (b, w)
            z = Relu (b)
        }"""
        after = merged(graph_from, merge_affine_ahead, text, {"w": normal(2, 4, 1, 1), **norm(4)})
        assert kinds(after) == ["BatchNormalization", "Conv", "Relu"]


class TestBranches:
    TEXT = """net (float[batch,6,7,7] x) => (float[batch,6,7,7] y) {
        [big] a = Conv <pads = [1,1,1,1], group = GROUP> (x, w3, b3)
        n = BatchNormalization (a, s, h, m, v)
        [small] b = Conv <group = GROUP> (x, w1)
        o = BatchNormalization (b, os, oh, om, ov)
        i = BatchNormalization (x, is, ih, im, iv)
        t = Add (n, o)
        [sum] u = Add (t, i)
        y = Relu (u)
    }"""

    @pytest.mark.parametrize("groups", [1, 3])
    def test_a_block_becomes_one_convolution(self, graph_from: Build, groups: int) -> None:
        weights = {"w3": normal(6, 6 // groups, 3, 3), "b3": normal(6), "w1": normal(6, 6 // groups, 1, 1)}
        weights |= {**norm(6), **norm(6, "o"), **norm(6, "i")}
        text = self.TEXT.replace("GROUP", str(groups))
        after = merged(graph_from, lambda graph: merge_branches(fold_batch_norm(graph)), text, weights)
        assert next((node.name, node.op, node.outputs) for node in after.nodes) == ("big", "Conv", ("u",))
        assert kinds(after) == ["Conv", "Relu"]

    def test_identity_and_crossed_kernels(self, graph_from: Build) -> None:
        text = """net (float[batch,4,7,7] x) => (float[batch,4,7,7] y) {
            a = Conv <pads = [2,2,2,2], dilations = [2,2]> (x, w1)
            b = Conv <pads = [2,0,2,0], dilations = [2,1]> (x, w2, b2)
            c = Conv <pads = [0,2,0,2], dilations = [1,2]> (x, w3)
            y = Sum (a, b, x, c)
        }"""
        weights = {"w1": normal(4, 4, 3, 3), "w2": normal(4, 4, 3, 1), "w3": normal(4, 4, 1, 3), "b2": normal(4)}
        assert kinds(merged(graph_from, merge_branches, text, weights)) == ["Conv"]

    def test_strided_branches(self, graph_from: Build) -> None:
        text = """net (float[batch,4,8,8] x) => (float[batch,5,4,4] y) {
            a = Conv <pads = [1,1,1,1], strides = [2,2]> (x, w1)
            b = Conv <strides = [2,2]> (x, w2)
            y = Add (b, a)
        }"""
        weights = {"w1": normal(5, 4, 3, 3), "w2": normal(5, 4, 1, 1)}
        text_of_one_sided = text.replace("[1,1,1,1]", "[1,1,0,0]")
        assert kinds(merged(graph_from, merge_branches, text_of_one_sided, weights)) == ["Conv", "Conv", "Add"]
        assert kinds(merged(graph_from, merge_branches, text, weights)) == ["Conv"]

    def test_what_must_stay(self, graph_from: Build) -> None:
        text = """net (float[batch,4,7,7] x) => (float[batch,4,7,7] y, float[batch,4,7,7] z, float[batch,4,7,7] u) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            r = Relu (x)
            b = Conv (r, w2)
            y = Add (a, b)
            c = Conv <pads = [1,1,1,1]> (x, w1)
            z = Relu (c)
            d = Add (c, x)
            e = Conv <pads = [1,0,1,0]> (x, w3)
            f = Conv <pads = [0,1,0,1]> (x, w4)
            g = Add (e, f)
            u = Add (d, g)
        }"""
        weights = {
            "w1": normal(4, 4, 3, 3),
            "w2": normal(4, 4, 1, 1),
            "w3": normal(4, 4, 3, 1),
            "w4": normal(4, 4, 1, 3),
        }
        assert kinds(merged(graph_from, merge_branches, text, weights)).count("Conv") == 5


class TestIdle:
    def test_nodes_that_change_nothing_go(self, graph_from: Build) -> None:
        text = """net (float[batch,3,4,4] x) => (float[batch,4,4,3] y, float[2,8] z) {
            a = Mul (x, one)
            b = Add (zero, a)
            c = MaxPool <kernel_shape = [1,1], strides = [1,1]> (b)
            d = Relu (c)
            e = Relu (d)
            f = Transpose <perm = [0,2,3,1]> (e)
            g = Transpose <perm = [0,3,1,2]> (f)
            h = Sigmoid (g)
            i = Relu (h)
            j = Pow (i, one)
            k = Slice (j, start, stop, axes, step)
            y = Transpose <perm = [0,2,3,1]> (k)
            l = Reshape (fixed, s1)
            m = Reshape (l, s2)
            z = Sub (m, none)
        }""".replace("float[batch,3,4,4] x", "float[batch,3,4,4] x, float[4,4] fixed")
        weights = {
            "one": np.float32(1),
            "zero": np.zeros((1, 3, 1, 1), np.float32),
            "none": np.zeros((1, 8), np.float32),
            "start": np.int64([0]),
            "stop": np.int64([2**31]),
            "axes": np.int64([1]),
            "step": np.int64([1]),
            "s1": np.int64([16]),
            "s2": np.int64([2, -1]),
        }
        after = merged(graph_from, remove_idle, text, weights)
        assert kinds(after) == ["Relu", "Sigmoid", "Transpose", "Reshape"]

    def test_what_must_stay(self, graph_from: Build) -> None:
        text = """net (float[2,3] x, float[1,3] k) => (float[2,3] y, float[2,3] z, float[2,3] u) {
            a = Add (k, wide)
            y = Sub (zero, x)
            z = Slice (x, last, far, axes, back)
            b = Transpose <perm = [1,0]> (x)
            c = Transpose <perm = [1,0]> (b)
            d = Tanh (c)
            u = Add (d, a)
        }"""
        weights = {
            "wide": np.zeros((2, 3), np.float32),
            "zero": np.float32(0),
            "last": np.int64([-1]),
            "far": np.int64([-(2**31)]),
            "axes": np.int64([1]),
            "back": np.int64([-1]),
        }
        assert kinds(merged(graph_from, remove_idle, text, weights)) == ["Add", "Sub", "Slice", "Tanh", "Add"]
