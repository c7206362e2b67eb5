"""The quantize plugin as the program loads it, and tools with made-up calibration samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import LayerSettings, Plan, resolve
from workbench.engines.contracts import Batch
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.inference_ort.sample_inputs import random_inputs
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.graph.model import ModelGraph
from workbench.methods.method import Method, MethodResult, Tools
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins


class Samples:
    """Calibration data from arrays (N, …) by input name."""

    task = "classification"
    metric = "top1"

    def __init__(self, inputs: Mapping[str, np.ndarray]) -> None:
        self.inputs = inputs

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        total = min(samples, len(next(iter(self.inputs.values()))))
        for start in range(0, total, batch_size):
            end = min(start + batch_size, total)
            yield Batch({name: array[start:end] for name, array in self.inputs.items()}, None)


class Quantize:
    """Runs a method on a graph with a plan."""

    def __init__(self, method: type[Method]) -> None:
        self.method = method

    def plan(self, graph: ModelGraph, default: Mapping, layers: Mapping | None = None) -> LayerSettings:
        names = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
        return resolve(Plan(default=dict(default), layers=dict(layers or {})), names, FIRST_PARTY_KNOBS)

    def tools(self, graph: ModelGraph, inputs: Mapping[str, np.ndarray] | None = None, **extra) -> Tools:
        inputs = inputs or random_inputs(graph.inputs, batch=32, seed=3)
        data = extra.pop("data", Samples(inputs))
        rng = np.random.default_rng(0)
        return Tools(graph, data, OrtEngine(1), None, rng, 0, **extra)  # type: ignore[arg-type]

    def check(self, graph: ModelGraph, default: Mapping, layers: Mapping | None = None, **parameters):
        method = self.method(self.method.Parameters(**parameters))
        return method.check(graph, self.plan(graph, default, layers))

    def __call__(
        self,
        graph: ModelGraph,
        default: Mapping,
        layers: Mapping | None = None,
        tools: Tools | None = None,
        **parameters,
    ) -> MethodResult:
        method = self.method(self.method.Parameters(**parameters))
        return method.apply(graph, self.plan(graph, default, layers), tools or self.tools(graph))


@pytest.fixture(scope="session")
def quantizers() -> Callable[[str], Quantize]:
    root = Path(__file__).resolve().parents[3] / "plugins" / "quantize"
    (manifest,) = [found for found in find_plugins().manifests if found.folder.resolve() == root]
    methods = {method.id: method for method in load_methods(manifest)}
    return lambda id: Quantize(methods[id])


@pytest.fixture(scope="session")
def quantize(quantizers: Callable[[str], Quantize]) -> Quantize:
    return quantizers("quantize.ptq")
