"""The compare verb: tables and JSON, a pruned and quantized candidate against its original, and bad input."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_a_candidate_is_compared_by_class_layer_and_sample(desk: Path, workbench) -> None:
    made = workbench(desk, "compress", "model.onnx", "--recipe", "recipe.yaml", "--out", "c.onnx", "--no-latency")
    assert made.status == 0, made.err
    shown = workbench(desk, "compare", "model.onnx", "c.onnx", "--data", "data.yaml")
    assert shown.status == 0, shown.err
    assert "change c" in shown.out
    assert "signal to error in dB" in shown.out
    report = workbench(desk, "compare", "model.onnx", "c.onnx", "--data", "data.yaml", "--json").json
    assert [Path(model["path"]).name for model in report["models"]] == ["model.onnx", "c.onnx"]
    assert report["models"][1]["changed"] == report["changed_total"] == len(report["changed"])
    assert sum(entry["samples"] for entry in report["classes"]) == report["samples"]
    assert any(layer["sqnr_db"][0] is not None for layer in report["layers"])
    assert all(entry["image_png_base64"] is None for entry in report["changed"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.onnx",), "only one model is named"),
        (("model.onnx", "gone.onnx"), "gone.onnx"),
        (("model.onnx", "model.onnx", "--samples", "none"), "--samples is 'none'"),
        (("model.onnx", "model.onnx", "--pictures", "-1"), "--pictures is -1"),
    ],
)
def test_bad_input_is_one_line(desk: Path, workbench, arguments: tuple[str, ...], words: str) -> None:
    done = workbench(desk, "compare", *arguments, "--data", "data.yaml")
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1
