"""Devices by name, on the command line and in recipes: what is measured there, and what is said when it can't be."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from workbench.devices import this_computer
from workbench.devices.processor import integer_dot_products
from workbench.domain.installation import own_command
from workbench.domain.remote_device import RemoteDevice
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob
from workbench.methods.recipe_file import read_recipe
from workbench.project.device_book import DeviceBook
from workbench.worker.dispatch import run_job


@pytest.fixture
def desk(cnn_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and data, and settings of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "test.npz", x=rng.normal(size=(50, 3, 8, 8)).astype(np.float32), y=rng.integers(0, 5, 50))
    (tmp_path / "data.yaml").write_text(
        "task: classification\nmetric: top1\n"
        "train: {reader: npz, path: test.npz, inputs: x, targets: y}\n"
        "test: {reader: npz, path: test.npz, inputs: x, targets: y}\n"
    )
    return tmp_path


@pytest.fixture
def run(desk: Path):
    """Return a function (words) -> status, JSON (or None), standard error."""

    def call(*words: str):
        done = subprocess.run(own_command(*words, "--json", "--quiet"), capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return call


@pytest.fixture
def known(desk: Path, settings) -> RemoteDevice:
    device = settings()
    DeviceBook().put(device)
    return device


def test_device_is_added_checked_and_removed(run, settings):
    device = settings()
    given = [
        *("--host", device.host, "--port", str(device.port), "--key", device.key, "--python", device.python),
        *("--known-hosts", device.known_hosts, "--folder", device.folder),
    ]
    status, added, _ = run("device", "add", "loop", *given)
    assert status == 0
    assert RemoteDevice.model_validate(added) == device
    status, listed, _ = run("device", "list")
    assert [RemoteDevice.model_validate(entry) for entry in listed["devices"]] == [device]
    status, found, _ = run("device", "check", "loop")
    assert status == 0
    assert set(found["versions"]) == {"numpy", "onnxruntime"}
    assert run("device", "remove", "loop")[0] == 0
    status, _, said = run("device", "check", "loop")
    assert status == 2
    assert "there is no device 'loop'" in said
    assert run("device", "list")[1]["devices"] == []


def test_this_computer_can_be_checked_too(run):
    status, found, _ = run("device", "check", "local")
    assert (status, found["name"]) == (0, "local")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "local", "--host=pi"), "another name"),
        (("add", "pi", "--host=-oProxyCommand=evil"), "a host name or address"),
        (("add", "pi", "--host=pi", "--port=70000"), "device: port"),
        (("remove", "pi"), "there is no device 'pi'"),
    ],
)
def test_bad_settings_are_one_line(run, words, said):
    status, _, err = run("device", *words)
    assert status == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_profile_measures_there(run, known):
    status, report, _ = run("profile", "net.onnx", "--device", "loop", "--seconds", "0.2")
    assert status == 0
    assert report["device"]["name"] == "loop"
    assert report["models"][0]["operators"]


@pytest.mark.slow
def test_roofs_throughput_and_energy_are_those_of_the_device(run, known):
    words = ("--roofline", "--throughput", "--streams", "2", "--energy", "--seconds", "0.2")
    status, report, said = run("profile", "net.onnx", "--device", "loop", *words)
    assert status == 0, said
    (roofline,) = report["rooflines"]
    assert roofline["peaks"]["device"]["name"] == "loop"
    assert roofline["peaks"]["memory"]["gbytes_per_s"] > 0.1
    assert {entry["bound"] for entry in roofline["layers"]} <= {"compute", "memory"}
    assert report["throughput"]["device"]["name"] == "loop"
    assert report["throughput"]["models"][0]["samples_per_second"]["median"] > 1
    assert report["energy"]["device"]["name"] == "loop"
    assert report["energy"]["models"][0]["estimate"]["macs_float"] > 0


def test_metric_there_is_that_of_here(run, known):
    here = run("evaluate", "net.onnx", "--data", "data.yaml")[1]
    status, there, _ = run("evaluate", "net.onnx", "--data", "data.yaml", "--device", "loop")
    assert status == 0
    assert {**there, "seconds": 0} == {**here, "seconds": 0}
    status, _, said = run("evaluate", "net.onnx", "--data", "data.yaml", "--device", "loop", "--project", "p.mcw")
    assert status == 2
    assert "--project" in said


def test_sums_that_saturate_on_the_device_alone_are_told(known, desk, monkeypatch):
    # The device is this very computer: it says of itself what it is, while here is taken for one that is exact.
    there = integer_dot_products() is False
    monkeypatch.setattr(this_computer, "integer_dot_products", lambda: True)
    (desk / "recipe.yaml").write_text(
        "version: 1\ndata: data.yaml\nplan: {default: {weight_bits: 8, activation_bits: 8}}\n"
        "steps: [{method: quantize.ptq, parameters: {calibration_samples: 8}}]\ndevice: loop\n"
    )
    recipe = read_recipe(desk / "recipe.yaml")
    job = CompressJob(model="net.onnx", recipe=recipe, out=str(desk / "small.onnx"), latency_seconds=0.2)
    report = run_job(job, JobContext())
    told = [warning for warning in report["warnings"] if "On device loop sums of 8-bit products" in warning]
    assert len(told) == there
    assert not there or "workbench evaluate --device" in told[0]


@pytest.mark.slow
def test_candidate_is_measured_on_the_device_of_its_recipe(run, known, desk):
    (desk / "recipe.yaml").write_text(
        "version: 1\ndata: data.yaml\nplan: {default: {prune_ratio: 0.25}}\nsteps: [{method: prune.l1}]\ndevice: loop\n"
    )
    status, report, said = run("compress", "net.onnx", "--recipe", "recipe.yaml", "--out", "small.onnx")
    assert status == 0, said
    assert report["latency_report"]["device"]["name"] == "loop"
    assert len(report["latency_report"]["models"]) == 2


@pytest.mark.slow
def test_preflight_times_kernels_and_stand_in_there(run, known, desk):
    (desk / "recipe.yaml").write_text(
        "version: 1\nplan: {default: {weight_bits: 8, activation_bits: 8}}\nsteps: [{method: quantize.ptq}]\n"
        "data: data.yaml\ndevice: loop\n"
    )
    status, report, said = run("preflight", "net.onnx", "--recipe", "recipe.yaml")
    assert status == 0, said
    assert report["device"]["name"] == "loop"
    assert report["ratio"]["median"] > 0
    forms = {layer["op"]: {kernel["form"] for kernel in layer["kernels"]} for layer in report["layers"]}
    assert forms["Conv"] == {"float32", "uint8", "int8"}
    assert forms["Gemm"] >= forms["Conv"]


def test_device_that_is_down_is_told_before_the_work(run, known, server, desk):
    server.stop()
    (desk / "recipe.yaml").write_text("version: 1\nsteps: [{method: prune.l1}]\nplan: {default: {prune_ratio: 0.5}}\n")
    status, _, said = run("compress", "net.onnx", "--recipe", "recipe.yaml", "--out", "small.onnx", "--device", "loop")
    assert status == 2
    assert "device loop: 127.0.0.1 runs no SSH server" in said
    assert not (desk / "small.onnx").exists()
    status, _, said = run("profile", "net.onnx", "--device", "nobody")
    assert status == 2
    assert "one of 'local', 'loop'" in said
