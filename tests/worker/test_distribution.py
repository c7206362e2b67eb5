"""A layer's numbers and levels: those that the methods make and that files hold, whatever the storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.distribution import DistributionReport
from workbench.domain.errors import BadInputError, DataError, RecipeError
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Step
from workbench.graph.model import ModelGraph
from workbench.graph.quantized_layer import activation_quantizer, quantized_weight
from workbench.graph.storage import open_model, save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import DistributionJob
from workbench.methods.method import Tools
from workbench.worker.dispatch import run_job
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import installed_methods

PTQ = Step(method="quantize.ptq")


@pytest.fixture
def model(small_cnn: ModelGraph, tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    save_model(small_cnn, path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> DataDescription:
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", x=rng.normal(size=(40, 3, 8, 8)).astype(np.float32), y=np.arange(40) % 5)
    split = {"reader": "npz", "inputs": "x", "targets": "y"}
    return DataDescription.model_validate(
        {
            "task": "classification",
            "metric": "top1",
            "train": {**split, "path": "train.npz"},
            "test": {**split, "path": "test.npz"},
            "folder": str(tmp_path),
        }
    )


def counted(model: Path, layer: str, **given: Any) -> DistributionReport:
    context = JobContext(progress=Progress(), cancel=CancelToken(), log=print, partial=lambda name, payload: None)
    return DistributionReport.model_validate(run_job(DistributionJob(model=str(model), layer=layer, **given), context))


def applied(step: Step, graph: ModelGraph, settings: dict[str, dict[str, int]]) -> ModelGraph:
    """What a method makes of a plan, without data."""
    tools = Tools(
        reference=graph, data=None, inference=inference_engine(), training=DeferredTrainingEngine(1),
        rng=np.random.default_rng(0), seed=0,
    )  # fmt: skip
    registry, _ = installed_methods()
    return registry.instantiate(step).apply(graph, LayerSettings(settings), tools).graph


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_levels_are_those_that_the_method_stores(model: Path, bits: int) -> None:
    graph = open_model(model)
    layer = graph.nodes[2].name
    report = counted(model, layer, settings={"weight_bits": bits}, step=PTQ)
    made = quantized_weight(applied(PTQ, graph, {layer: {"weight_bits": bits}}), layer)
    codes = np.rint(made.values / made.spread())
    spread = report.spread
    assert report.bits == bits
    assert (report.scope, report.scales, report.channels) == ("channel", 8, 8)
    assert spread.in_steps
    assert spread.levels == tuple(np.unique(codes))
    assert spread.level_counts == tuple(np.unique(codes, return_counts=True)[1])
    assert sum(spread.counts) == sum(spread.level_counts) == spread.total == 8 * 8 * 9
    before = quantized_weight(graph, layer).values.astype(np.float64)
    noise = np.square(made.values - before).sum()
    assert spread.sqnr_db == pytest.approx(10 * np.log10(np.square(before).sum() / noise), abs=1e-4)

    alone = counted(model, layer, settings={"weight_bits": bits}, step=PTQ, channel=5).spread
    scale = made.scales[5]
    assert alone.levels == pytest.approx(np.unique(codes) * scale)
    assert dict(zip(alone.levels, alone.level_counts, strict=True))[alone.levels[0]] == np.count_nonzero(
        codes[5] == codes.min()
    )
    assert alone.clip == pytest.approx((codes.min() * scale, codes.max() * scale))
    beyond = np.abs(before[5] / scale - np.clip(before[5] / scale, codes.min(), codes.max())) > 0.5
    assert alone.clipped == np.count_nonzero(beyond)


def test_levels_follow_the_grid_of_the_step(model: Path) -> None:
    layer = open_model(model).nodes[2].name
    step = Step(method="quantize.ptq", parameters={"grid": "power_of_two"})
    levels = counted(model, layer, settings={"weight_bits": 3}, step=step).spread.levels
    assert set(levels) <= {-4, -2, -1, 0, 1, 2, 4}
    assert {-4, 4} & set(levels)


def test_blocks_and_padding_do_not_hide_the_weights(model: Path, data: DataDescription) -> None:
    linear = open_model(model).nodes[-1].name
    packed = counted(model, linear, settings={"weight_bits": 4}, step=Step(method="quantize.weight_only"))
    assert packed.scope == "block"
    assert packed.spread.levels == ()
    assert sum(packed.spread.after) == packed.spread.total == 40
    assert packed.notes == ()
    assert packed.spread.sqnr_db is not None
    assert packed.spread.sqnr_db > 10, "the same weights in the same order"

    first = open_model(model).nodes[0].name
    both = {"weight_bits": 8, "activation_bits": 8}
    padded = counted(model, first, settings=both, step=PTQ, data=data)
    assert padded.spread.total == sum(padded.spread.level_counts) == 8 * 3 * 9
    inputs = counted(model, first, of="activations", settings=both, step=PTQ, data=data, samples=16)
    assert inputs.spread.total == sum(inputs.spread.level_counts) == 16 * 3 * 8 * 8


def test_activations_are_observed_before_and_after_their_quantizer(model: Path, data: DataDescription) -> None:
    layer = open_model(model).nodes[2].name
    report = counted(
        model,
        layer,
        of="activations",
        settings={"weight_bits": 8, "activation_bits": 4},
        step=PTQ,
        data=data,
        samples=32,
    )
    spread = report.spread
    assert (report.bits, report.scope, report.scales, report.samples) == (4, "tensor", 1, 32)
    assert len(spread.levels) == 16
    assert spread.levels[0] == 0.0, "what comes out of a Relu"
    assert np.diff(spread.levels) == pytest.approx(report.least_scale)
    assert sum(spread.level_counts) == spread.total == 32 * 8 * 8 * 8
    assert spread.sqnr_db is not None
    assert spread.sqnr_db > 10
    floats = counted(model, layer, of="activations", data=data, samples=32)
    assert (floats.quantizer, floats.spread.levels, floats.spread.total) == ("", (), spread.total)
    with pytest.raises(DataError, match="no samples"):
        counted(model, layer, of="activations", settings={"activation_bits": 8})


def test_a_file_is_read_as_it_is(model: Path, tmp_path: Path) -> None:
    graph = open_model(model)
    layer = graph.nodes[2].name
    file = tmp_path / "made.onnx"
    save_model(applied(PTQ, graph, {layer: {"weight_bits": 3}}), file)
    of_file = counted(model, layer, candidate=str(file), name="c1")
    of_plan = counted(model, layer, settings={"weight_bits": 3}, step=PTQ)
    assert of_file.quantizer == "the file of c1"
    assert of_file.spread == of_plan.spread
    assert activation_quantizer(open_model(file), layer) is None
    with pytest.raises(BadInputError, match="no layer 'gone'"):
        counted(model, "gone", candidate=str(file))
    with pytest.raises(BadInputError, match="no channel 99"):
        counted(model, layer, candidate=str(file), channel=99)


def test_what_trains_shows_where_it_begins_and_says_so(model: Path) -> None:
    layer = open_model(model).nodes[2].name
    trained = counted(model, layer, settings={"weight_bits": 4}, step=Step(method="quantize.qat"))
    plain = counted(model, layer, settings={"weight_bits": 4}, step=PTQ)
    assert trained.spread == plain.spread
    assert "trains its levels" in trained.notes[0]


def test_bits_that_the_step_cannot_do_are_refused(model: Path) -> None:
    layer = open_model(model).nodes[-1].name
    with pytest.raises(RecipeError, match="weight_bits is 1"):
        counted(model, layer, settings={"weight_bits": 1}, step=Step(method="quantize.weight_only"))


def test_zeros_and_constants_have_a_picture_too(graph_from: Any, tmp_path: Path) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,4] x) => (float[batch,3] y) { y = Gemm <transB = 1> (x, w) }""",
        {"w": np.zeros((3, 4), np.float32)},
    )
    path = tmp_path / "zeros.onnx"
    save_model(graph, path)
    report = counted(path, graph.nodes[0].name, settings={"weight_bits": 4}, step=PTQ)
    assert report.spread.levels == (0.0,)
    assert report.spread.level_counts == (12,)
    assert counted(path, graph.nodes[0].name).spread.total == 12


def test_a_quantized_model_shows_its_own_levels(model: Path, tmp_path: Path) -> None:
    graph = open_model(model)
    layer = graph.nodes[2].name
    file = tmp_path / "made.onnx"
    save_model(applied(PTQ, graph, {layer: {"weight_bits": 3}}), file)
    report = counted(file, layer)
    assert (report.quantizer, report.bits) == ("the model itself", 3)
    assert len(report.spread.levels) <= 8
    assert report.spread.sqnr_db == 200
