"""Layer merging proves itself: fewer nodes, the same outputs, and a pass that moves them is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import tools
from tests.fakes.removal import feeds, run
from workbench.api import Batch, CancelledError, CancelToken, LayerSettings, Method, ModelGraph
from workbench.domain.errors import UnsupportedGraphError
from workbench.domain.installation import shipped_folder
from workbench.graph.storage import open_model
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
NO_SETTINGS = LayerSettings({})
BLOCK = """net (float[batch,4,6,6] x) => (float[batch,4,6,6] y) {
    i = Relu (x)
    [conv] a = Conv <pads = [1,1,1,1]> (i, w3)
    [conv_bn] b = BatchNormalization (a, s, h, m, v)
    [point] c = Conv (i, w1)
    [point_bn] d = BatchNormalization (c, s, h, m, v)
    [skip_bn] e = BatchNormalization (i, s, h, m, v)
    [sum] f = Add (b, d)
    [total] g = Add (f, e)
    [noop] n = Mul (g, one)
    [scaled] o = Mul (n, two)
    y = Relu (o)
}"""


@pytest.fixture(scope="module")
def method() -> type[Method]:
    folder = shipped_folder("plugins")
    assert folder is not None
    (found,) = load_methods(read_manifest(folder / "merge", "first-party"))
    return found


class Samples:
    """Calibration data."""

    task, metric = "outputs", "mse"

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        for start in range(0, samples, batch_size):
            count = min(batch_size, samples - start)
            yield Batch({"x": rng.normal(3, 2, (count, 4, 6, 6)).astype(np.float32)}, None)


@pytest.fixture(scope="module")
def block(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    rng = np.random.default_rng(0)
    norms = {name: rng.uniform(0.5, 1.5, 4).astype(np.float32) for name in "shmv"}
    weights = {name: rng.normal(size=(4, 4, side, side)).astype(np.float32) for name, side in (("w3", 3), ("w1", 1))}
    return graph_from(HEADER + BLOCK, {**norms, **weights, "one": np.float32(1), "two": np.float32(2)})


def test_a_block_of_branches_becomes_one_convolution(method: type[Method], block: ModelGraph) -> None:
    before = block.to_bytes()
    result = method(method.Parameters()).apply(block, NO_SETTINGS, tools(block, Samples()))
    assert block.to_bytes() == before
    assert [(node.name, node.op) for node in result.graph.nodes][1] == ("conv", "Conv")
    assert [node.op for node in result.graph.nodes] == ["Relu", "Conv", "Relu"]
    assert result.notes[0].startswith("11 nodes → 3; outputs differ by at most ")
    assert result.notes[0].endswith("on random inputs and calibration samples.")
    assert any("Parallel branches merged" in note and "total" in note for note in result.notes)
    assert result.details["deviation"] <= 1e-5
    assert result.details["refused"] == {}


def test_batch_norm_stays_where_training_follows(method: type[Method], block: ModelGraph) -> None:
    result = method(method.Parameters(batch_norm=False)).apply(block, NO_SETTINGS, tools(block))
    kinds = [node.op for node in result.graph.nodes]
    assert kinds.count("BatchNormalization") == 3
    assert "noop" not in {node.name for node in result.graph.nodes}


def test_what_does_not_hold_in_float_is_refused(method: type[Method], graph_from: Callable[..., ModelGraph]) -> None:
    # Half-precision weights round anew when they are scaled: exact in real numbers, not in the file.
    rng = np.random.default_rng(0)
    graph = graph_from(
        HEADER
        + """net (float16[batch,4,3,3] x) => (float16[batch,4,3,3] y) {
            a = Conv (x, w)
            b = Mul (a, scale)
            y = Relu (b)
        }""",
        {
            "w": rng.normal(size=(4, 4, 1, 1)).astype(np.float16),
            "scale": rng.uniform(0.5, 1.5, (4, 1, 1)).astype(np.float16),
        },
    )
    result = method(method.Parameters()).apply(graph, NO_SETTINGS, tools(graph))
    assert result.graph is graph
    assert result.notes[0] == "Nothing to merge."
    assert result.notes[1].startswith(
        "Refused: constant scales and offsets folded into the layers before them (an output"
    )


def test_nothing_to_merge(method: type[Method], graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(HEADER + "net (float[batch,3] x) => (float[batch,3] y) { y = Relu (x) }")
    result = method(method.Parameters()).apply(graph, NO_SETTINGS, tools(graph))
    assert result.graph is graph
    assert result.notes == ("Nothing to merge.",)


def test_an_output_that_says_nothing_is_proven_by_what_leads_to_it(
    method: type[Method], graph_from: Callable[..., ModelGraph]
) -> None:
    graph = graph_from(
        HEADER
        + """net (float[batch,2,3,3] x) => (float[batch,2,3,3] y) {
            [conv] a = Conv (x, w)
            [scaled] b = Mul (a, two)
            [deep] c = Sub (b, far)
            y = Relu (c)
        }""",
        {"w": np.ones((2, 2, 1, 1), np.float32), "two": np.float32(2), "far": np.float32(1000)},
    )
    layers = sys.modules[method.__module__]
    result = method(method.Parameters()).apply(graph, NO_SETTINGS, tools(graph))
    assert result.graph.nodes[0].name == "conv"
    assert len(result.graph.nodes) == 2
    proof = layers.Proof(graph, tools(graph), 0)
    assert proof.deviation(result.graph) <= 1e-5
    wrong = result.graph.with_initializers({"w": 1.01 * result.graph.constant("w")})
    assert proof.deviation(wrong) > 1e-5


def test_no_inputs_no_proof(method: type[Method], graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        HEADER + "net (float[a,b] x) => (float[7,3] y) { y = Reshape (x, shape) }", {"shape": np.int64([7, 3])}
    )
    with pytest.raises(UnsupportedGraphError, match="no inputs could be made up that the model runs on"):
        method(method.Parameters()).apply(graph, NO_SETTINGS, tools(graph))


def test_cancel_ends_it(method: type[Method], block: ModelGraph) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        method(method.Parameters()).apply(block, NO_SETTINGS, replace(tools(block), cancel=token))


@pytest.mark.parametrize(
    ("name", "most"),
    [("models/resnet20_cifar10_bn", 60), ("zoo/ultraface_rfb320", 130), ("zoo/ppocr_v1_det", 170)],
)
def test_real_networks(method: type[Method], shared: Path, name: str, most: int) -> None:
    graph = open_model(shared / "data" / f"{name}.onnx")
    result = method(method.Parameters()).apply(graph, NO_SETTINGS, tools(graph))
    assert len(result.graph.nodes) <= most
    assert not any(node.op == "BatchNormalization" for node in result.graph.nodes)
    inputs = feeds(graph, 3)
    for expected, found in zip(run(graph, inputs), run(result.graph, inputs), strict=True):
        assert np.abs(expected - found).max(initial=0) <= 1e-5 * np.abs(expected).max(initial=0)
