"""Plugins of the user's own on the command line: what they bring serves every verb, what they break stays theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

MANIFEST = """
[plugin]
id = "wrong"
title = "Wrong answers"
version = "1"
api = 1

[[metric]]
name = "errors"
object = "data:Errors"

[[reader]]
name = "mirrored"
object = "data:Mirrored"
"""

CODE = '''
import numpy as np
from workbench.api import ArraySource, Metric, Reader, class_scores

class Errors(Metric):
    """Share of samples that are wrong."""

    name, title, higher_is_better = "errors", "Errors", False

    def records(self, outputs, targets):
        return (class_scores(outputs, targets).argmax(axis=1) != targets).astype(float)[:, None]

class Mirrored(Reader):
    """An .npz archive backwards."""

    name, title = "mirrored", "Backwards"

    def open(self, request):
        self.options(request)
        path = request.path()
        with np.load(path, allow_pickle=False) as archive:
            return ArraySource({"x": archive["x"][::-1]}, archive["y"][::-1], (path,))
'''


@pytest.mark.slow
def test_every_verb_knows_a_plugins_metric_and_reader(desk: Path, workbench) -> None:
    (desk / "wrong").mkdir()
    (desk / "wrong" / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
    (desk / "wrong" / "data.py").write_text(CODE, encoding="utf-8")
    split = "{reader: mirrored, path: samples.npz, inputs: x, targets: y}"
    (desk / "data.yaml").write_text(f"metric: errors\ntrain: {split}\ntest: {split}\n", encoding="utf-8")
    evaluate = ("evaluate", "model.onnx", "--data", "data.yaml", "--json", "--quiet")
    done = workbench(desk, *evaluate)
    assert done.status == 2
    assert "unknown reader 'mirrored'" in done.err

    places = {"WORKBENCH_PLUGINS": str(desk / "wrong")}
    report = workbench(desk, *evaluate, env=places).json
    assert (report["metric"], report["samples"], report["higher_is_better"]) == ("errors", 200, False)
    assert round(report["value"], 6) == 0.1
    listed = workbench(desk, "plugin", "list", "--json", "--quiet", env=places).json
    (metric,) = [entry for entry in listed["metrics"] if entry["plugin"]]
    assert metric == {"name": "errors", "title": "Errors", "plugin": "wrong", "against": "targets"}
    assert {"top1", "sqnr"} <= {entry["name"] for entry in listed["metrics"]}
    (reader,) = [entry for entry in listed["readers"] if entry["plugin"]]
    assert (reader["name"], reader["title"], reader["suffixes"]) == ("mirrored", "Backwards", [])
    assert reader["json_schema"]["properties"] == {}
    (text,) = [entry for entry in listed["readers"] if entry["name"] == "text"]
    assert (text["plugin"], {"length", "stride"} <= text["json_schema"]["properties"].keys()) == ("", True)
    sweep = ("sweep", "model.onnx", "--data", "data.yaml", "--method", "quantize.ptq", "--knob", "weight_bits")
    arguments = ("--values", "2", "--layers", "Conv_0", "--set", "calibration_samples=16", "--json", "--quiet")
    (point,) = workbench(desk, *sweep, *arguments, env=places).json["points"]
    assert round(point["drop"] - (point["metric"] - 0.1), 6) == 0

    (desk / "wrong" / "data.py").write_text("import no_such_module\n", encoding="utf-8")
    done = workbench(desk, "evaluate", "model.onnx", "--data", "data.yaml", env=places)
    assert done.status == 2
    assert "Not loaded: plugin 'wrong': metric 'errors' can't be loaded: ModuleNotFoundError" in done.err
    assert "unknown reader 'mirrored'" in done.err.splitlines()[-1]


@pytest.mark.slow
def test_plugin_that_crashes_takes_nothing_else_down(desk: Path, workbench) -> None:
    (desk / "wrong").mkdir()
    (desk / "wrong" / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
    (desk / "wrong" / "data.py").write_text("import os\nos.abort()\n", encoding="utf-8")
    places = {"WORKBENCH_PLUGINS": str(desk / "wrong")}
    listed = workbench(desk, "plugin", "list", "--json", "--quiet", env=places).json
    assert "quantize.ptq" in {method["id"] for method in listed["methods"]}
    (failure,) = listed["failures"]
    assert failure["where"] == "plugin 'wrong'"
    assert "its import ends the process" in failure["message"]
    assert workbench(desk, "inspect", "model.onnx", "--quiet", env=places).status == 0
