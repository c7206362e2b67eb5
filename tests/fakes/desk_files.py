"""A folder as a user has it: a model, labelled samples, a data description and recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model

DATA = """\
task: classification
metric: top1
train: {reader: npz, path: samples.npz, inputs: x, targets: y}
test: {reader: npz, path: samples.npz, inputs: x, targets: y}
"""

RECIPE = """\
version: 1
seed: 3
data: data.yaml
plan: {default: {prune_ratio: 0.25, weight_bits: 8, activation_bits: 8}}
steps:
- {method: prune.l1}
- {method: quantize.ptq, parameters: {calibration_samples: 32}}
"""

QUICK = """\
version: 1
data: data.yaml
plan: {default: {weight_bits: 8, activation_bits: 8}}
steps:
- {method: quantize.ptq, parameters: {calibration_samples: 32}}
"""


def write_desk(folder: Path, graph: ModelGraph) -> None:
    """Write model.onnx (top-1 0.9 on its samples), samples.npz, data.yaml, recipe.yaml and quick.yaml."""
    save_model(graph, folder / "model.onnx")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 3, 8, 8)).astype(np.float32)
    y = OrtEngine(threads=1).open(graph).run({"x": x})["y"].argmax(axis=1)
    y[:20] = (y[:20] + 1) % 5
    np.savez(folder / "samples.npz", x=x, y=y)
    (folder / "data.yaml").write_text(DATA, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "quick.yaml").write_text(QUICK, encoding="utf-8")
