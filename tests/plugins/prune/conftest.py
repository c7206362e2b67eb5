"""The pruning methods as the loader finds them, data to judge channels by, and shorthands for plans and tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from workbench.api import PRUNE_RATIO, Batch, LayerSettings, Method, ModelGraph, Tools
from workbench.domain.installation import shipped_folder
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.layers import find_layers
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest


class Pictures:
    """Random pictures with the class that a network gives them as calibration data."""

    task, metric = "classification", "top1"

    def __init__(self, graph: ModelGraph, *, labels: bool = True, shape: tuple[int, ...] = (3, 8, 8)) -> None:
        self._graph, self._labels, self._shape = graph, labels, shape

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        session = OrtEngine(threads=1).open(self._graph)
        for start in range(0, samples, batch_size):
            count = min(batch_size, samples - start)
            images = rng.normal(0.5, 1, (count, *self._shape)).astype(np.float32)
            classes = session.run({"x": images})["y"].argmax(axis=1)
            yield Batch({"x": images}, classes if self._labels else None)

    @property
    def training(self) -> Pictures:
        """The same pictures, for statistics of batch norm."""
        return self

    def __len__(self) -> int:
        return 2000

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        return self.calibration(len(self), batch_size)


@pytest.fixture(scope="session")
def methods() -> dict[str, type[Method]]:
    """All methods of the plugin by id."""
    folder = shipped_folder("plugins")
    assert folder is not None
    return {method.id: method for method in load_methods(read_manifest(folder / "prune", "first-party"))}


@pytest.fixture(scope="session")
def tools_for() -> Callable[..., Tools]:
    """Return a function (graph, data=…, seed=…) -> tools; by default with labelled pictures."""

    def make(graph: ModelGraph, *, data: object = "pictures", seed: int = 0) -> Tools:
        return Tools(
            reference=graph,
            data=Pictures(graph) if data == "pictures" else data,  # type: ignore[arg-type]
            inference=OrtEngine(threads=1),
            training=TorchEngine(threads=1),
            rng=np.random.default_rng(seed),
            seed=seed,
        )

    return make


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., LayerSettings]:
    """Return a function (graph, default ratio, {layer or glob: ratio}) -> resolved plan."""

    def make(graph: ModelGraph, default: float = 0.0, lines: Mapping[str, float] | None = None) -> LayerSettings:
        written = Plan(
            default={"prune_ratio": default}, layers={name: {"prune_ratio": r} for name, r in (lines or {}).items()}
        )
        return resolve(written, {layer.name: layer.knobs for layer in find_layers(graph)}, [PRUNE_RATIO])

    return make
