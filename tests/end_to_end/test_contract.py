"""What scripts may rely on: JSON keys, progress lines, silence, exit statuses, and what `--project` keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.project.document import Document

MEASUREMENT = {"metric", "value", "samples", "ci95"}
LATENCY = {"path", "batch", "latency_ms", "runs", "size_bytes", "peak_memory_bytes", "ratio_to_first", "operators"}
PROJECT = ("--project", "p.mcw", "--json", "--quiet")


def has(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    assert set(keys) <= set(value), sorted(value)
    return value


def test_every_verb_prints_its_json_and_records_in_one_project(desk: Path, workbench) -> None:
    done = workbench(desk, "inspect", "model.onnx", *PROJECT)
    assert done.err == ""
    report = has(done.json, "model", "layers", "groups")
    has(report["model"], "path", "sha256", "opset", "params", "macs", "size_bytes")
    has(report["layers"][0], "name", "op", "weight", "weight_shape", "output_shape", "params", "macs", "knobs", "group")
    group = has(report["groups"][0], "id", "channels", "unit", "layers", "prunable", "reason")
    for member in group["layers"]:
        has(member, "layer", "axis")

    done = workbench(desk, "evaluate", "model.onnx", "--data", "data.yaml", *PROJECT)
    assert done.err == ""
    assert has(done.json, *MEASUREMENT)["value"] == pytest.approx(0.9)
    assert done.json["samples"] == 200

    done = workbench(desk, "profile", "model.onnx", "model.onnx", "--seconds", "0.3", *PROJECT)
    report = has(done.json, "device", "models", "noise")
    has(report["device"], "name", "cpu", "threads", "runtime", "provider")
    has(report["noise"], "quiet", "drift_ratio")
    for model in report["models"]:
        has(model, *LATENCY)
        has(model["latency_ms"], "median", "p90", "ci95")
        has(model["ratio_to_first"], "median", "ci95")
        has(model["operators"][0], "node", "layer", "op", "median_ms", "share")
    assert (report["device"]["threads"], report["models"][0]["batch"]) == (1, 1)

    sweep = ("sweep", "model.onnx", "--data", "data.yaml", "--method", "quantize.ptq", "--knob", "weight_bits")
    done = workbench(desk, *sweep, "--values", "8,2", "--set", "calibration_samples=32", *PROJECT)
    report = has(done.json, "method", "knob", "metric", "baseline", "points", "evaluations", "seconds")
    has(report["baseline"], "value", "samples", "ci95")
    for point in report["points"]:
        has(point, "layer", "value", "metric", "drop", "ci95", "samples")
    assert [(point["layer"], point["value"]) for point in report["points"]] == [
        (layer, value) for layer in ("Conv_0", "Conv_2", "Gemm_7") for value in (8, 2)
    ]

    done = workbench(desk, "compress", "model.onnx", "--recipe", "quick.yaml", "--out", "out.onnx", *PROJECT)
    keys = ("model", "candidate", "metric", "baseline_metric", "latency", "layers", "steps", "recipe_sha256")
    compressed = has(done.json, *keys)
    has(compressed["candidate"], "path", "sha256", "size_bytes", "params", "macs")
    assert compressed["candidate"]["path"] == str(desk / "out.onnx")
    has(compressed["metric"], *MEASUREMENT)
    has(compressed["baseline_metric"], *MEASUREMENT)
    has(compressed["latency"], *LATENCY)
    for layer in compressed["layers"]:
        has(layer, "name", "before", "after")
        has(layer["before"], "weight_shape", "bits")
        assert layer["after"]["bits"] == 8
    has(compressed["steps"][0], "method", "seconds", "notes")

    info = workbench(desk, "project", "info", "p.mcw", "--json").json
    assert info["model"] == {"path": str(desk / "model.onnx"), "sha256": compressed["model"]["sha256"]}
    assert info["baseline"]["value"] == pytest.approx(0.9)
    assert info["sensitivities"] == [{"method": "quantize.ptq", "knob": "weight_bits", "points": 6}]
    (candidate,) = info["candidates"]
    assert candidate["candidate"] == compressed["candidate"]
    with Document.open(desk / "p.mcw") as document:
        assert document.state.baseline_latency is not None
        assert document.state.inspect is not None
        assert document.state.inspect.drawing is not None
        assert document.artifacts is not None
        kept = document.artifacts.path(compressed["candidate"]["sha256"])
    assert kept.read_bytes() == (desk / "out.onnx").read_bytes()
    assert workbench(desk, "project", "report", "p.mcw", "--out", "p.html").status == 0
    page = (desk / "p.html").read_text(encoding="utf-8")
    assert compressed["candidate"]["sha256"] in page
    assert '<g class="best">' in page


def test_plain_runs_say_how_far_they_are_and_print_a_table(desk: Path, workbench) -> None:
    arguments = ("sweep", "model.onnx", "--data", "data.yaml", "--method", "quantize.ptq", "--knob", "weight_bits")
    done = workbench(desk, *arguments, "--values", "8,4,3,2", "--set", "calibration_samples=16")
    assert done.status == 0
    tenths = [int(line.split("%")[0]) for line in done.err.splitlines() if " %  " in line]
    assert tenths == sorted(set(tenths))
    assert len(tenths) >= 3  # trials run side by side, and two may end at once
    assert all(tenth % 10 == 0 for tenth in tenths)
    assert [line.split()[0] for line in done.out.splitlines()[3:6]] == ["Conv_0", "Conv_2", "Gemm_7"]


def test_help_is_for_people_and_quick(desk: Path, workbench) -> None:
    done = workbench(desk, "--help")
    assert (done.status, done.err) == (0, "")
    for verb in ("demo", "inspect", "evaluate", "profile", "sweep", "compress", "project", "plugin", "import"):
        assert f"\n    {verb} " in done.out
    assert workbench(desk, "--version").out.startswith("workbench ")


def test_what_is_not_understood_opens_no_window(desk: Path, workbench) -> None:
    for arguments in (("demo", "--fast"), ("modle.onxx",), ("search",)):
        done = workbench(desk, *arguments)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert done.err.startswith("workbench: ")


@pytest.mark.slow
def test_plugin_of_ones_own_is_made_checked_and_listed(desk: Path, workbench) -> None:
    made = workbench(desk, "plugin", "new", "mine", "--json").json
    assert Path(made["folder"]) == desk / "mine"
    checked = workbench(desk, "plugin", "check", "mine", "--json").json
    assert checked["checks"]
    assert [check["name"] for check in checked["checks"] if not check["passed"]] == []
    places = {"WORKBENCH_PLUGINS": str(desk / "mine")}
    listed = workbench(desk, "plugin", "list", "--json", env=places).json
    assert "mine" in {method["plugin"] for method in listed["methods"]}
    assert listed["failures"] == []

    (desk / "mine" / "plugin.toml").write_text("no TOML", encoding="utf-8")
    done = workbench(desk, "plugin", "check", "mine")
    assert done.status == 1
    assert "FAIL manifest" in done.out
    listed = workbench(desk, "plugin", "list", "--json", env=places).json
    assert [failure["kind"] for failure in listed["failures"]] == ["plugin"]
    assert "quantize.ptq" in {method["id"] for method in listed["methods"]}


@pytest.fixture
def long_sweep(desk: Path) -> tuple[str, ...]:
    """Arguments of a sweep that takes some seconds."""
    x = np.random.default_rng(1).normal(size=(4000, 3, 8, 8)).astype(np.float32)
    np.savez(desk / "samples.npz", x=x, y=np.zeros(len(x), np.int64))
    sweep = ("sweep", "model.onnx", "--data", "data.yaml", "--method", "quantize.ptq", "--knob", "weight_bits")
    return (*sweep, "--values", "8,7,6,5,4,3,2", "--samples", "all", "--set", "calibration_samples=32")


def interrupt(desk: Path, environment: dict[str, str], arguments: tuple[str, ...], at: str) -> tuple[int, str]:
    """Start a command, press Ctrl-C once a line that starts with `at` comes, return status and all of stderr."""
    command = [sys.executable, "-m", "workbench", *arguments]
    with subprocess.Popen(
        command, cwd=desk, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.strip().startswith(at):
                os.kill(process.pid, signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.stdout.read() == ""
    return process.returncode, "".join(lines) + rest


def test_interrupted_sweep_keeps_its_points_and_goes_on_from_there(
    desk: Path, long_sweep, workbench, environment
) -> None:
    arguments = (*long_sweep, "--store", "points.jsonl", "--project", "p.mcw")
    status, err = interrupt(desk, environment, arguments, "20 %")
    assert status == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "workbench: Cancelled."
    records = (desk / "points.jsonl").read_text(encoding="utf-8")
    assert records.count("\n") >= 1
    with Document.open(desk / "p.mcw") as document:
        ((entry,),) = [document.state.sensitivities]
        assert 1 <= len(entry.points) <= 21
        assert any(point.provisional for point in entry.points)

    report = workbench(desk, *arguments, "--json").json
    assert (desk / "points.jsonl").read_text(encoding="utf-8").startswith(records)
    assert len(report["points"]) == 21
    assert not any(point["provisional"] for point in report["points"])
    assert report["points"] == workbench(desk, *long_sweep, "--json").json["points"]  # as if nothing had happened
    again = workbench(desk, *arguments, "--json").json
    assert again["points"] == report["points"]
    assert again["evaluations"] == 1


def test_interrupted_compression_leaves_nothing_behind(desk: Path, workbench, environment, snapshot) -> None:
    text = (desk / "recipe.yaml").read_text(encoding="utf-8")
    step = "- {method: train.finetune, parameters: {epochs: 500}}\n"
    (desk / "recipe.yaml").write_text(text + step, encoding="utf-8")
    before = snapshot(desk)
    arguments = ("compress", "model.onnx", "--recipe", "recipe.yaml", "--out", "out.onnx", "--project", "p.mcw")
    status, err = interrupt(desk, environment, arguments, "40 %")
    assert status == 130, err
    assert "Traceback" not in err
    assert snapshot(desk) == before
