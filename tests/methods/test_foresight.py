"""What is wrong with weights or samples is told before the first step, whichever step it is that calibrates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.data.dataset import Dataset
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import DataError, UnsupportedGraphError
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.methods.foresight import look_at_samples
from workbench.methods.method import Method, MethodResult, Parameters, Stage, Tools
from workbench.methods.pipeline import prepare
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry


class Untouching(Method):
    """Stands before the step that calibrates, and would take long."""

    id, title, stage = "test.long", "Long", Stage.PRUNE

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fail the test."""
        raise AssertionError("a step ran")


class CalibratingParameters(Parameters):
    """How many."""

    calibration_samples: int = 64


class Calibrating(Untouching):
    """Reads calibration samples."""

    id, title, stage = "test.calibrating", "Calibrating", Stage.QUANTIZE
    needs_data = True
    Parameters = CalibratingParameters


def warnings_of(graph: ModelGraph, folder: Path, x: np.ndarray, *steps: str) -> tuple[str, ...]:
    np.savez(folder / "d.npz", x=x, y=np.zeros(len(x), np.int64))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    data = DataDescription.model_validate({"train": split, "folder": str(folder)})
    registry = MethodRegistry()
    for method in (Untouching, Calibrating):
        registry.register(method, "test", "1")
    recipe = Recipe(data=data, steps=tuple(Step(method=id) for id in steps or ("test.long", "test.calibrating")))
    return prepare(graph, recipe, registry, OrtEngine(threads=1)).warnings


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(100, 3, 8, 8)).astype(np.float32)


def test_sound_samples_are_not_spoken_of(small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray) -> None:
    assert warnings_of(small_cnn, tmp_path, x) == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_named_with_its_file(
    small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray, bad: float
) -> None:
    taken = _taken(small_cnn, tmp_path, x)
    x[taken, 0, 0, 0] = bad
    with pytest.raises(DataError, match=rf"train \(.*d\.npz\): sample {taken} of 'x' holds NaN or infinity"):
        warnings_of(small_cnn, tmp_path, x)
    # A recipe that calibrates nothing does not read them.
    assert warnings_of(small_cnn, tmp_path, x, "test.long") == ()


def test_samples_far_beyond_the_others_are_named_by_their_place(
    small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray
) -> None:
    taken = _taken(small_cnn, tmp_path, x)
    x[taken] *= 1e6
    (warning,) = warnings_of(small_cnn, tmp_path, x)
    assert f"1 of 64 samples of 'x' (sample {taken} of the split) reach up to" in warning
    assert "Seen in 64 samples before the run" in warning


def test_channels_that_never_change_are_named(small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray) -> None:
    x[:, 1] = 0.5
    (warning,) = warnings_of(small_cnn, tmp_path, x)
    assert "channels [1] of input 'x' never change" in warning


@pytest.mark.parametrize("name", ["w2", "b1"])
def test_weights_that_are_not_finite_are_named(small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray, name: str) -> None:
    array = small_cnn.constant(name)
    assert array is not None
    array = array.copy()
    array.reshape(-1)[-1] = np.nan
    with pytest.raises(UnsupportedGraphError, match=f"weight {name!r} holds 1 numbers that are not finite"):
        warnings_of(small_cnn.with_initializers({name: array}), tmp_path, x, "test.long")


def test_layers_of_zeros_are_named(small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray) -> None:
    weight = small_cnn.constant("w2")
    assert weight is not None
    silent = small_cnn.with_initializers({"w2": np.zeros_like(weight)})
    (layer,) = [node.name for node in small_cnn.nodes if "w2" in node.inputs]
    (warning,) = warnings_of(silent, tmp_path, x, "test.long")
    assert f"1 layer(s) have nothing but zeros as weights ({layer})" in warning


def test_a_weight_far_beyond_all_others_is_named(small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray) -> None:
    weight = small_cnn.constant("w2")
    assert weight is not None
    weight = weight.copy()
    weight[3, 2, 1, 1] = -1e30
    (layer,) = [node.name for node in small_cnn.nodes if "w2" in node.inputs]
    (warning,) = warnings_of(small_cnn.with_initializers({"w2": weight}), tmp_path, x, "test.long")
    assert (
        f"1 layer(s) have a weight more than 1000 times as large as the others in root mean square ({layer})" in warning
    )


def test_a_search_looks_once_at_the_same_samples(
    small_cnn: ModelGraph, tmp_path: Path, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    x[:, 1] = 0.5
    np.savez(tmp_path / "d.npz", x=x, y=np.zeros(len(x), np.int64))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    data = DataDescription.model_validate({"train": split, "folder": str(tmp_path)})
    read = []
    batches = Dataset.batches
    monkeypatch.setattr(Dataset, "batches", lambda *args, **named: read.append(1) or batches(*args, **named))
    first, second, other = (
        look_at_samples(RecipeData(data, small_cnn.inputs, OrtEngine(threads=1), small_cnn, seed=seed), 64)
        for seed in (0, 0, 1)
    )
    assert first == second != ()
    assert other != ()
    assert len(read) == 2


def _taken(graph: ModelGraph, folder: Path, x: np.ndarray) -> int:
    """Return a training sample that calibration takes."""
    found = x.copy()
    found[50] *= 1e6
    return 50 if warnings_of(graph, folder, found) else 51
