"""Torch archives and factories on the command line: nothing of theirs runs without the user's word."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from workbench.project.document import Document

FACTORY = """\
from pathlib import Path
import torch
from torch import nn

Path(__file__).with_name("it ran").touch()


def net():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    return body.eval(), torch.zeros(1, 3, 8, 8)


if __name__ == "__main__":
    module, example = net()
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(module, (example.repeat(2, 1, 1, 1),), dynamic_shapes=(batch,)), "net.pt2")
"""


@pytest.fixture
def factory(desk: Path) -> Path:
    (desk / "net.py").write_text(FACTORY, encoding="utf-8")
    return desk / "net.py"


def test_factory_does_not_run_without_the_users_word(desk: Path, factory: Path, workbench) -> None:
    done = workbench(desk, "import", "net.py:net", "--out", "net.onnx", "--json")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "--trust" in done.err
    assert not (desk / "it ran").exists()
    assert not (desk / "net.onnx").exists()


@pytest.mark.slow
def test_archive_is_a_model_for_every_verb_once_it_was_imported(desk: Path, factory: Path, workbench) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        runpy.run_path("net.py", run_name="__main__")
    evaluate = ("evaluate", "net.pt2", "--data", "data.yaml", "--project", "p.mcw", "--json", "--quiet")
    done = workbench(desk, *evaluate)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "workbench import net.pt2 --out net.onnx" in done.err
    workbench(desk, "import", "net.pt2", "--out", "net.onnx", "--trust", "--quiet")
    (desk / "net.onnx").unlink()
    assert workbench(desk, *evaluate).json["samples"] == 200
    assert workbench(desk, "project", "info", "p.mcw", "--json").json["model"]["path"] == str(desk / "net.pt2")
    (desk / "net.pt2").write_bytes((desk / "net.pt2").read_bytes()[:1000])
    done = workbench(desk, *evaluate)
    assert (done.status, done.err.count("\n")) == (2, 1)


@pytest.mark.slow
def test_imported_model_is_recorded_in_a_project(desk: Path, factory: Path, workbench) -> None:
    arguments = ("import", "net.py:net", "--out", "net.onnx", "--trust", "--quiet")
    done = workbench(desk, *arguments, "--project", "nowhere/p.mcw")
    assert (done.status, done.out) == (1, "")
    assert not (desk / "net.onnx").exists()
    before = factory.read_bytes()
    done = workbench(desk, "import", "net.py:net", "--out", "net.py", "--trust")
    assert (done.status, factory.read_bytes()) == (2, before)
    assert workbench(desk, *arguments, "--project", "p.mcw").status == 0
    with Document.open(desk / "p.mcw") as document:
        assert document.state.model is not None
        assert document.state.model.path == str(desk / "net.onnx")
        assert document.state.inspect is not None
        assert [layer.op for layer in document.state.inspect.layers] == ["Conv", "Gemm"]
