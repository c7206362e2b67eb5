"""Metrics of models are exact, paired, and refuse what they can't judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.methods import cancelling_at
from workbench.data.dataset import open_split
from workbench.data.fit import check_fit
from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import DataDescription, Preprocess, Split
from workbench.domain.errors import BadInputError, CancelledError, DataError, JobError
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model
from workbench.methods.evaluation import Reference, compare, evaluate


def test_accuracy_is_the_share_of_right_labels(
    small_cnn: ModelGraph, model_file: Path, labelled: DataDescription, engine: OrtEngine
) -> None:
    dataset = open_split(labelled, "test", small_cnn.inputs)
    check_fit(dataset, small_cnn.inputs, small_cnn.outputs)
    whole = evaluate(engine, model_file, dataset, batch_size=33)
    assert whole.measurement.value == 0.9
    assert whole.measurement.samples == 200
    assert whole.measurement.ci95[0] < 0.9 < whole.measurement.ci95[1]
    part = evaluate(engine, small_cnn, dataset, samples=50)
    np.testing.assert_array_equal(part.per_sample, whole.per_sample[::4])


def test_a_model_that_puts_out_nan_only_is_told_and_not_taken_for_a_bad_one(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    dataset = open_split(labelled, "test", small_cnn.inputs)
    broken = small_cnn.with_initializers({"b3": np.full(5, np.nan, np.float32)})
    with pytest.raises(JobError, match="top1 can't be taken: all that the model puts out is NaN"):
        evaluate(engine, broken, dataset)
    # One class that is NaN makes every answer wrong, which is a figure.
    partly = small_cnn.with_initializers({"b3": np.array([np.nan, 0, 0, 0, 0], np.float32)})
    assert evaluate(engine, partly, dataset).measurement.value == 0.0


def test_pairs_count_what_changed(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    dataset = open_split(labelled, "test", small_cnn.inputs)
    first = evaluate(engine, small_cnn, dataset)
    damaged = small_cnn.with_initializers({"w3": -np.asarray(small_cnn.constant("w3"))})
    second = evaluate(engine, damaged, dataset)
    difference = compare(first, second)
    assert difference.value == pytest.approx(second.measurement.value - first.measurement.value)
    lost, won = difference.only_original_correct, difference.only_candidate_correct
    assert lost is not None
    assert won is not None
    assert (won - lost) / 200 == pytest.approx(difference.value)
    assert difference.ci95[1] < 0
    with pytest.raises(DataError, match="not of the same samples"):
        compare(first, evaluate(engine, damaged, dataset, samples=10))


def test_without_labels_outputs_are_compared_with_the_original(small_cnn: ModelGraph, engine: OrtEngine) -> None:
    split = Split.model_validate({"reader": "random", "samples": 40, "shape": [3, 8, 8]})
    description = DataDescription(task="outputs", metric="sqnr", test=split)
    dataset = open_split(description, "test", small_cnn.inputs)
    weight = small_cnn.constant("w3")
    assert weight is not None
    scaled = small_cnn.with_initializers({"w3": weight * np.float32(1.1), "b3": np.zeros(5, np.float32)})
    reference = Reference(engine, small_cnn)
    assert evaluate(engine, small_cnn, dataset, reference=reference).measurement.value == 200.0
    found = evaluate(engine, scaled, dataset, reference=reference).measurement.value
    assert 0 < found < 40
    unkept = evaluate(engine, scaled, dataset, reference=Reference(engine, small_cnn, limit_bytes=0))
    assert unkept.measurement.value == found
    with pytest.raises(DataError, match="needs the original model"):
        evaluate(engine, scaled, dataset)
    with pytest.raises(DataError, match="labels are missing for metric 'top1'"):
        evaluate(engine, scaled, dataset, metric="top1")


def test_a_fixed_batch_size_of_the_model_is_no_obstacle(
    graph_from: Callable[..., ModelGraph], engine: OrtEngine
) -> None:
    text = '<ir_version: 9, opset_import: ["" : 17]> n (float[1,3] x) => (float[1,2] y) { y = MatMul (x, w) }'
    graph = graph_from(text, {"w": np.ones((3, 2), np.float32)})
    split = Split.model_validate({"reader": "random", "samples": 7})
    dataset = open_split(DataDescription(task="outputs", metric="cosine", test=split), "test", graph.inputs)
    found = evaluate(engine, graph, dataset, batch_size=4, reference=Reference(engine, graph))
    assert found.measurement.samples == 7
    assert found.measurement.value == pytest.approx(1.0)


def test_numbers_that_are_none_are_refused(small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3, 8, 8), np.float32), y=np.zeros((4, 5), np.float32))
    split = Split(reader="npz", path="d.npz", inputs="x", targets="y")
    description = DataDescription(task="regression", metric="mse", test=split, folder=str(tmp_path))
    dataset = open_split(description, "test", small_cnn.inputs)
    broken = small_cnn.with_initializers({"b3": np.full(5, np.nan, np.float32)})
    with pytest.raises(JobError, match="mse of the model's outputs is nan"):
        evaluate(engine, broken, dataset)
    with pytest.raises(DataError, match="0 samples"):
        evaluate(engine, small_cnn, dataset, samples=0)
    named = open_split(description.model_copy(update={"options": {"output": "z"}}), "test", small_cnn.inputs)
    with pytest.raises(BadInputError, match="no output 'z'"):
        evaluate(engine, small_cnn, named)


def test_cancel_stops_it(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    token = CancelToken()
    with pytest.raises(CancelledError):
        evaluate(
            engine,
            small_cnn,
            open_split(labelled, "test", small_cnn.inputs),
            batch_size=10,
            progress=cancelling_at(token, 0.5),
            cancel=token,
        )


@pytest.mark.slow
def test_resnet20_has_its_published_accuracy(shared: Path, engine: OrtEngine) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    description = DataDescription(
        test=Split(reader="npz", path="cifar10/test.npz", inputs="x", targets="y"),
        preprocess=Preprocess(scale=255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), layout="NHWC->NCHW"),
        folder=str(shared / "data"),
    )
    found = evaluate(OrtEngine(), graph, open_split(description, "test", graph.inputs))
    assert found.measurement.value == 0.9173
    assert found.measurement.samples == 10_000
