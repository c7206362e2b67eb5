"""The truth ladder: three executions of a quantized file agree, and one that errs is named with its node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import registry_of, tools
from workbench.api import CancelledError, CancelToken, ModelGraph
from workbench.data.dataset import Dataset, open_split
from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.ladder import IDENTICAL_DB, Agreement, LadderReport, ValueAgreement
from workbench.domain.plan import Plan, resolve
from workbench.domain.recipe import Step
from workbench.engines.contracts import Inputs
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.compared_values import compared_values, saturating_layers
from workbench.graph.layers import find_layers
from workbench.graph.storage import save_model
from workbench.methods.preparation import RecipeData
from workbench.methods.truth_ladder import Ladder


@pytest.fixture(scope="module")
def quantized(small_cnn: ModelGraph, engine: OrtEngine, labelled: DataDescription) -> ModelGraph:
    """The small network in W8A8, calibrated on its own samples; no sum of it saturates on any processor."""
    plan = resolve(
        Plan(default={"weight_bits": 8, "activation_bits": 8}),
        {layer.name: layer.knobs for layer in find_layers(small_cnn)},
        FIRST_PARTY_KNOBS,
    )
    method = registry_of("quantize").instantiate(Step(method="quantize.ptq", parameters={"reduce_range": True}))
    data = RecipeData(labelled, small_cnn.inputs, engine, small_cnn, seed=0)
    return method.apply(small_cnn, plan, tools(small_cnn, data)).graph


@pytest.fixture
def file(quantized: ModelGraph, tmp_path: Path) -> Path:
    path = tmp_path / "quantized.onnx"
    save_model(quantized, path)
    return path


@pytest.fixture
def dataset(small_cnn: ModelGraph, labelled: DataDescription) -> Dataset:
    return open_split(labelled, "test", small_cnn.inputs)


def test_all_executions_of_a_quantized_file_agree(
    engine: OrtEngine, file: Path, dataset: Dataset, quantized: ModelGraph
) -> None:
    report = Ladder(engine, TorchEngine(threads=1)).climb(file, dataset, compared_samples=40)
    assert [rung.name for rung in report.rungs] == ["simulated", "literal", "deployed"]
    values = [rung.metric.value for rung in report.rungs if rung.metric is not None]
    assert max(values) - min(values) <= 0.01  # of 200 samples two may lie on an edge
    assert report.parts_literal is None
    assert report.parts_deployed is None
    assert "3 executions agree" in report.verdict
    assert report.compared_samples == 48  # whole batches of 16
    integers = [value for value in report.values if value.steps]
    assert len(integers) == sum(value.integers for value in compared_values(quantized)) >= 3
    for value in report.values:
        assert value.literal is not None
        assert value.literal.sqnr_db > 40
        assert value.deployed is not None
        assert value.deployed.sqnr_db > 40
    assert integers[0].literal is not None
    assert integers[0].literal.sqnr_db == IDENTICAL_DB  # the input's own quantizer has no sum before it


class _Failing(TorchEngine):
    """Can't run the model, although it knows all operators."""

    def run(self, graph: ModelGraph, inputs: Inputs, values: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        raise RuntimeError("sizes of tensors must match")


def test_a_simulation_that_fails_costs_its_own_rung_only(engine: OrtEngine, file: Path, dataset: Dataset) -> None:
    report = Ladder(engine, _Failing(threads=1)).climb(file, dataset, compared_samples=16)
    assert "sizes of tensors must match" in report.rungs[0].reason
    assert [rung.metric is None for rung in report.rungs] == [True, False, False]
    assert all(value.literal is None and value.deployed is not None for value in report.values if value.steps)


class _Erring(TorchEngine):
    """Gets the second convolution wrong, as a faulty kernel would."""

    def run(self, graph: ModelGraph, inputs: Inputs, values: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        node = [node for node in graph.nodes if node.op == "Conv"][1]
        bias = graph.producer(node.inputs[2])
        assert bias is not None
        wrong = -np.asarray(graph.constant(bias.inputs[0])) + 5_000
        return super().run(graph.with_initializers({bias.inputs[0]: wrong.astype(np.int32)}), inputs, values)


def test_the_first_node_that_errs_is_named(
    engine: OrtEngine, file: Path, dataset: Dataset, quantized: ModelGraph
) -> None:
    report = Ladder(engine, _Erring(threads=1)).climb(file, dataset)
    second = [node.name for node in quantized.nodes if node.op == "Conv"][1]
    behind = {second, *(node.name for node in quantized.consumers(quantized.node(second).outputs[0]))}
    assert report.parts_literal in behind
    assert report.parts_deployed is None
    assert report.parts_literal is not None
    assert report.parts_literal in report.verdict


def test_what_torch_can_not_execute_is_left_out_and_said(engine: OrtEngine, file: Path, dataset: Dataset) -> None:
    class Unable(TorchEngine):
        def unsupported(self, graph: ModelGraph) -> tuple[str, ...]:
            return ("Exotic (node 3)",)

    report = Ladder(engine, Unable(threads=1)).climb(file, dataset)
    simulated = report.rung("simulated")
    assert simulated is not None
    assert simulated.metric is None
    assert "Exotic (node 3)" in simulated.reason
    assert all(value.literal is None for value in report.values)
    assert "2 executions agree" in report.verdict


def test_a_float_file_is_compared_where_values_exist_in_every_execution(
    engine: OrtEngine, model_file: Path, dataset: Dataset
) -> None:
    report = Ladder(engine, TorchEngine(threads=1)).climb(model_file, dataset)
    assert not any(value.steps for value in report.values)
    assert [value.deployed is not None for value in report.values].count(True) == 1  # the output
    assert report.values[-1].deployed is not None


def test_saturation_is_only_feared_without_integer_dot_products(
    tmp_path: Path, file: Path, dataset: Dataset, quantized: ModelGraph
) -> None:
    # Two weights of 65 steps exceed it with the largest data; here each channel's largest has 63.
    wide = {
        name: (np.asarray(quantized.constant(name)) * 2).astype(np.int8)
        for name in quantized.initializers
        if quantized.value(name).dtype == "int8" and len(quantized.constant_shape(name) or ()) > 1
    }
    wider = quantized.with_initializers(wide)
    save_model(wider, tmp_path / "wider.onnx")

    def climbed(path: Path, exact: bool | None) -> LadderReport:
        engine = OrtEngine(threads=1, integer_dot_products=exact)
        return Ladder(engine, TorchEngine(threads=1)).climb(path, dataset, compared_samples=16)

    assert climbed(tmp_path / "wider.onnx", exact=True).saturating == ()
    assert climbed(tmp_path / "wider.onnx", exact=None).saturating == ()
    feared = climbed(tmp_path / "wider.onnx", exact=False)
    assert feared.saturating == saturating_layers(wider) != ()
    assert f"({', '.join(feared.saturating)}): results saturate" in feared.verdict
    assert climbed(file, exact=False).saturating == ()


def test_cancel_ends_the_climb(engine: OrtEngine, file: Path, dataset: Dataset) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        Ladder(engine, TorchEngine(threads=1)).climb(file, dataset, cancel=token)


def test_a_rung_that_drifts_in_small_steps_is_named_where_it_is_first_too_far() -> None:
    levels = (60.0, 51.0, 42.0, 33.0, 28.0, 24.0)
    agreements = [Agreement(sqnr_db=level, max_error=1.0) for level in levels]
    values = tuple(
        ValueAgreement(value=f"v{i}", node=f"n{i}", op="Conv", steps=True, literal=agreements[0], deployed=agreement)
        for i, agreement in enumerate(agreements)
    )
    report = LadderReport(path="x", sha256="y", rungs=(), values=values, parts_below_db=30.0)
    assert report.verdict == (
        "ONNX Runtime, as deployed drifts from the execution before it, step by step: first below 30 dB at node n4."
    )
    assert "agree" in report.model_copy(update={"values": values[:4]}).verdict
