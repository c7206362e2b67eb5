"""What a graph holds while it runs: its weights, and the most that values take which are still to be read."""

from __future__ import annotations

from collections.abc import Callable

from workbench.graph.held_bytes import held_bytes
from workbench.graph.model import ModelGraph
from workbench.graph.passes.insert_qdq import Placement, insert_qdq
from workbench.graph.quantization import ActivationQuantization


def test_a_value_is_held_until_its_last_reader(small_cnn: ModelGraph) -> None:
    plane = 8 * 8 * 8 * 4
    # At the sum: its two summands and what it makes.
    assert held_bytes(small_cnn) == small_cnn.weight_bytes + 3 * plane


def test_open_sizes_are_those_that_are_given(graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,n] x) => (float[batch,n] y) { a = Neg (x)  b = Neg (a)  y = Neg (b) }""",
        {},
    )
    assert held_bytes(graph, {"n": 100}) == 2 * 100 * 4
    assert held_bytes(graph) == 0


def test_between_quantizers_lie_integers(graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[1,4,8,8] x) => (float[1,4,8,8] y) { a = Relu (x)  b = Relu (a)  y = Relu (b) }""",
        {},
    )
    quantizer = ActivationQuantization.from_range(-1.0, 2.0, 8)
    moves = tuple(node.name for node in graph.nodes)
    deployed = insert_qdq(graph, dict.fromkeys(("x", "a", "b", "y"), quantizer), {}, Placement(integer_nodes=moves))
    values = 4 * 8 * 8
    assert held_bytes(graph) == 2 * values * 4
    # The input and its integers, and at the end the integers and the output; between them one byte a value.
    small = held_bytes(deployed) - deployed.weight_bytes
    assert small == values * 4 + values
