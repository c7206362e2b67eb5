"""Networks with correlated inputs, and the methods that make them sparse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

import numpy as np
import pytest

from tests.fakes.method_tools import tools
from workbench.api import Batch, LayerSettings, Method, MethodResult, ModelGraph
from workbench.domain.installation import shipped_folder
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.graph.layers import find_layers
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
Methods = Mapping[str, type[Method]]


class Samples:
    """Samples whose values depend on each other and have a mean, as activations do."""

    task, metric = "regression", "mse"

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        rng = np.random.default_rng(1)
        size = int(np.prod(shape))
        self._shape, self._seed = shape, seed
        self._mix = rng.normal(size=(size, size)) * np.exp(-np.arange(size) / (size / 4))[:, None]
        self._mean = rng.normal(size=size)

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        """Yield the same samples every time."""
        rng = np.random.default_rng(self._seed)
        for start in range(0, samples, batch_size):
            count = min(batch_size, samples - start)
            rows = rng.normal(size=(count, len(self._mix))) @ self._mix + self._mean
            yield Batch({"x": rows.reshape(count, *self._shape).astype(np.float32)}, None)


def sample_shape(graph: ModelGraph) -> tuple[int, ...]:
    return tuple(size for size in graph.inputs[0].shape or () if isinstance(size, int))


class Bench:
    """Applies methods to graphs with plans written down briefly."""

    def __init__(self, methods: Methods) -> None:
        self.methods = methods

    def plan(
        self, graph: ModelGraph, default: Mapping[str, object] | None = None, **lines: Mapping[str, object]
    ) -> LayerSettings:
        """Return a resolved plan."""
        written = Plan(default=default or {}, layers=lines)  # type: ignore[arg-type]
        return resolve(written, {layer.name: layer.knobs for layer in find_layers(graph)}, FIRST_PARTY_KNOBS)

    def applied(self, id: str, graph: ModelGraph, plan: LayerSettings, seed: int = 0, **parameters: object):
        """Check and apply a method."""
        method = self.methods[id](self.methods[id].Parameters(**parameters))
        method.check(graph, plan)
        return method.apply(graph, plan, tools(graph, Samples(sample_shape(graph), seed)))

    def error(self, graph: ModelGraph, result: MethodResult) -> float:
        """Return the relative root-mean-square output error on samples that were not calibrated on."""
        inputs = next(Samples(sample_shape(graph), seed=9).calibration(64)).inputs
        engine = OrtEngine(threads=1)
        expected, found = (engine.open(each).run(inputs)["y"] for each in (graph, result.graph))
        return float(np.sqrt(((expected - found) ** 2).mean() / expected.var()))


@pytest.fixture(scope="session")
def bench() -> Bench:
    folder = shipped_folder("plugins")
    assert folder is not None
    loaded = load_methods(read_manifest(folder / "sparsify", "first-party"))
    return Bench({method.id: method for method in loaded})


@pytest.fixture(scope="session")
def module(bench: Bench) -> Callable[[str], ModuleType]:
    """Return modules of the plugin by name, for what has no method in front of it."""
    import importlib

    package = bench.methods["prune.magnitude"].__module__.rpartition(".")[0]
    return lambda name: importlib.import_module(f"{package}.{name}")


def array(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


@pytest.fixture(scope="session")
def mlp(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    rng = np.random.default_rng(0)
    return graph_from(
        HEADER
        + """net (float[batch,32] x) => (float[batch,8] y) {
            [up] a = MatMul (x, w1)
            [bias] b = Add (a, b1)
            r = Relu (b)
            [down] d = Gemm <transB = 1> (r, w2, b2)
            s = Tanh (d)
            [head] y = Gemm (s, w3)
        }""",
        {
            "w1": array(rng, 32, 48),
            "b1": array(rng, 48),
            "w2": array(rng, 20, 48),
            "b2": array(rng, 20),
            "w3": array(rng, 20, 8),
        },
    )


@pytest.fixture(scope="session")
def cnn(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    rng = np.random.default_rng(0)
    return graph_from(
        HEADER
        + """net (float[batch,3,8,8] x) => (float[batch,8,8,8] y) {
            [stem] a = Conv <pads = [1,1,1,1], kernel_shape = [3,3]> (x, w1, b1)
            r = Relu (a)
            [deep] d = Conv <group = 2, auto_pad = "SAME_UPPER", strides = [2,2], kernel_shape = [3,3]> (r, w2, b2)
            s = Relu (d)
            [wise] e = Conv <group = 8, pads = [2,2,2,2], dilations = [2,2], kernel_shape = [3,3]> (s, w3)
            [back] y = ConvTranspose <strides = [2,2], pads = [1,1,0,0], kernel_shape = [3,3]> (e, w4, b4)
        }""",
        {
            "w1": array(rng, 8, 3, 3, 3),
            "b1": array(rng, 8),
            "w2": array(rng, 8, 4, 3, 3),
            "b2": array(rng, 8),
            "w3": array(rng, 8, 1, 3, 3),
            "w4": array(rng, 8, 8, 3, 3),
            "b4": array(rng, 8),
        },
    )
