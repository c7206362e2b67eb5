"""Full disks, read-only folders, projects that are open elsewhere or no longer fit: each is said, nothing is lost."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.domain.recipe import Recipe
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.project.document import Document

if sys.platform != "linux":
    pytest.skip("limits and capabilities are set the Linux way", allow_module_level=True)

COMPRESS = ("compress", "model.onnx", "--recipe", "quick.yaml", "--no-latency")
EVALUATE = ("evaluate", "model.onnx", "--data", "data.yaml")
_CAP_DAC_OVERRIDE = 1
_PR_CAPBSET_DROP = 24


@pytest.fixture(scope="module")
def powerless(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], None]:
    """Return what a child does first so that permissions bind it even as root."""

    def drop() -> None:
        if os.geteuid() == 0:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)

    folder = tmp_path_factory.mktemp("sealed")
    folder.chmod(0o555)
    attempt = subprocess.run([sys.executable, "-c", "open('x', 'w')"], cwd=folder, preexec_fn=drop, stderr=-3)
    if attempt.returncode == 0:
        pytest.skip("this system lets the tests write into a read-only folder whatever they do")
    return drop


@pytest.fixture
def sealed(desk: Path) -> Iterator[Path]:
    """A read-only folder in the desk, with a project in it."""
    folder = desk / "sealed"
    folder.mkdir()
    with Document.create(folder / "p.mcw"):
        pass
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def refused(done: Any, status: int, *words: str) -> None:
    assert done.status == status, done.err
    assert done.out == ""
    assert done.err.startswith("workbench: ")
    assert done.err.count("\n") == 1, done.err
    assert [word for word in words if word not in done.err] == [], done.err


@pytest.mark.slow
def test_read_only_folders_are_refused_before_the_work(desk, sealed, workbench, powerless, snapshot) -> None:
    before = snapshot(desk)

    def run(*arguments: str) -> Any:
        return workbench(desk, *arguments, preexec_fn=powerless)

    refused(
        run(*COMPRESS, "--out", "sealed/out.onnx"), 1, "sealed/out.onnx", "can't be written", "Choose another folder"
    )
    refused(run(*EVALUATE, "--project", "sealed/p.mcw"), 1, "sealed/p.mcw", "the project can't be written")
    refused(run(*EVALUATE, "--project", "sealed/new.mcw"), 1, "sealed/new.mcw", "the project can't be written")
    refused(run("project", "run", "sealed/p.mcw"), 2, "the project has no model")
    assert run("project", "info", "sealed/p.mcw", "--json").json["model"] is None
    refused(run("demo", "--headless", "--out", "sealed/demo"), 1, "sealed/demo", "can't make the folder")
    assert snapshot(desk) == before


def test_full_disk_leaves_the_old_file_or_none(desk, workbench, snapshot) -> None:
    (desk / "out.onnx").write_bytes(b"the one before")
    before = snapshot(desk)

    def limit(size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = workbench(desk, *COMPRESS, "--out", "out.onnx", "--quiet", preexec_fn=limit(1000))
    refused(done, 1, "can't write 'out.onnx'", "nothing was changed", "Choose another folder")
    done = workbench(desk, *EVALUATE, "--project", "p.mcw", "--quiet", preexec_fn=limit(1000))
    refused(done, 1, "p.mcw", "can't be saved", "make room")
    assert snapshot(desk) == before


@pytest.mark.slow
def test_really_full_disk(desk, workbench, snapshot) -> None:
    disk = desk / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        (disk / "big").write_bytes(bytes(60 * 1024))
        done = workbench(desk, *COMPRESS, "--out", "disk/out.onnx", "--quiet")
        refused(done, 1, "out.onnx", "the disk is full", "Free some space")
        done = workbench(desk, "inspect", "model.onnx", "--project", "disk/p.mcw", "--quiet")
        refused(done, 1, "p.mcw", "the disk is full")
        assert list(snapshot(disk)) == ["big"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_full_standard_output_is_said(desk, workbench, environment) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "workbench", "inspect", "model.onnx", "--json"],
            cwd=desk,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert "standard output" in done.stderr.decode()


@pytest.mark.slow
def test_project_that_is_open_elsewhere_is_left_alone(desk, workbench, snapshot) -> None:
    with Document.create(desk / "p.mcw"):
        before = snapshot(desk)
        for arguments in (("project", "info", "p.mcw"), (*EVALUATE, "--project", "p.mcw"), ("project", "run", "p.mcw")):
            refused(workbench(desk, *arguments), 2, "p.mcw", f"open elsewhere (process {os.getpid()}", "Close it there")
        assert snapshot(desk) == before
    assert workbench(desk, *EVALUATE, "--project", "p.mcw", "--json").json["value"] == pytest.approx(0.9)


@pytest.fixture
def project(desk: Path, workbench) -> Path:
    done = workbench(desk, "project", "new", "p.mcw", "--model", "model.onnx", "--recipe", "recipe.yaml", "--json")
    assert done.json == {"project": str(desk / "p.mcw")}
    return desk / "p.mcw"


@pytest.mark.slow
def test_what_a_project_refers_to_and_has_changed_is_named(desk, project, workbench, snapshot, small_cnn) -> None:
    name = small_cnn.initializers[0]
    other: ModelGraph = small_cnn.with_initializers({name: small_cnn.constant(name) * np.float32(2)})
    save_model(other, desk / "model.onnx")
    before = snapshot(desk)
    refused(
        workbench(desk, "project", "run", "p.mcw"),
        2,
        "model.onnx",
        "was changed since",
        "Expected sha256",
        "Found sha256",
        "Restore the original file",
    )
    refused(workbench(desk, *EVALUATE, "--project", "p.mcw"), 2, "p.mcw", "model file was changed since")
    save_model(other, desk / "other.onnx")
    other_model = ("evaluate", "other.onnx", *EVALUATE[2:], "--project", "p.mcw")
    refused(workbench(desk, *other_model), 2, "is about another model", "other.onnx")
    (desk / "other.onnx").unlink()
    assert snapshot(desk) == before

    (desk / "model.onnx").unlink()
    refused(workbench(desk, "project", "run", "p.mcw"), 2, "model.onnx is not where it was", "Point to the model again")
    save_model(small_cnn, desk / "model.onnx")
    (desk / "samples.npz").rename(desk / "moved.npz")
    refused(workbench(desk, "project", "run", "p.mcw"), 2, "samples.npz is not where it was", "Point to the data again")


@pytest.mark.slow
def test_projects_of_other_data_and_files_of_other_kinds_are_refused(desk, project, workbench, snapshot) -> None:
    text = (desk / "data.yaml").read_text(encoding="utf-8")
    (desk / "data.yaml").write_text(text.replace("top1", "top5"), encoding="utf-8")
    before = snapshot(desk)
    refused(workbench(desk, *EVALUATE, "--project", "p.mcw"), 2, "about other data", "record in another project")
    refused(workbench(desk, "project", "new", "p.mcw", "--model", "model.onnx"), 2, "p.mcw", "such a file already")
    refused(workbench(desk, "project", "info", "model.onnx"), 2, "model.onnx", "not a project")
    refused(workbench(desk, "project", "export", "p.mcw", "--out", "x.onnx"), 2, "there is no candidate")
    assert snapshot(desk) == before


def test_recipe_of_the_project_is_the_one_that_was_given(desk, project) -> None:
    with Document.open(project) as document:
        recipe: Recipe = document.state.recipe()
    assert (recipe.seed, [step.method for step in recipe.steps]) == (3, ["prune.l1", "quantize.ptq"])
