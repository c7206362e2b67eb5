from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError
from workbench.engines.inference_ort import open_session

W3A8 = {"weight_bits": 3, "activation_bits": 8}


def mean_errors(graph, quantized, inputs, names):
    """Return the largest mean error per channel of each value, as a share of its deviation."""
    exact, found = (
        open_session(g.with_outputs(names), threads=1, optimize=False).run(inputs) for g in (graph, quantized)
    )
    axes = {name: tuple(a for a in range(exact[name].ndim) if a != 1) for name in names}
    return {
        name: float(np.abs((found[name] - exact[name]).mean(axis=axes[name])).max() / exact[name].std())
        for name in names
    }


def test_mean_errors_vanish_layer_by_layer(quantize, small_cnn):
    tools = quantize.tools(small_cnn)
    inputs = tools.data.inputs
    plain = quantize(small_cnn, W3A8, pad_channels=False, bias_correction=False).graph
    fixed = quantize(small_cnn, W3A8, pad_channels=False, bias_correction=True)
    before, after = (mean_errors(small_cnn, graph, inputs, ["c1", "c2", "y"]) for graph in (plain, fixed.graph))
    assert all(after[name] < 0.02 for name in after), after
    assert max(before.values()) > 0.1
    assert any("biases of 3 layers corrected on 32 samples" in note for note in fixed.notes)
    for name in ("b1", "b2", "b3"):
        assert fixed.graph.constant(f"{name}_quantized").dtype == np.int32


def test_layers_without_a_bias_get_one_and_a_shared_one_is_copied(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,8,6,6] x) => (float[n,5] y) {
            c1 = Conv (x, w1)  r1 = Relu (c1)  c2 = Conv (r1, w2, b)  r2 = Relu (c2)  c3 = Conv (r2, w3, b)
            r3 = Relu (c3)  p = GlobalAveragePool (r3)  f = Flatten (p)  m = MatMul (f, w4)  k = Add (m, b4)
            r4 = Relu (k)  y = MatMul (r4, w5)
        }""",
        {
            **{f"w{i}": rng.normal(size=(8, 8, 1, 1)).astype(np.float32) for i in (1, 2, 3)},
            "b": rng.normal(size=8).astype(np.float32),
            "w4": rng.normal(size=(8, 8)).astype(np.float32),
            "b4": rng.normal(size=8).astype(np.float32),
            "w5": rng.normal(size=(8, 5)).astype(np.float32),
        },
    )
    inputs = quantize.tools(graph).data.inputs
    fixed = quantize(graph, W3A8, bias_correction=True)
    assert len(fixed.graph.node("Conv_0").inputs) == 3
    assert fixed.graph.node("Conv_2").inputs[2] != fixed.graph.node("Conv_4").inputs[2]
    # The last MatMul has nowhere to put a bias but in a further node.
    assert any("biases of 4 layers" in note for note in fixed.notes)
    plain = quantize(graph, W3A8, bias_correction=False).graph
    before, after = (mean_errors(graph, g, inputs, ["c1", "c2", "c3", "k"]) for g in (plain, fixed.graph))
    assert all(after[name] < 0.02 for name in after), after
    assert max(before.values()) > 0.05


def test_samples_go_through_once_whatever_the_depth(quantize, graph_from):
    rng = np.random.default_rng(0)
    layers = " ".join(f"v{i} = Conv (v{i - 1}, w{i}, b{i})" for i in range(2, 9))
    graph = graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4,6,6] x) => (float[n,4,6,6] v8) {{ v1 = Conv (x, w1, b1) {layers} }}""",
        {f"w{i}": rng.normal(size=(4, 4, 1, 1)).astype(np.float32) for i in range(1, 9)}
        | {f"b{i}": rng.normal(size=4).astype(np.float32) for i in range(1, 9)},
    )
    reads: list[int] = []
    inputs = quantize.tools(graph).data.inputs

    class Counted(type(quantize.tools(graph).data)):
        def calibration(self, samples, batch_size=64):
            reads.append(samples)
            return super().calibration(samples, batch_size)

    quantize(graph, W3A8, tools=quantize.tools(graph, data=Counted(inputs)))
    assert reads == [512, 256]  # for the ranges, and for the biases of all eight layers


def test_a_residual_sum_is_right_on_average_although_its_other_summand_is_not(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,6,8,8] x) => (float[n,6,8,8] y) {
            a = Conv (x, w1, b1)  r = Relu (a)  s = Conv (r, w2, b2)  t = Relu (s)  c = Conv (t, w3, b3)
            d = Add (c, r)  e = Relu (d)  y = Conv (e, w4, b4)
        }""",
        {f"w{i}": rng.normal(size=(6, 6, 1, 1)).astype(np.float32) for i in range(1, 5)}
        | {f"b{i}": rng.normal(size=6).astype(np.float32) for i in range(1, 5)},
    )
    inputs = quantize.tools(graph).data.inputs
    found = {on: mean_errors(graph, quantize(graph, W3A8, bias_correction=on).graph, inputs, ["d"]) for on in (0, 1)}
    assert found[1]["d"] < 0.01 < found[0]["d"]


def test_what_is_negligible_stays(quantize, graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4,6,6] x) => (float[n,4,6,6] y) { y = Conv (x, w, b) }""",
        {"w": np.eye(4, dtype=np.float32)[:, :, None, None] * 0.5, "b": np.zeros(4, np.float32)},
    )
    result = quantize(graph, {"weight_bits": 8, "activation_bits": 8})
    assert any("no mean error exceeds 1% of its layer's deviation" in note for note in result.notes)
    plain = quantize(graph, {"weight_bits": 8, "activation_bits": 8}, bias_correction=False)
    assert result.graph.to_bytes() == plain.graph.to_bytes()


def test_a_fixed_batch_and_few_samples(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[2,4,6,6] x) => (float[2,4,6,6] y) { a = Conv (x, w1)  r = Relu (a)  y = Conv (r, w2) }""",
        {f"w{i}": rng.normal(size=(4, 4, 1, 1)).astype(np.float32) for i in (1, 2)},
    )
    inputs = {"x": rng.normal(size=(5, 4, 6, 6)).astype(np.float32)}
    fixed = quantize(graph, W3A8, tools=quantize.tools(graph, inputs))
    assert any("biases of 2 layers corrected on 5 samples" in note for note in fixed.notes)


def test_deterministic_cancellable_and_honest_about_what_it_needs(quantize, small_cnn):
    first, second = (quantize(small_cnn, W3A8, bias_correction=True).graph.to_bytes() for _ in range(2))
    assert first == second
    without = quantize(small_cnn, {"weight_bits": 4}, tools=quantize.tools(small_cnn, data=None))
    assert any("biases not corrected: the recipe names no data" in note for note in without.notes)
    cancel = CancelToken()
    cancel.cancel()
    tools = quantize.tools(small_cnn, cancel=cancel)
    with pytest.raises(CancelledError):
        quantize(small_cnn, {"weight_bits": 4}, tools=tools, bias_correction=True)
