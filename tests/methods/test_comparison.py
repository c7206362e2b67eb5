"""Comparing files sample by sample: verdicts, classes and layer errors against what plain NumPy says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import registry_of, tools
from workbench.api import BadInputError, CancelledError, CancelToken, ModelGraph
from workbench.data.dataset import Dataset, open_split
from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.ladder import IDENTICAL_DB
from workbench.domain.plan import Plan, resolve
from workbench.domain.recipe import Step
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.layers import find_layers
from workbench.graph.storage import save_model
from workbench.methods.comparison import compare_models
from workbench.methods.preparation import RecipeData


@pytest.fixture
def other_file(small_cnn: ModelGraph, tmp_path: Path) -> Path:
    """The small network with a disturbed last layer."""
    rng = np.random.default_rng(3)
    weights = small_cnn.constant("w3")
    assert weights is not None
    changed = small_cnn.with_initializers({"w3": weights + rng.normal(size=weights.shape).astype(np.float32)})
    save_model(changed, tmp_path / "other.onnx")
    return tmp_path / "other.onnx"


@pytest.fixture
def dataset(small_cnn: ModelGraph, labelled: DataDescription) -> Dataset:
    return open_split(labelled, "test", small_cnn.inputs)


def test_samples_classes_and_layers_are_what_plain_code_says(
    engine: OrtEngine, model_file: Path, other_file: Path, dataset: Dataset
) -> None:
    report = compare_models(engine, (model_file, other_file), dataset, layer_samples=32, pictures=3)
    x = np.concatenate([batch.inputs["x"] for batch in dataset.batches(200)])
    before, after = (engine.open(path).run({"x": x})["y"].argmax(axis=1) for path in (model_file, other_file))
    labels = dataset.targets
    assert labels is not None
    worse, better = (before == labels) & (after != labels), (before != labels) & (after == labels)
    other = report.models[1]
    assert (other.changed, other.worse, other.better) == ((before != after).sum(), worse.sum(), better.sum())
    assert other.changed == other.worse + other.better + other.other > 0
    assert other.difference is not None
    assert other.difference.value == pytest.approx((better.sum() - worse.sum()) / 200)
    assert {entry.index for entry in report.changed} == set(np.flatnonzero(before != after).tolist())
    for entry in report.changed:
        assert entry.predictions == (str(before[entry.index]), str(after[entry.index]))
        assert entry.verdicts[0] == ("worse" if worse[entry.index] else "better" if better[entry.index] else "other")
        assert entry.moved[0] > 0
    assert [entry.name for entry in report.classes] == [str(label) for label in np.unique(labels)]
    for entry in report.classes:
        own = labels == int(entry.name)
        assert entry.samples == own.sum()
        assert entry.figures[0].value == pytest.approx((before == labels)[own].mean())
        assert entry.figures[1].value == pytest.approx((after == labels)[own].mean())
        assert entry.figures[1].difference is not None
    assert report.layers[-1].sqnr_db[0] is not None
    assert [layer.sqnr_db[0] for layer in report.layers[:-1]] == [IDENTICAL_DB] * 2
    assert report.layers[-1].sqnr_db[0] < 40


def test_pictures_are_few_and_spread_over_verdicts(
    engine: OrtEngine, model_file: Path, other_file: Path, dataset: Dataset
) -> None:
    report = compare_models(engine, (model_file, other_file), dataset, layer_samples=0, pictures=2)
    pictured = [entry for entry in report.changed if entry.image_png_base64 is not None]
    for verdict in ("worse", "better", "other"):
        own = sum(entry.verdicts[0] == verdict for entry in pictured)
        assert own == min(2, getattr(report.models[1], verdict))
    assert report.layers == ()


def test_a_file_is_identical_to_itself(engine: OrtEngine, model_file: Path, dataset: Dataset) -> None:
    report = compare_models(engine, (model_file, model_file), dataset, samples=50, layer_samples=8)
    assert (report.samples, report.changed_total, report.changed) == (50, 0, ())
    assert all(layer.sqnr_db == (IDENTICAL_DB,) for layer in report.layers)


def test_where_labels_are_missing_outputs_are_compared(
    engine: OrtEngine, model_file: Path, other_file: Path, small_cnn: ModelGraph, labelled: DataDescription
) -> None:
    description = DataDescription.model_validate(
        {
            "task": "outputs",
            "metric": "sqnr",
            "test": {"reader": "npz", "path": "d.npz", "inputs": "x"},
            "folder": labelled.folder,
        }
    )
    dataset = open_split(description, "test", small_cnn.inputs)
    report = compare_models(engine, (model_file, other_file), dataset, samples=20, layer_samples=0)
    assert report.classes == ()
    assert "no classes" in report.no_classes
    assert report.changed_total == 20
    assert all(entry.predictions == () for entry in report.changed)
    moved = [entry.moved[0] for entry in report.changed]
    assert moved == sorted(moved, reverse=True)


def test_segmentation_has_intersections_by_class(
    engine: OrtEngine, graph_from: Callable[..., ModelGraph], tmp_path: Path
) -> None:
    text = """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,1,4,4] x) => (float[batch,3,4,4] y) { y = Conv (x, w, b) }"""
    w = np.array([1, -1, 0.1], np.float32).reshape(3, 1, 1, 1)
    files = []
    for name, bias in (("a", [0, 0, 0.2]), ("b", [0, 0, 0.8])):
        graph = graph_from(text, {"w": w, "b": np.array(bias, np.float32)})
        files.append(tmp_path / f"{name}.onnx")
        save_model(graph, files[-1])
    x = np.random.default_rng(1).normal(size=(12, 1, 4, 4)).astype(np.float32)
    y = engine.open(files[0]).run({"x": x})["y"].argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    description = DataDescription.model_validate(
        {
            "task": "segmentation",
            "metric": "miou",
            "test": {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"},
            "folder": str(tmp_path),
        }
    )
    dataset = open_split(description, "test", graph.inputs)
    report = compare_models(engine, files, dataset, layer_samples=0)
    after = engine.open(files[1]).run({"x": x})["y"].argmax(axis=1)
    assert report.class_measure == "iou"
    for label, entry in enumerate(report.classes):
        assert entry.figures[0].value == 1.0
        both, either = (after == label) & (y == label), (after == label) | (y == label)
        assert entry.figures[1].value == pytest.approx(both.sum() / either.sum())
    share = {entry.index: entry.moved[0] for entry in report.changed}
    for index, moved in share.items():
        assert moved == pytest.approx((after[index] != y[index]).mean())


def test_what_can_not_be_compared_is_refused(
    engine: OrtEngine, model_file: Path, dataset: Dataset, graph_from: Callable[..., ModelGraph], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="one model can't be compared"):
        compare_models(engine, (model_file,), dataset)
    wrong = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,192] y) { y = Flatten (x) }"""
    )
    save_model(wrong, tmp_path / "wrong.onnx")
    with pytest.raises(BadInputError, match="different shapes"):
        compare_models(engine, (model_file, tmp_path / "wrong.onnx"), dataset)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        compare_models(engine, (model_file, model_file), dataset, cancel=cancel)


def test_a_broken_file_is_compared_all_the_same(
    engine: OrtEngine, model_file: Path, small_cnn: ModelGraph, dataset: Dataset, tmp_path: Path
) -> None:
    weights = small_cnn.constant("w3")
    assert weights is not None
    save_model(small_cnn.with_initializers({"w3": -weights}), tmp_path / "other.onnx")
    report = compare_models(engine, (model_file, tmp_path / "other.onnx"), dataset, layer_samples=8, pictures=1)
    assert report.models[1].changed > 0
    assert report.layers[-1].sqnr_db[0] is not None
    assert report.layers[-1].sqnr_db[0] < 10


def test_layers_that_lost_channels_are_compared_over_those_that_are_left(
    engine: OrtEngine, model_file: Path, small_cnn: ModelGraph, labelled: DataDescription, dataset: Dataset,
    tmp_path: Path,
) -> None:  # fmt: skip
    plan = resolve(
        Plan(default={"prune_ratio": 0.5}), {layer.name: layer.knobs for layer in find_layers(small_cnn)},
        FIRST_PARTY_KNOBS,
    )  # fmt: skip
    method = registry_of("prune").instantiate(Step(method="prune.l1"))
    data = RecipeData(labelled, small_cnn.inputs, engine, small_cnn, seed=0)
    pruned = method.apply(small_cnn, plan, tools(small_cnn, data)).graph
    save_model(pruned, tmp_path / "pruned.onnx")
    report = compare_models(engine, (model_file, tmp_path / "pruned.onnx"), dataset, layer_samples=8, pictures=0)
    first = report.layers[0].sqnr_db[0]
    # Nothing before the first layer changed: what is left of its output is the same.
    assert first is not None
    assert first > 100
