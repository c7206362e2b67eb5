"""Mixed precision: the budget is kept, pins hold, more goes where it counts, and the plan that results is the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.api import RecipeError
from workbench.domain.plan import Plan
from workbench.domain.trades import trades_of
from workbench.engines.training_torch import TorchEngine

LOW = {"weight_bits": 8, "activation_bits": 32}


def weights(graph) -> dict[str, int]:
    return {
        node.name: int(np.prod(graph.constant_shape(node.inputs[1])))
        for node in graph.nodes
        if node.op in ("Conv", "Gemm")
    }


def bits_of(result) -> dict[str, int]:
    return {layer: line["weight_bits"] for layer, line in result.details["plan"]["layers"].items()}


def average(graph, bits: dict[str, int]) -> float:
    sizes = weights(graph)
    return sum(sizes[layer] * count for layer, count in bits.items()) / sum(sizes.values())


@pytest.fixture(scope="module")
def mixed(quantizers):
    return quantizers("quantize.mixed")


@pytest.fixture
def tools(mixed, small_cnn):
    return replace(mixed.tools(small_cnn), training=TorchEngine(threads=1))


@pytest.mark.parametrize("sensitivity", ["output", "gradient", "hessian"])
@pytest.mark.parametrize("budget", [3.0, 4.5])
def test_the_budget_is_kept_and_used(mixed, small_cnn, tools, sensitivity, budget):
    result = mixed(small_cnn, LOW, tools=tools, sensitivity=sensitivity, average_bits=budget, sensitivity_samples=32)
    bits = bits_of(result)
    assert set(bits) == set(weights(small_cnn))
    assert budget - 1 < average(small_cnn, bits) <= budget
    losses = result.details["sensitivity"]
    for layer in bits:
        assert losses[layer]["2"] >= losses[layer]["8"] >= 0
    stored = {node.name: node.metadata.get("workbench.weight_bits") for node in result.graph.nodes}
    assert {layer: str(count) for layer, count in bits.items()} == {layer: stored[layer] for layer in bits}
    traded = trades_of(result.details)
    assert traded is not None
    assert traded.units.cost == "bytes"
    for layer, entry in traded.layers.items():
        count = small_cnn.constant(small_cnn.node(layer).inputs[1]).size
        for beside, sign in ((entry.dearer, 1), (entry.cheaper, -1)):
            if beside is not None:
                assert beside.cost == (beside.bits - entry.bits) * count / 8
                assert np.sign(beside.cost) == sign


def test_more_bits_go_where_they_count(mixed, quantize, graph_from):
    rng = np.random.default_rng(0)
    loud, quiet = ((scale * rng.normal(size=(16, 16))).astype(np.float32) for scale in (1.0, 0.02))
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,16] x) => (float[batch,16] y) {
            a = MatMul (x, loud)
            b = MatMul (x, quiet)
            y = Add (a, b)
        }""",
        {"loud": loud, "quiet": quiet},
    )
    tools = mixed.tools(graph)
    expected = tools.inference.open(graph).run(tools.data.inputs)["y"]

    def error(result) -> float:
        return float(np.square(tools.inference.open(result.graph).run(tools.data.inputs)["y"] - expected).sum())

    result = mixed(graph, LOW, tools=tools, average_bits=5.0, sensitivity_samples=32)
    (first, second) = bits_of(result).values()
    assert (first, second) == (8, 2)
    assert error(result) < 0.1 * error(quantize(graph, {"weight_bits": 5, "activation_bits": 32}, tools=tools))


def test_a_line_of_its_own_pins_a_layer(mixed, small_cnn, tools):
    first = next(iter(weights(small_cnn)))
    result = mixed(small_cnn, LOW, {first: {"weight_bits": 7}}, tools=tools, average_bits=4.0, sensitivity_samples=32)
    bits = bits_of(result)
    assert first not in bits
    assert average(small_cnn, {**bits, first: 7}) <= 4.0


def test_the_plan_that_results_gives_the_same_file(mixed, small_cnn, tools):
    found = mixed(small_cnn, LOW, tools=tools, average_bits=3.5, sensitivity_samples=32)
    plan = Plan.model_validate(found.details["plan"])
    again = mixed(small_cnn, LOW, dict(plan.layers), tools=tools, **found.details["settled"])
    assert again.graph.to_bytes() == found.graph.to_bytes()
    assert mixed(small_cnn, LOW, tools=tools, average_bits=3.5, sensitivity_samples=32).graph.to_bytes() == (
        found.graph.to_bytes()
    )


def test_bit_operations_are_a_budget_too(mixed, small_cnn, tools):
    result = mixed(
        small_cnn, {"weight_bits": 8, "activation_bits": 8}, tools=tools, budget="bit_operations", bit_operations=0.4,
        sensitivity_samples=32,
    )  # fmt: skip
    assert any(note.endswith("(budget 0.4)") for note in result.notes)
    share = float(next(note for note in result.notes if "bit operations" in note).split()[0])
    assert 0.25 <= share <= 0.4


def test_bad_settings_are_refused_before_anything_is_measured(mixed, small_cnn):
    with pytest.raises(RecipeError, match="fewest_bits is 6 and most_bits 3"):
        mixed.check(small_cnn, LOW, fewest_bits=6, most_bits=3)
    with pytest.raises(RecipeError, match=r"nothing is within the budget of 4\.000 weight bits on average") as caught:
        mixed.check(small_cnn, LOW, fewest_bits=5, average_bits=4.0)
    assert "at least 5.000 weight bits on average" in str(caught.value)
    with pytest.raises(RecipeError, match=r"budget of 0\.250 of the bit operations with 8-bit weights") as caught:
        mixed.check(small_cnn, LOW, fewest_bits=4, budget="bit_operations", bit_operations=0.25)
    assert "at least 0.500 of the bit operations" in str(caught.value)
    every = {layer: {"weight_bits": 8} for layer in weights(small_cnn)}
    assert any("No layer is free" in warning for warning in mixed.check(small_cnn, LOW, every))


class Clock:
    """Times graphs by what their layers are: so much for each in float, and in integers."""

    def __init__(self, times: dict[str, tuple[float, float]]) -> None:
        self.times, self.asked = times, 0

    def __call__(self, graph) -> float:
        self.asked += 1
        integers = {layer: graph.producer(graph.node(layer).inputs[1]) is not None for layer in self.times}
        return sum(times[integers[layer]] for layer, times in self.times.items())


EIGHT = {"weight_bits": 8, "activation_bits": 8}


def timed(mixed, graph, tools, times, ratio):
    clock = Clock(dict(zip(weights(graph), times, strict=True)))
    tools = replace(tools, latency_ratio=clock)
    result = mixed(graph, EIGHT, tools=tools, budget="latency", latency_ratio=ratio, sensitivity_samples=32)
    return result, clock


def test_layers_that_integers_make_slower_stay_in_float(mixed, small_cnn, tools):
    result, clock = timed(mixed, small_cnn, tools, [(0.4, 0.1), (0.4, 0.1), (0.1, 0.3)], 0.5)
    *fast, slow = weights(small_cnn)
    lines = result.details["plan"]["layers"]
    assert [lines[layer] for layer in fast] == [EIGHT, EIGHT]
    assert lines[slow] == {"weight_bits": 32, "activation_bits": 32}
    assert result.graph.producer(result.graph.node(slow).inputs[1]) is None
    assert clock.asked == 1 + 3  # what is chosen was timed before
    assert result.details["latency_ratio"] == pytest.approx(0.3)
    assert result.details["layer_latency"]["in_float"][slow] == pytest.approx(-0.2)


def test_of_layers_that_gain_the_most_sensitive_stay_in_float(mixed, small_cnn, tools):
    result, _ = timed(mixed, small_cnn, tools, [(0.3, 0.1)] * 3, 0.55)
    lines, losses = result.details["plan"]["layers"], result.details["sensitivity"]
    (kept,) = [layer for layer, line in lines.items() if line["weight_bits"] == 32]
    assert losses[kept]["8"] == max(entry["8"] for entry in losses.values())
    assert result.details["latency_ratio"] == pytest.approx(0.5)


def test_a_choice_that_takes_longer_than_its_layers_said_is_tightened(mixed, small_cnn, tools):
    class Dearer(Clock):
        """Two layers in float cost more than each of them alone."""

        def __call__(self, graph) -> float:
            floats = sum(graph.producer(graph.node(layer).inputs[1]) is None for layer in self.times)
            return super().__call__(graph) + (0.1 if floats > 1 else 0.0)

    clock = Dearer(dict.fromkeys(weights(small_cnn), (0.3, 0.1)))
    tools = replace(tools, latency_ratio=clock)
    result = mixed(small_cnn, EIGHT, tools=tools, budget="latency", latency_ratio=0.75, sensitivity_samples=32)
    assert result.details["latency_ratio"] == pytest.approx(0.5)
    assert clock.asked == 1 + 3 + 1


def test_a_time_that_no_choice_meets_is_refused(mixed, small_cnn, tools):
    with pytest.raises(RecipeError, match=r"budget"):
        timed(mixed, small_cnn, tools, [(0.3, 0.2)] * 3, 0.5)


def test_a_plan_that_was_taken_over_gives_the_same_file(mixed, small_cnn, tools):
    result, _ = timed(mixed, small_cnn, tools, [(0.4, 0.1), (0.4, 0.1), (0.1, 0.3)], 0.5)
    again = mixed(small_cnn, EIGHT, result.details["plan"]["layers"], tools=tools, **result.details["settled"])
    for node in result.graph.nodes:
        assert node.op == again.graph.node(node.name).op
    for name in result.graph.initializers:
        np.testing.assert_array_equal(result.graph.constant(name), again.graph.constant(name))


BOTH = {"activations": "chosen", "budget": "bit_operations", "sensitivity_samples": 32}


def test_activation_bits_are_chosen_beside_and_one_value_has_one_number(mixed, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,8,6,6] x) => (float[n,8,6,6] y) {
            a = Conv (x, w1, b)  r = Relu (a)  s = Conv (r, w2, b)  t = Conv (r, w3, b)  d = Add (s, t)
            y = Conv (d, w4)
        }""",
        {f"w{i}": rng.normal(size=(8, 8, 1, 1)).astype(np.float32) for i in range(1, 5)}
        | {"b": rng.normal(size=8).astype(np.float32)},
    )
    result = mixed(graph, EIGHT, tools=mixed.tools(graph), bit_operations=0.4, **BOTH)
    lines = result.details["plan"]["layers"]
    first, left, right, _ = (node.name for node in graph.nodes if node.op == "Conv")
    assert lines[left]["activation_bits"] == lines[right]["activation_bits"]
    spent = sum(line["weight_bits"] * line["activation_bits"] for line in lines.values()) / (4 * 64)
    assert 0.35 <= spent <= 0.4
    assert any(line["activation_bits"] < 8 for line in lines.values())
    for layer, line in lines.items():
        assert result.graph.node(layer).metadata["workbench.activation_bits"] == str(line["activation_bits"])
    heard = result.details["activation_sensitivity"]
    assert set(heard) == {"x", "r", "d"}
    assert all(losses["4"] > losses["8"] >= 0 for losses in heard.values())
    pinned = mixed(graph, EIGHT, {first: {"activation_bits": 8}}, tools=mixed.tools(graph), bit_operations=0.4, **BOTH)
    assert pinned.details["plan"]["layers"][first]["activation_bits"] == 8
    again = mixed(graph, EIGHT, lines, tools=mixed.tools(graph), **result.details["settled"])
    assert again.graph.to_bytes() == result.graph.to_bytes()


def test_activation_bits_need_a_budget_that_counts_them(mixed, small_cnn):
    with pytest.raises(RecipeError, match="does not count activation bits"):
        mixed.check(small_cnn, EIGHT, activations="chosen")
    with pytest.raises(RecipeError, match="says nothing of activations"):
        mixed.check(small_cnn, EIGHT, activations="chosen", budget="bit_operations", sensitivity="hessian")
    with pytest.raises(RecipeError, match="nothing is within the budget"):
        mixed.check(small_cnn, EIGHT, bit_operations=0.1, **BOTH)
    assert mixed.check(small_cnn, EIGHT, bit_operations=0.2, **BOTH) == ()


def test_chosen_bits_may_be_rounded_in_turn(mixed, small_cnn, tools):
    def error(**settings) -> float:
        result = mixed(small_cnn, LOW, tools=tools, average_bits=3.0, sensitivity_samples=32, **settings)
        assert bits_of(result) == bits_of(nearest)
        found = tools.inference.open(result.graph).run(tools.data.inputs)["y"]
        return float(np.square(found - expected).sum())

    expected = tools.inference.open(small_cnn).run(tools.data.inputs)["y"]
    nearest = mixed(small_cnn, LOW, tools=tools, average_bits=3.0, sensitivity_samples=32)
    assert error(rounding="gptq", bias_correction=False) < error(bias_correction=False)
