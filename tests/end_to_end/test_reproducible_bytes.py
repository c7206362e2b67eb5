"""A recipe gives the same bytes in another process, whatever order that process keeps sets in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model

RECIPE = """
version: 1
seed: 5
data:
  train: {reader: npz, path: d.npz, inputs: x, targets: y}
  test: {reader: npz, path: d.npz, inputs: x, targets: y}
  preprocess: {layout: NHWC->NCHW}
  augment: [flip, {crop: 1}]
plan: {default: {prune_ratio: 0.25, weight_bits: 8, activation_bits: 8}}
steps:
  - {method: prune.l1}
  - {method: train.finetune, parameters: {epochs: 1}}
  - {method: quantize.ptq, parameters: {calibration_samples: 32}}
"""


def test_two_processes_write_the_same_file(small_cnn: ModelGraph, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(80, 8, 8, 3)).astype(np.float32), y=rng.integers(0, 5, 80))
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    save_model(small_cnn, tmp_path / "model.onnx")
    for number in ("1", "2"):
        command = [sys.executable, "-m", "workbench", "compress", "model.onnx", "--recipe", "recipe.yaml"]
        subprocess.run(
            [*command, "--out", f"{number}.onnx", "--no-latency", "--quiet"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": number, "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=200,
        )
    assert (tmp_path / "1.onnx").read_bytes() == (tmp_path / "2.onnx").read_bytes()
