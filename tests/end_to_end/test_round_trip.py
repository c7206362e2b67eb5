"""The same candidate, byte for byte, from a project, from its exported recipe elsewhere, and on any later day."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from workbench.graph.storage import open_model

RECIPE = """\
version: 1
seed: 3
data: data.yaml
plan:
  default: {prune_ratio: 0.25, weight_bits: 8, activation_bits: 8}
  layers: {"Gemm*": {weight_bits: 4}}
steps:
- {method: prune.l1}
- {method: train.finetune, parameters: {epochs: 1, batch_size: 32}}
- {method: quantize.ptq, parameters: {calibration_samples: 32}}
evaluate: {samples: 150}
"""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_project_and_command_line_make_the_same_bytes(desk: Path, workbench) -> None:
    (desk / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    with (desk / "data.yaml").open("a", encoding="utf-8") as stream:
        stream.write("augment: [flip, {crop: 1}]\n")
    workbench(desk, "project", "new", "p.mcw", "--model", "model.onnx", "--recipe", "recipe.yaml")
    made = workbench(desk, "project", "run", "p.mcw", "--name", "first", "--json", env={"PYTHONHASHSEED": "1"}).json
    assert made["name"] == "first"
    assert [step["method"] for step in made["steps"]] == ["prune.l1", "train.finetune", "quantize.ptq"]
    assert made["metric"]["samples"] == 150
    kept = Path(made["candidate"]["path"])
    assert sha256(kept) == made["candidate"]["sha256"]
    assert kept.parent == desk / "p.artifacts"
    assert [path.name for path in desk.iterdir() if "run-" in path.name] == []

    away = desk / "far" / "away"
    away.mkdir(parents=True)
    export = ("project", "export", "p.mcw", "--candidate", "first", "--out", away / "exported.onnx")
    done = workbench(desk, *export, "--recipe", away / "exported.yaml", "--json").json
    assert done == {
        "path": str(away / "exported.onnx"),
        "candidate": "first",
        "sha256": made["candidate"]["sha256"],
    }
    assert sha256(away / "exported.onnx") == done["sha256"]
    assert open_model(away / "exported.onnx").outputs[0].name == "y"

    arguments = ("compress", "../../model.onnx", "--recipe", "exported.yaml", "--out", "again.onnx", "--no-latency")
    again = workbench(away, *arguments, "--json", env={"PYTHONHASHSEED": "2"}).json
    assert sha256(away / "again.onnx") == done["sha256"]
    assert again["recipe_sha256"] == made["recipe_sha256"]
    assert again["metric"]["value"] == made["metric"]["value"]
    assert yaml.safe_load((away / "exported.yaml").read_text(encoding="utf-8"))["seed"] == 3


def test_cached_steps_make_the_same_bytes(desk: Path, workbench) -> None:
    arguments = ("compress", "model.onnx", "--recipe", "quick.yaml", "--no-latency", "--json", "--cache", "steps")
    first = workbench(desk, *arguments, "--out", "1.onnx").json
    second = workbench(desk, *arguments, "--out", "2.onnx").json
    assert [step["cached"] for report in (first, second) for step in report["steps"]] == [False, True]
    assert (desk / "1.onnx").read_bytes() == (desk / "2.onnx").read_bytes()
    assert first["recipe_sha256"] == second["recipe_sha256"]


def test_empty_recipe_changes_nothing_that_is_measured(desk: Path, workbench) -> None:
    (desk / "empty.yaml").write_text("version: 1\ndata: data.yaml\n", encoding="utf-8")
    arguments = ("compress", "model.onnx", "--recipe", "empty.yaml", "--out", "same.onnx", "--no-latency", "--json")
    report = workbench(desk, *arguments).json
    assert report["metric"]["value"] == report["baseline_metric"]["value"] == pytest.approx(0.9)
    assert report["candidate"]["macs"] == report["model"]["macs"]


@pytest.mark.slow
def test_resnet20_is_exactly_as_accurate_as_published(shared: Path, tmp_path: Path, workbench) -> None:
    data = shared / "data"
    (tmp_path / "data.yaml").write_text(
        f"test: {{reader: npz, path: {data}/cifar10/test.npz, inputs: x, targets: y}}\n"
        "preprocess: {scale: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: NHWC->NCHW}\n",
        encoding="utf-8",
    )
    model = data / "models" / "resnet20_cifar10_folded.onnx"
    report = workbench(tmp_path, "evaluate", model, "--data", "data.yaml", "--json", "--quiet").json
    assert (report["value"], report["samples"]) == (0.9173, 10_000)
    assert report["ci95"] == pytest.approx([0.9117, 0.9225], abs=1e-3)
    (tmp_path / "empty.yaml").write_text("version: 1\ndata: data.yaml\n", encoding="utf-8")
    arguments = ("compress", model, "--recipe", "empty.yaml", "--out", "same.onnx", "--no-latency", "--json")
    assert workbench(tmp_path, *arguments).json["metric"]["value"] == 0.9173
