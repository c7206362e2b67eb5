"""Sizes of dynamic dimensions are given once, kept by the project, and used by every job about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.project.document import Document

RECIPE = "version: 1\nplan: {default: {prune_ratio: 0.5}}\nsteps: [{method: prune.l1}]\n"


@pytest.fixture
def open_model(desk: Path, graph_from: Callable[..., ModelGraph]) -> Path:
    """A model of pictures of any height and width; 3·8·9 + 8·2·9 = 360 multiplications a pixel."""
    rng = np.random.default_rng(0)
    text = """<ir_version: 9, opset_import: ["" : 17]>
    net (float[batch,3,height,width] x) => (float[batch,2,height,width] y) {
        c = Conv <pads = [1,1,1,1]> (x, w1)
        r = Relu (c)
        y = Conv <pads = [1,1,1,1]> (r, w2)
    }"""
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in (("w1", (8, 3, 3, 3)),)}
    weights["w2"] = rng.normal(size=(2, 8, 3, 3)).astype(np.float32)
    save_model(graph_from(text, weights), desk / "open.onnx")
    (desk / "prune.yaml").write_text(RECIPE, encoding="utf-8")
    return desk / "open.onnx"


SIZES = ("--dimension", "height=10", "--dimension", "width=12")


@pytest.mark.slow
def test_project_keeps_sizes_and_its_runs_use_them(desk: Path, open_model: Path, workbench) -> None:
    new = ("project", "new", "p.mcw", "--model", "open.onnx", "--recipe", "prune.yaml", "--json")
    done = workbench(desk, *new, "--dimension", "depth=3")
    assert (done.status, done.out) == (2, "")
    assert "the model has no dimension 'depth'. Expected one of batch, height, width" in done.err
    assert not (desk / "p.mcw").exists()
    assert workbench(desk, *new, *SIZES).status == 0
    assert workbench(desk, "project", "info", "p.mcw", "--json").json["dimensions"] == {"height": 10, "width": 12}
    report = workbench(desk, "project", "run", "p.mcw", "--json", "--quiet").json
    assert report["model"]["macs"] == 360 * 120
    assert report["candidate"]["macs"] == 180 * 120
    assert report["latency"]["latency_ms"]["median"] > 0
    with Document.open(desk / "p.mcw") as document:
        assert document.state.inspect is not None
        assert document.state.inspect.model.macs == 360 * 120


@pytest.mark.slow
def test_verbs_with_a_project_remember_sizes(desk: Path, open_model: Path, workbench) -> None:
    quick = ("--seconds", "0.1", "--project", "p.mcw", "--json", "--quiet")
    done = workbench(desk, "profile", "open.onnx", *quick)
    assert done.status == 2
    assert "the model has dynamic dimensions without a value: height, width" in done.err
    done = workbench(desk, "profile", "open.onnx", *quick, "--dimension", "depth=3")
    assert done.status == 2
    assert "the model has no dimension 'depth'" in done.err
    assert workbench(desk, "profile", "open.onnx", *quick, *SIZES).status == 0
    assert workbench(desk, "profile", "open.onnx", *quick).status == 0

    inspect = ("inspect", "open.onnx", "--project", "p.mcw", "--json", "--quiet")
    assert workbench(desk, *inspect).json["model"]["macs"] == 360 * 120
    assert workbench(desk, *inspect, "--dimension", "width=6").json["model"]["macs"] == 360 * 60
    assert workbench(desk, *inspect).json["model"]["macs"] == 360 * 60
    with Document.open(desk / "p.mcw") as document:
        assert document.state.dimensions == {"height": 10, "width": 6}
        assert document.state.baseline_latency is None  # it was taken at another width

    compress = ("compress", "open.onnx", "--recipe", "prune.yaml", "--out", "out.onnx", "--project", "p.mcw")
    assert workbench(desk, *compress, "--json", "--quiet").json["candidate"]["macs"] == 180 * 60
