"""What a step can't work without is looked for before the recipe runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import RecipeError, UnsupportedGraphError
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Recipe, Step
from workbench.engines.contracts import TrainingEngine
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.methods.method import Method, MethodResult, Requirement, Stage, Tools
from workbench.methods.pipeline import prepare
from workbench.methods.registry import MethodRegistry


class Demanding(Method):
    """Needs labels and gradients."""

    id, title, stage = "test.demanding", "Demanding", Stage.PRUNE

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Demand."""
        return frozenset({Requirement.LABELS, Requirement.GRADIENTS})

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Do nothing."""
        return MethodResult(graph)


class Lacking:
    """A training engine that can't execute one node."""

    def __init__(self, *missing: str) -> None:
        self._missing = missing

    def unsupported(self, graph: ModelGraph) -> tuple[str, ...]:
        return self._missing


def check(graph: ModelGraph, folder: Path, *missing: str, data: bool = True, labels: bool = True) -> None:
    arrays = {"x": np.zeros((20, 3, 8, 8), np.float32), "y": np.zeros(20, np.int64)}
    np.savez(folder / "data.npz", **arrays)
    split = Split(reader="npz", path="data.npz", inputs="x", targets="y" if labels else None)
    described = DataDescription(task="classification", metric="top1", train=split, folder=str(folder))
    recipe = Recipe(data=described if data else None, steps=(Step(method="test.demanding"),))
    registry = MethodRegistry()
    registry.register(Demanding, "test", "1")
    engine: TrainingEngine = Lacking(*missing)  # type: ignore[assignment]
    prepare(graph, recipe, registry, OrtEngine(), training=engine)


def test_all_there(small_cnn: ModelGraph, tmp_path: Path) -> None:
    check(small_cnn, tmp_path)


def test_missing_data_and_labels_are_named(small_cnn: ModelGraph, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"step 1: test.demanding needs data"):
        check(small_cnn, tmp_path, data=False)
    with pytest.raises(RecipeError, match=r"needs labels, and the training samples have none.*train\.targets"):
        check(small_cnn, tmp_path, labels=False)


def test_operators_without_gradient_are_named(small_cnn: ModelGraph, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedGraphError, match=r"needs gradients.* NonZero \(mask\)"):
        check(small_cnn, tmp_path, "NonZero (mask)")
