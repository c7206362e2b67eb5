"""What estimates can look at: noise of the outputs as by hand, and slopes and curvature of the loss along a change."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from tests.fakes.methods import NoTraining, registry
from tests.methods.test_interactions import LAYERS, rounded
from workbench.data.dataset import open_split
from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import UnsupportedGraphError
from workbench.domain.sensitivity_reports import ESTIMATORS, EstimateReport, Estimator
from workbench.engines.contracts import Batch
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.model import ModelGraph
from workbench.methods.estimates import estimate
from workbench.methods.sweep_setup import Swept
from workbench.methods.weight_slopes import SlopeSource, hessian_traces, weight_slopes


def estimated(by: Estimator, graph: ModelGraph, data: DataDescription, engine: OrtEngine) -> EstimateReport:
    dataset = open_split(data, "test", graph.inputs)
    swept = Swept(graph, registry(), "test.round", "weight_bits", dataset, engine, TorchEngine(threads=1), samples=40)
    return estimate(swept, (8, 4, 2), by=by)


def scores(report: EstimateReport) -> dict[str, list[float]]:
    return {layer: [point.divergence for point in report.points if point.layer == layer] for layer in LAYERS}


def test_every_estimator_is_explained_and_named_in_its_report(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    assert set(ESTIMATORS) == set(get_args(Estimator))
    for by in get_args(Estimator):
        report = estimated(by, small_cnn, labelled, engine)
        assert report.estimator == by
        assert len(report.points) == 9
        for found in scores(report).values():
            # Fewer bits move weights farther.
            assert 0 <= found[0] < found[1] < found[2], by


def test_noise_of_the_outputs_is_that_of_running_the_rounded_network(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    dataset = open_split(labelled, "test", small_cnn.inputs)
    inputs = next(dataset.batches(40, indices=np.arange(40) * 5)).inputs

    def outputs(graph: ModelGraph) -> np.ndarray:
        return np.asarray(next(iter(engine.open(graph).run(inputs).values())), np.float64)

    original = outputs(small_cnn)
    for point in estimated("sqnr", small_cnn, labelled, engine).points:
        noise = np.square(outputs(rounded(small_cnn, (point.layer,), int(point.value))) - original)
        assert point.divergence == pytest.approx(noise.mean() / np.square(original).mean(), rel=0.02, abs=1e-9)


def test_slopes_are_those_of_the_loss_along_the_change(small_cnn: ModelGraph, labelled: DataDescription) -> None:
    source = source_of(small_cnn, labelled, TorchEngine(threads=1))
    rng = np.random.default_rng(3)
    weight = np.asarray(small_cnn.constant("w3"))
    change = (0.01 * rng.normal(size=weight.shape)).astype(np.float32)
    slopes = weight_slopes(small_cnn, {"w3": change}, source)["w3"]
    assert slopes.shape == (40,)
    # The other way round the loss changes by the opposite; twice as far, by twice as much.
    back = weight_slopes(small_cnn, {"w3": -change}, source)["w3"]
    np.testing.assert_allclose(back, -slopes, rtol=1e-2, atol=1e-5)
    double = weight_slopes(small_cnn, {"w3": 2 * change}, source)["w3"]
    np.testing.assert_allclose(double, 2 * slopes, rtol=1e-2, atol=1e-5)


def test_curvature_of_a_linear_layer_is_that_of_its_softmax(small_cnn: ModelGraph, labelled: DataDescription) -> None:
    """Of a last layer the trace is known: sum over classes of p (1 - p), times the square of what it reads."""
    engine = TorchEngine(threads=1)
    source = source_of(small_cnn, labelled, engine)
    weight = np.asarray(small_cnn.constant("w3"))
    traced = [hessian_traces(small_cnn, {"w3": weight}, replace(source, seed=seed))["w3"] for seed in range(12)]
    inputs = next(iter(source.batches(40))).inputs
    found = engine.run(small_cnn, inputs, ("f", "y"))
    powers = np.exp(found["y"] - found["y"].max(axis=1, keepdims=True))
    chances = powers / powers.sum(axis=1, keepdims=True)
    exact = ((chances * (1 - chances)).sum(axis=1) * np.square(found["f"]).sum(axis=1)).mean()
    assert np.mean(traced) == pytest.approx(exact, rel=0.25)


def test_gradients_need_operators_that_can_be_trained(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    model = small_cnn.edit()
    node = next(node for node in model.graph if node.op_type == "GlobalAveragePool")
    node.op_type = "Det"
    graph = small_cnn.edited(model)
    assert TorchEngine(threads=1).unsupported(graph)
    assert estimated("divergence", graph, labelled, engine).points
    with pytest.raises(UnsupportedGraphError, match="Det"):
        estimated("fisher", graph, labelled, engine)


def source_of(graph: ModelGraph, data: DataDescription, engine: TorchEngine) -> SlopeSource:
    dataset = open_split(data, "test", graph.inputs).subset(np.arange(40) * 5)

    def batches(size: int) -> list[Batch]:
        return [Batch(batch.inputs, batch.targets) for batch in dataset.batches(size)]

    return SlopeSource(engine, data.task, batches, 40, 0, CancelToken())


def test_the_inference_engine_alone_is_enough_for_the_outputs(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    dataset = open_split(labelled, "test", small_cnn.inputs)
    swept = Swept(small_cnn, registry(), "test.round", "weight_bits", dataset, engine, NoTraining(), samples=10)
    assert len(estimate(swept, (4,), by="sqnr").points) == 3
