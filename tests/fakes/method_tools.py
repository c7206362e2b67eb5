"""What a method is given in tests: real engines with one thread, fixed seeds, and the data that a test names."""

from __future__ import annotations

import numpy as np

from workbench.domain.installation import shipped_folder
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.model import ModelGraph
from workbench.methods.method import Tools
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest


def tools(graph: ModelGraph, data: object = None) -> Tools:
    """Return tools for a method that is applied to `graph`; `data` implements MethodData."""
    return Tools(
        reference=graph,
        data=data,  # type: ignore[arg-type]
        inference=OrtEngine(threads=1),
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=0,
    )


def registry_of(*plugins: str) -> MethodRegistry:
    """Return the methods of the named first-party plugins."""
    known = MethodRegistry()
    folder = shipped_folder("plugins")
    assert folder is not None
    for name in plugins:
        for method in load_methods(read_manifest(folder / name, "first-party")):
            known.register(method, name)
    return known
