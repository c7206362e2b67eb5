"""Methods get training samples, held-out samples and calibration samples that never overlap by accident."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.domain.data_description import DataDescription
from workbench.domain.errors import DataError
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.methods.preparation import RecipeData


def prepared(graph: ModelGraph, description: DataDescription, engine: OrtEngine, seed: int = 0) -> RecipeData:
    return RecipeData(description, graph.inputs, engine, graph, seed=seed)


def samples_of(batches: object) -> np.ndarray:
    return np.concatenate([batch.inputs["x"] for batch in batches]).reshape(-1, 192)  # type: ignore[attr-defined]


def test_parts_do_not_overlap_and_calibration_stays_within_training(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    data = prepared(small_cnn, labelled, engine)
    training = {row.tobytes() for row in samples_of(data.training.shuffled(32, 0))}
    held = {row.tobytes() for row in samples_of(data.held_out.batches(32))}
    calibration = {row.tobytes() for row in samples_of(data.calibration(50, 16))}
    assert (len(training), len(held), len(calibration)) == (180, 20, 50)
    assert training.isdisjoint(held)
    assert calibration <= training
    assert len(data.training) == 180


def test_calibration_follows_the_seed_and_validation_does_not(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    one, same, other = (prepared(small_cnn, labelled, engine, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(samples_of(one.calibration(20)), samples_of(same.calibration(20)))
    assert not np.array_equal(samples_of(one.calibration(20)), samples_of(other.calibration(20)))
    np.testing.assert_array_equal(samples_of(one.held_out.batches(9)), samples_of(other.held_out.batches(9)))


def test_scores_are_higher_when_better(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    broken = small_cnn.with_initializers({"w3": -np.asarray(small_cnn.constant("w3"))})
    for metric in ("top1", "perplexity"):
        data = prepared(small_cnn, labelled.model_copy(update={"metric": metric}), engine)
        assert data.validate(small_cnn) > data.validate(broken)


def test_missing_and_tiny_training_data_is_named(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no train split"):
        _ = prepared(small_cnn, labelled.model_copy(update={"train": None}), engine).training
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 3, 8, 8), np.float32), y=np.zeros(3, int))
    with pytest.raises(DataError, match="3 training samples are too few"):
        _ = prepared(small_cnn, labelled.model_copy(update={"folder": str(tmp_path)}), engine).held_out
