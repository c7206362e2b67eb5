"""Foretelling through the job's own door: a real device, real kernels, no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.api import ModelGraph
from workbench.domain.errors import BadInputError, CancelledError, RecipeError
from workbench.domain.measurements import LatencyReport
from workbench.domain.plan import Plan
from workbench.domain.preflight import Preflight
from workbench.domain.recipe import Recipe, Step
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import PreflightJob
from workbench.worker import preflight_jobs
from workbench.worker.dispatch import run_job
from workbench.worker.measuring_jobs import latency

EIGHT = Plan(default={"weight_bits": 8, "activation_bits": 8})


@pytest.fixture
def model(small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_model(small_cnn, tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


def foretold(model: str, recipe: Recipe, **settings: object) -> Preflight:
    spec = PreflightJob(model=model, recipe=recipe, seconds=0.3, **settings)
    return Preflight.model_validate(run_job(spec, JobContext()))


def test_layers_are_timed_in_all_forms_and_the_plan_is_marked(model: str, small_cnn: ModelGraph) -> None:
    report = foretold(model, Recipe(plan=EIGHT, steps=(Step(method="quantize.ptq"),)))
    assert [entry.op for entry in report.layers] == ["Conv", "Conv", "Gemm"]
    for entry in report.layers:
        assert entry.form == "uint8"
        packed = ["packed8", "packed4"] if entry.op == "Gemm" else []
        assert [time.form for time in entry.kernels] == ["float32", "uint8", "int8", *packed]
        assert (entry.weight_bits, entry.activation_bits) == (8, 8)
    assert report.ratio is not None
    assert report.predicted is not None
    low, high = report.ratio.ci95
    assert low < report.ratio.median < high
    assert report.quantizing_share is not None
    assert 0 <= report.quantizing_share < 1
    assert report.left_out == ()


def test_a_drifting_clock_leaves_what_is_foretold_within_its_interval(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drifting(*paths: Any, **settings: Any) -> LatencyReport:
        report = latency(*paths, **settings)
        first = report.models[0].latency_ms
        slow = first.model_copy(update={name: 1.5 * getattr(first, name) for name in ("median", "p90", "p99")})
        return report.model_copy(
            update={"models": (report.models[0].model_copy(update={"latency_ms": slow}), *report.models[1:])}
        )

    monkeypatch.setattr(preflight_jobs, "latency", drifting)
    predicted = foretold(model, Recipe(plan=EIGHT, steps=(Step(method="quantize.ptq"),))).predicted
    assert predicted is not None
    assert predicted.ci95[0] < predicted.median < predicted.ci95[1]


def test_signed_activations_are_seen(model: str) -> None:
    recipe = Recipe(plan=EIGHT, steps=(Step(method="quantize.ptq", parameters={"activation_type": "int8"}),))
    report = foretold(model, recipe)
    assert {entry.form for entry in report.layers} == {"int8"}
    slower = [entry for entry in report.layers if entry.slower]
    assert bool(slower) == any("Signed activations" in text for text in report.warnings)


def test_without_a_step_there_is_nothing_to_foretell(model: str) -> None:
    report = foretold(model, Recipe())
    assert report.predicted is None
    assert {entry.form for entry in report.layers} == {"float32"}
    assert [len(entry.kernels) for entry in report.layers] == [3, 3, 5]


@pytest.mark.parametrize(("bits", "form"), [(8, "packed8"), (4, "packed4")])
def test_packed_weights_are_foretold(model: str, bits: int, form: str) -> None:
    plan = Plan(default={"weight_bits": bits})
    report = foretold(model, Recipe(plan=plan, steps=(Step(method="quantize.weight_only"),)))
    assert [entry.form for entry in report.layers] == ["float32", "float32", form]
    assert report.layers[-1].ratio(form) is not None


@pytest.mark.slow
def test_kernel_times_are_remembered_unless_told_otherwise(model: str, tmp_path: Path) -> None:
    recipe = Recipe(plan=EIGHT, steps=(Step(method="quantize.ptq"),))
    foretold(model, recipe, remember=False)
    assert not list((tmp_path / "cache").rglob("kernels"))
    first, second = foretold(model, recipe), foretold(model, recipe)
    assert first.layers == second.layers


def test_faults_are_told_before_anything_is_timed(model: str) -> None:
    with pytest.raises(RecipeError, match=r"unknown method 'quantize\.nothing'"):
        foretold(model, Recipe(plan=EIGHT, steps=(Step(method="quantize.nothing"),)))
    with pytest.raises(BadInputError, match="there is no device 'moon'"):
        foretold(model, Recipe(plan=EIGHT, device="moon"))


def test_cancel_is_heard(model: str) -> None:
    context = JobContext()
    context.cancel.cancel()
    with pytest.raises(CancelledError):
        run_job(PreflightJob(model=model, recipe=Recipe(plan=EIGHT, steps=(Step(method="quantize.ptq"),))), context)
