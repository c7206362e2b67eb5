"""Rows are what a layer multiplies with its weight, however its kernel strides, spreads and pads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from workbench.api import ChannelRows, LayerRows, ModelGraph, SampledRows, Windows
from workbench.engines.inference_ort.engine import OrtEngine

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
GEOMETRIES = [
    ((3, 3), "pads = [1, 2, 0, 1]"),
    ((3, 2), 'auto_pad = "SAME_UPPER", strides = [2, 2]'),
    ((2, 3), 'auto_pad = "SAME_LOWER", strides = [2, 1]'),
    ((2, 2), 'auto_pad = "VALID", dilations = [2, 1], strides = [1, 3]'),
]


@pytest.fixture(params=GEOMETRIES, ids=lambda geometry: geometry[1])
def layer(request: pytest.FixtureRequest, graph_from: Callable[..., ModelGraph]) -> tuple[ModelGraph, np.ndarray]:
    """Return a convolution without bias and what it reads, (2, 4, 7, 9)."""
    kernel, attributes = request.param
    rng = np.random.default_rng(0)
    graph = graph_from(
        HEADER + f"net (float[batch,4,7,9] x) => (float[batch,6,h,w] y) {{ [c] y = Conv <{attributes}> (x, w0) }}",
        {"w0": rng.normal(size=(6, 4, *kernel)).astype(np.float32)},
    )
    return graph, rng.normal(size=(2, 4, 7, 9)).astype(np.float32)


def outputs(graph: ModelGraph, x: np.ndarray) -> np.ndarray:
    """Return what the layer computes, (N, positions, out)."""
    y = OrtEngine(threads=1).open(graph).run({"x": x})["y"]
    return np.moveaxis(y, 1, -1).reshape(len(x), -1, y.shape[1])


def test_all_rows_times_the_weight_are_the_output(layer: tuple[ModelGraph, np.ndarray]) -> None:
    graph, x = layer
    weight = graph.constant("w0")
    (rows,) = LayerRows(graph.node("c"), weight.shape[2:]).of(x)
    matrix = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    np.testing.assert_allclose(rows[0] @ matrix.T, outputs(graph, x).reshape(-1, 6), atol=1e-5)


def test_sampled_rows_are_the_same_positions_of_every_sample(layer: tuple[ModelGraph, np.ndarray]) -> None:
    graph, x = layer
    weight = graph.constant("w0")
    (rows,) = SampledRows(graph.node("c"), weight.shape[2:], 3, seed=0).of(x)
    made = (rows @ weight.reshape(len(weight), -1).T).reshape(3, 2, 6)
    expected = outputs(graph, x)
    for position in made:
        distance = np.abs(expected - position[:, None]).max(axis=(0, 2))
        assert distance.min() < 1e-5
    (again,) = SampledRows(graph.node("c"), weight.shape[2:], 3, seed=0).of(x)
    assert (again == rows).all()


def test_windows_of_a_transposed_convolution_undo_its_stride(graph_from: Callable[..., ModelGraph]) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 6, 3, 3)).astype(np.float32)
    attributes = "strides = [2, 3], pads = [1, 0, 0, 1], output_padding = [1, 0], dilations = [1, 2]"
    graph = graph_from(
        HEADER
        + f"net (float[batch,4,5,6] x) => (float[batch,6,h,w] y) {{ [c] y = ConvTranspose <{attributes}> (x, w0) }}",
        {"w0": weight},
    )
    x = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    windows = Windows.of(graph.node("c"), (3, 3)).on(x)
    made = np.einsum("nchwij,coij->nohw", windows, weight)
    np.testing.assert_allclose(made, OrtEngine(threads=1).open(graph).run({"x": x})["y"], atol=1e-4)


def test_matrices_read_the_last_axis_or_channels_any(graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        HEADER + "net (float[batch,5,4] x) => (float[batch,5,3] y) { [m] y = MatMul (x, w0) }",
        {"w0": np.ones((4, 3), np.float32)},
    )
    x = np.arange(40, dtype=np.float32).reshape(2, 5, 4)
    (rows,) = LayerRows(graph.node("m")).of(x)
    assert (rows[0] == x.reshape(-1, 4)).all()
    (some,) = SampledRows(graph.node("m"), (), 2, seed=1).of(x)
    assert some.shape == (4, 4)
    assert {tuple(row) for row in some} <= {tuple(row) for row in rows[0]}
    (channels,) = ChannelRows(1).of(x)
    assert channels.dtype == np.float64
    assert (channels == np.moveaxis(x, 1, -1).reshape(-1, 5)).all()
