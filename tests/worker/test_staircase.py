"""Staircases through the job's own door: a real device, real kernels, no data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.api import ModelGraph
from workbench.domain.errors import BadInputError
from workbench.domain.staircase import StaircaseReport
from workbench.domain.study import Study
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import StaircaseJob
from workbench.worker.dispatch import run_job
from workbench.worker.staircase_jobs import paying_counts


@pytest.fixture
def model(small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_model(small_cnn, tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


def report_of(model: str, told: list[str] | None = None, **settings: object) -> StaircaseReport:
    told = [] if told is None else told
    context = JobContext(partial=lambda name, payload: told.append(payload["layers"][0]["layer"]))
    return StaircaseReport.model_validate(run_job(StaircaseJob(model=model, seconds=0.05, **settings), context))


def test_layers_are_timed_once_and_told_as_they_come(model: str, small_cnn: ModelGraph) -> None:
    told: list[str] = []
    assert report_of(model, known_only=True).layers == ()
    report = report_of(model, told)
    assert [entry.layer for entry in report.layers] == ["Conv_0", "Conv_2", "Gemm_7"] == told
    assert report.measured >= 3
    for entry in report.layers:
        assert entry.channels in (8, 5)
        assert all(curve.edges[-1] == entry.channels for curve in entry.curves)
    known = report_of(model, known_only=True)
    assert known.layers == report.layers
    assert known.measured == 0
    first, second, last = report.layers
    assert (first.members, last.members) == (3, 0), "Conv_2 and Gemm_7 read what Conv_0 makes"
    for alone, both in zip(first.curves, first.together, strict=True):
        assert both.form == alone.form
        for one, two in zip(alone.points, both.points, strict=True):
            assert one.channels == two.channels
            assert one.microseconds < two.microseconds
    assert first.decisive == first.together
    plain = Study.model_validate({"knobs": {"prune_ratio": {}}})
    edges = {entry.layer: frozenset(entry.together[0].edges) for entry in report.layers if entry.together}
    assert paying_counts(Path(model), plain) == edges
    assert paying_counts(Path(model), plain.model_copy(update={"threads": 2})) == {}
    assert last.decisive == last.curves
    assert second.channels == 8


def test_another_user_of_the_project_need_not_measure_again(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(model)
    plain = Study.model_validate({"knobs": {"prune_ratio": {}}})
    edges = paying_counts(Path(model), plain)
    assert edges
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert paying_counts(Path(model), plain) == {}
    renamed = report.model_copy(update={"device": report.device.model_copy(update={"name": "board"})})
    assert paying_counts(Path(model), plain, (renamed,)) == edges
    taken = report_of(model, shared=(renamed,))
    assert (taken.layers, taken.measured) == (report.layers, 0)
    assert report_of(model, shared=(renamed,), known_only=True).layers == report.layers

    other = report.model_copy(update={"device": report.device.model_copy(update={"cpu": "another"})})
    assert paying_counts(Path(model), plain, (other,)) == {}
    assert report_of(model, shared=(other,), layers=("Gemm*",)).measured == 1


def test_layers_are_chosen_by_glob_and_nothing_need_be_kept(model: str, tmp_path: Path) -> None:
    report = report_of(model, layers=("Conv*",), remember=False)
    assert [entry.layer for entry in report.layers] == ["Conv_0", "Conv_2"]
    assert not list((tmp_path / "cache").rglob("*.stairs.json"))
    with pytest.raises(BadInputError, match="'nothing' matches no layer"):
        report_of(model, layers=("Conv*", "nothing"))


def test_layers_that_cant_be_timed_say_why(graph_from, tmp_path: Path) -> None:
    weight = np.ones((4, 4, 3, 3), np.float32)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4,h,w] x) => (float[n,4,a,b] y) {
            u = ConvTranspose (x, w1)
            y = Conv (u, w2)
        }""",
        {"w1": weight, "w2": weight},
    )
    save_model(graph, tmp_path / "odd.onnx")
    report = report_of(str(tmp_path / "odd.onnx"), remember=False)
    assert [entry.reason for entry in report.layers] == [
        "ConvTranspose can't be timed by itself",
        "the size of what it reads is not known",
    ]


def test_the_command_prints_counts_that_pay(model: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workbench", "staircase", model, "--quiet", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    report = json.loads(run("--layers", "Gemm*", "--json").stdout)
    assert {"device", "threads", "batch", "layers", "seconds"} <= set(report)
    (layer,) = report["layers"]
    for curve in layer["curves"]:
        assert set(curve) == {"form", "points", "edges"}
        assert set(curve["points"][0]) == {"channels", "microseconds", "ci95"}
    text = run("--layers", "Gemm*").stdout
    assert "Gemm_7 (Gemm), 5 channels" in text
    assert "*" in text
    refused = run("--layers", "no*")
    assert refused.returncode == 2
    assert "matches no layer" in refused.stderr
