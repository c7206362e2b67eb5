"""Pairs of layers, all layers but one, and estimates agree with what setting them by hand gives."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.methods import NoTraining, RoundWeights, registry
from workbench.data.dataset import open_split
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.methods.estimates import estimate, rank
from workbench.methods.evaluation import Reference, evaluate
from workbench.methods.interactions import interactions
from workbench.methods.sensitivity import sweep
from workbench.methods.sweep_setup import Swept

LAYERS = ("Conv_0", "Conv_2", "Gemm_7")


def continuous(description: DataDescription) -> DataDescription:
    """The share of right answers of a network this small hardly moves; how its outputs turn does."""
    return description.model_copy(update={"metric": "cosine"})


def measured_by_hand(engine: OrtEngine, graph: ModelGraph, changed: ModelGraph, description: DataDescription) -> float:
    dataset = open_split(description, "test", graph.inputs)
    return evaluate(engine, changed, dataset, reference=Reference(engine, graph)).measurement.value


def what(graph: ModelGraph, description: DataDescription, engine: OrtEngine, **changes: Any) -> Swept:
    dataset = open_split(description, "test", graph.inputs)
    return Swept(graph, registry(), "test.round", "weight_bits", dataset, engine, NoTraining(), **changes)


def rounded(graph: ModelGraph, layers: tuple[str, ...], bits: int) -> ModelGraph:
    """Round by hand as the method under test does."""
    weights = {node.name: weight.name for node, weight in layer_nodes(graph)}
    top = 2 ** (bits - 1) - 1
    arrays = {}
    for layer in layers:
        values = np.asarray(graph.constant(weights[layer]))
        step = np.abs(values).max() / top
        arrays[weights[layer]] = (np.rint(values / step) * step).astype(np.float32)
    return graph.with_initializers(arrays)


def test_an_interaction_is_what_two_lose_beyond_each_alone(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    data = continuous(labelled)
    report = interactions(what(small_cnn, data, engine), 2)

    def drop(*layers: str) -> float:
        return 1 - measured_by_hand(engine, small_cnn, rounded(small_cnn, layers, 2), data)

    assert [point.layer for point in report.points] == list(LAYERS)
    assert [pair.layers for pair in report.pairs] == list(combinations(LAYERS, 2))
    assert report.evaluations == 7
    for pair in report.pairs:
        assert pair.drop == pytest.approx(drop(*pair.layers), rel=1e-4)
        assert pair.drop > 1e-4
        alone = sum(drop(layer) for layer in pair.layers)
        assert pair.interaction == pytest.approx(drop(*pair.layers) - alone, abs=1e-5)
        assert pair.interaction_ci95[0] < pair.interaction < pair.interaction_ci95[1]


def test_pairs_are_kept_and_not_run_again(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    swept = what(small_cnn, labelled, engine, store=tmp_path / "pairs.jsonl")
    first = interactions(swept, 2)
    runs = RoundWeights.runs
    again = interactions(swept, 2)
    assert again.pairs == first.pairs
    assert RoundWeights.runs == runs


def test_one_layer_makes_no_pair(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    with pytest.raises(RecipeError, match="nothing to pair: 1 layer can take weight_bits by itself"):
        interactions(what(small_cnn, labelled, engine, layers=("Conv_2",)), 2)


def test_everything_but_one_layer(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    data = continuous(labelled)
    report = sweep(what(small_cnn, data, engine), (2,), direction="all but")
    for point in report.points:
        others = tuple(layer for layer in LAYERS if layer != point.layer)
        expected = measured_by_hand(engine, small_cnn, rounded(small_cnn, others, 2), data)
        assert point.metric == pytest.approx(expected, rel=1e-4)
        assert point.coupled == ()
    (whole,) = report.everything
    assert whole.layer == "*"
    assert whole.metric == pytest.approx(
        measured_by_hand(engine, small_cnn, rounded(small_cnn, LAYERS, 2), data), rel=1e-4
    )
    assert whole.drop > max(point.drop for point in report.points)


def test_estimates_are_the_divergence_of_the_rounded_network(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    report = estimate(what(small_cnn, labelled, engine, samples=40), (8, 4, 2))
    assert RoundWeights.runs == 3  # the method is applied once for every value, not for every layer
    dataset = open_split(labelled, "test", small_cnn.inputs)
    inputs = next(dataset.batches(40, indices=np.arange(40) * 5)).inputs

    def probabilities(graph: ModelGraph) -> np.ndarray:
        scores = next(iter(engine.open(graph).run(inputs).values())).astype(np.float64)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    original = probabilities(small_cnn)
    assert [(point.layer, point.value) for point in report.points] == [
        (layer, bits) for layer in LAYERS for bits in (8, 4, 2)
    ]
    for point in report.points:
        found = probabilities(rounded(small_cnn, (point.layer,), int(point.value)))
        expected = (original * np.log(original / found)).sum(axis=1).mean()
        assert point.divergence == pytest.approx(expected, rel=1e-2, abs=1e-6)


def test_removed_channels_are_estimated_as_zeros(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    dataset = open_split(labelled, "test", small_cnn.inputs)
    swept = Swept(small_cnn, registry(), "test.drop", "prune_ratio", dataset, engine, NoTraining(), samples=50)
    report = estimate(swept, (0.25, 0.5))
    few, many = (point.divergence for point in report.points if point.layer == "Conv_0")
    assert 0 < few < many


def test_an_estimate_is_compared_with_what_was_measured(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    measured = sweep(what(small_cnn, continuous(labelled), engine), (8, 4, 2)).points
    report = estimate(what(small_cnn, labelled, engine, samples=50), (8, 4, 2), measured=measured)
    assert report.compared == 9
    assert report.rank_correlation is not None
    assert report.rank_correlation > 0.7
    assert estimate(what(small_cnn, labelled, engine, samples=50), (2,)).rank_correlation is None


def test_equal_values_share_their_rank() -> None:
    np.testing.assert_array_equal(rank(np.array([3.0, 1.0, 3.0, 2.0])), [2.5, 0, 2.5, 1])
