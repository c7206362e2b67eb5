"""A small network with data that it is right about, so that accuracy means something in tests of methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench.domain.data_description import DataDescription
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model


@pytest.fixture(scope="session")
def engine() -> OrtEngine:
    return OrtEngine(threads=1)


@pytest.fixture(scope="session")
def labelled(small_cnn: ModelGraph, engine: OrtEngine, tmp_path_factory: pytest.TempPathFactory) -> DataDescription:
    """200 random pictures; 9 in 10 carry the class that the network gives them."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 3, 8, 8)).astype(np.float32)
    y = engine.open(small_cnn).run({"x": x})["y"].argmax(axis=1)
    wrong = rng.permutation(200)[:20]
    y[wrong] = (y[wrong] + 1) % 5
    np.savez(folder / "d.npz", x=x, y=y)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    return DataDescription.model_validate({"train": split, "test": split, "folder": str(folder)})


@pytest.fixture
def model_file(small_cnn: ModelGraph, tmp_path: Path) -> Path:
    save_model(small_cnn, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture(scope="session")
def outputs(engine: OrtEngine) -> Callable[[ModelGraph | Path], np.ndarray]:
    """Return a function that runs a model on fixed samples."""
    x = np.random.default_rng(7).normal(size=(6, 3, 8, 8)).astype(np.float32)
    return lambda model: engine.open(model).run({"x": x})["y"]
