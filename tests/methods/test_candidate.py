"""A candidate's figures are those of its file; a bad request is refused before the first step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.methods import NoTraining, Shake, cancelling_at, registry
from workbench.data.dataset import open_split
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, CancelledError, DataError, StorageError
from workbench.domain.measurements import DeviceDescription, Latency, LatencyReport, ModelLatency, Noise, Ratio
from workbench.domain.plan import Plan
from workbench.domain.recipe import Evaluation, Recipe, Step
from workbench.domain.reports import CandidateReport
from workbench.engines.inference_ort import OrtEngine
from workbench.methods.candidate import make_candidate
from workbench.methods.evaluation import evaluate
from workbench.methods.recipe_file import read_recipe, write_recipe


def made(model: Path, recipe: Recipe, out: Path, engine: OrtEngine, **rest: Any) -> CandidateReport:
    return make_candidate(
        model,
        recipe,
        out,
        registry=registry(),
        inference=engine,
        training=NoTraining(),
        **rest,  # type: ignore[arg-type]
    )


def latency_of(paths: Sequence[Path], progress: Progress, cancel: CancelToken) -> LatencyReport:
    def entry(path: Path, ratio: float) -> ModelLatency:
        return ModelLatency(
            path=str(path),
            batch=1,
            latency_ms=Latency(median=ratio, p90=ratio, ci95=(ratio, ratio)),
            runs=3,
            size_bytes=path.stat().st_size,
            ratio_to_first=Ratio(median=ratio, ci95=(ratio, ratio)),
        )

    device = DeviceDescription(name="local", cpu="", threads=1, runtime="", provider="")
    models = (entry(paths[0], 1.0), entry(paths[1], 0.5))
    return LatencyReport(device=device, models=models, noise=Noise(quiet=True, drift_ratio=0.0))


PRUNED = Recipe(
    plan=Plan(default={"prune_ratio": 0.5, "weight_bits": 8}),
    steps=(Step(method="test.drop"), Step(method="test.shake"), Step(method="test.round")),
)


def test_test_samples_that_are_not_finite_are_named_before_the_first_step(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    x = np.zeros((20, 3, 8, 8), np.float32)
    x[17, 1] = np.nan
    np.savez(tmp_path / "test.npz", x=x, y=np.zeros(20, np.int64))
    spoiled = {"reader": "npz", "path": str(tmp_path / "test.npz"), "inputs": "x", "targets": "y"}
    data = DataDescription.model_validate({**labelled.model_dump(mode="json"), "test": spoiled})
    said: list[str] = []
    with pytest.raises(DataError, match=r"test \(.*test\.npz\): sample 17 of 'x' holds NaN"):
        made(model_file, PRUNED.model_copy(update={"data": data}), tmp_path / "out.onnx", engine, log=said.append)
    assert said == []


def test_everything_is_measured_on_the_exported_file(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    recipe = PRUNED.model_copy(update={"data": labelled, "evaluate": Evaluation(samples=150)})
    report = made(model_file, recipe, out, engine, measure_latency=latency_of)
    assert report.candidate.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert report.candidate.size_bytes == out.stat().st_size < report.model.size_bytes
    assert report.candidate.macs < report.model.macs
    assert report.candidate.params < report.model.params
    dataset = open_split(labelled, "test")
    dataset.mapping = {"x": "x"}
    assert report.metric is not None
    assert report.metric.value == evaluate(engine, out, dataset, samples=150).measurement.value
    assert report.baseline_metric is not None
    assert report.difference is not None
    assert report.difference.value == pytest.approx(report.metric.value - report.baseline_metric.value)
    assert report.latency is not None
    assert report.latency.path == str(out)
    assert [change.name for change in report.layers] == ["Conv_0", "Conv_2", "Gemm_7"]
    assert report.layers[0].after is not None
    assert report.layers[0].after.weight_shape == (4, 3, 3, 3)
    assert [step.method for step in report.steps] == ["test.drop", "test.shake", "test.round"]
    assert CandidateReport.model_validate_json(report.model_dump_json()) == report


def test_an_empty_recipe_exports_an_equal_function(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path, outputs: Callable[..., np.ndarray]
) -> None:
    report = made(model_file, Recipe(data=labelled), tmp_path / "same.onnx", engine)
    np.testing.assert_array_equal(outputs(tmp_path / "same.onnx"), outputs(model_file))
    assert report.metric is not None
    assert report.baseline_metric is not None
    assert report.metric.value == report.baseline_metric.value == 0.9


def test_a_written_recipe_makes_the_same_bytes_again(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    recipe = PRUNED.model_copy(update={"data": labelled, "seed": 11})
    first = made(model_file, recipe, tmp_path / "a.onnx", engine)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    second = made(model_file, read_recipe(tmp_path / "recipe.yaml"), tmp_path / "b.onnx", engine)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert first.recipe_sha256 == second.recipe_sha256


def test_what_could_not_be_measured_is_said(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    report = made(model_file, Recipe(), tmp_path / "a.onnx", engine)
    assert report.metric is None
    assert report.warnings == ("The recipe names no data: accuracy was not measured.",)
    untested = Recipe(data=labelled.model_copy(update={"test": None}))
    assert "no test split" in made(model_file, untested, tmp_path / "a.onnx", engine).warnings[0]


def test_bad_places_and_data_are_refused_before_the_first_step(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    before = model_file.read_bytes()
    with pytest.raises(BadInputError, match="would replace the original"):
        made(model_file, PRUNED, model_file, engine)
    with pytest.raises(StorageError, match="does not exist"):
        made(model_file, PRUNED, tmp_path / "none" / "a.onnx", engine)
    with pytest.raises(StorageError, match="can't be written"):
        made(model_file, PRUNED, tmp_path, engine)
    (tmp_path / "data.yaml").write_text("metric: top1", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"data\.yaml: a model can't be written under this name"):
        made(model_file, PRUNED, tmp_path / "data.yaml", engine)
    assert (tmp_path / "data.yaml").read_text(encoding="utf-8") == "metric: top1"
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 8, 8, 3), np.float32), y=np.zeros(20, int))
    with pytest.raises(DataError, match="NHWC->NCHW"):
        made(
            model_file,
            PRUNED.model_copy(update={"data": labelled.model_copy(update={"folder": str(tmp_path)})}),
            tmp_path / "a.onnx",
            engine,
        )
    unknown = PRUNED.model_copy(update={"data": labelled.model_copy(update={"metric": "f1"})})
    with pytest.raises(DataError, match="unknown metric 'f1'"):
        made(model_file, unknown, tmp_path / "a.onnx", engine)
    no_samples = PRUNED.model_copy(update={"data": labelled, "evaluate": Evaluation(samples=0)})
    with pytest.raises(DataError, match="0 samples"):
        made(model_file, no_samples, tmp_path / "a.onnx", engine)
    assert Shake.runs == 0
    assert model_file.read_bytes() == before


def test_a_cancel_leaves_no_file(
    model_file: Path, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    token = CancelToken()
    with pytest.raises(CancelledError):
        made(
            model_file,
            PRUNED.model_copy(update={"data": labelled}),
            tmp_path / "a.onnx",
            engine,
            progress=cancelling_at(token, 0.3),
            cancel=token,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]
