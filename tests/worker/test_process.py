"""The real worker process: every kind of job through the line that the window uses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.domain.data_description import DataDescription
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.jobs.messages import Message, Partial, ProgressMessage, Result
from workbench.jobs.specs import (
    CompressJob,
    EvaluateJob,
    InspectJob,
    LayerDetailJob,
    ListMethodsJob,
    PreviewDataJob,
    ProfileJob,
    SweepJob,
)
from workbench.jobs.supervisor import Supervisor

WORKER = (sys.executable, "-m", "workbench", "worker")


@pytest.fixture
def data(tmp_path: Path) -> DataDescription:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(60, 3, 8, 8)).astype(np.float32), y=rng.integers(0, 5, 60))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    return DataDescription.model_validate({"train": split, "test": split, "folder": str(tmp_path)})


def test_every_job_of_the_main_course_comes_back_with_its_report(
    small_cnn: ModelGraph, data: DataDescription, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save_model(small_cnn, tmp_path / "model.onnx")
    model = str(tmp_path / "model.onnx")
    steps = (Step(method="quantize.ptq", parameters={"calibration_samples": 16}),)
    recipe = Recipe(data=data, plan=Plan(default={"weight_bits": 8, "activation_bits": 8}), steps=steps)
    jobs = {
        "methods": ListMethodsJob(),
        "inspect": InspectJob(model=model, drawing=True),
        "detail": LayerDetailJob(model=model, layer="Conv_2"),
        "preview": PreviewDataJob(model=model, data=data, samples=4),
        "evaluate": EvaluateJob(model=model, data=data),
        "profile": ProfileJob(models=(model,), seconds=0.2),
        "sweep": SweepJob(
            model=model,
            data=data,
            method="quantize.ptq",
            parameters={"calibration_samples": 16},
            knob="weight_bits",
            values=(2,),
        ),
        "compress": CompressJob(
            model=model, recipe=recipe, out=str(tmp_path / "out.onnx"), latency_seconds=0.2, cache=str(tmp_path / "c")
        ),
    }
    heard: list[Message] = []
    with Supervisor(WORKER, heard.append) as supervisor:
        ids = {name: supervisor.submit(spec, title=name) for name, spec in jobs.items()}
        records = {name: supervisor.wait(job, timeout_s=120) for name, job in ids.items()}
    assert {name: record.state for name, record in records.items()} == dict.fromkeys(jobs, "done"), records
    reports = {m.job: m.payload for m in heard if isinstance(m, Result)}
    by_name = {name: reports[job] for name, job in ids.items()}
    assert "quantize.ptq" in {method["id"] for method in by_name["methods"]["methods"]}
    assert {"Conv_0", "Gemm_7"} <= {node["id"] for node in by_name["inspect"]["drawing"]["nodes"]}
    assert by_name["detail"]["layer"] == "Conv_2"
    assert by_name["preview"]["metric"]["value"] == by_name["evaluate"]["value"]
    assert by_name["compress"]["baseline_metric"]["value"] == by_name["evaluate"]["value"]
    assert by_name["profile"]["models"][0]["path"] == model
    partial = [m.payload for m in heard if isinstance(m, Partial) and m.job == ids["sweep"]]
    final = [point["layer"] for point in partial if not point["provisional"]]
    assert final == [point["layer"] for point in by_name["sweep"]["points"]] == ["Conv_0", "Conv_2", "Gemm_7"]
    assert {point["layer"] for point in partial if point["provisional"]} == set(final)
    for name in ("evaluate", "sweep", "compress"):
        fractions = [m.fraction for m in heard if isinstance(m, ProgressMessage) and m.job == ids[name]]
        assert fractions == sorted(fractions), name
