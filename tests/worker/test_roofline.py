"""Rooflines, throughput and energy through the job's own door and the command line: real devices, real kernels."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from workbench.cli import profile_formats
from workbench.cli.arguments import parse
from workbench.cli.profile_verb import profile
from workbench.domain.cancel import CancelToken
from workbench.domain.energy import EnergyReport
from workbench.domain.errors import BadInputError, DeviceError
from workbench.domain.installation import own_command
from workbench.domain.measurements import DeviceDescription
from workbench.domain.roofline import ComputePeak, DevicePeaks, MemoryPeak, RooflineReport, under_roof
from workbench.domain.throughput import ThroughputReport
from workbench.engines.inference_ort.kernel_rounds import run_microseconds
from workbench.graph.kernel_graphs import KernelShape, kernel_graph
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.graph.traffic import layer_traffic
from workbench.jobs.context import JobContext
from workbench.jobs.specs import EnergyJob, RooflineJob, ThroughputJob
from workbench.project.energy_setting import energy_coefficients
from workbench.project.places import config_folder
from workbench.worker.dispatch import run_job

DEVICE = DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p")
PEAKS = DevicePeaks(
    device=DEVICE,
    compute=(
        ComputePeak(form="float32", gflops=100.0, ci95=(99.0, 101.0), kernel="k"),
        ComputePeak(form="uint8", gflops=400.0, ci95=(399.0, 401.0), kernel="k"),
    ),
    memory=MemoryPeak(gbytes_per_s=10.0, ci95=(9.0, 11.0), kernel="copy", array_bytes=1 << 26),
)


@pytest.fixture
def model(small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    save_model(small_cnn, tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


@pytest.fixture
def measured_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peaks of a test take a moment: small arrays, and the fewest runs of each kernel."""
    for module, name, value in (
        ("workbench.devices.bandwidth", "_LARGEST", 1 << 22),
        ("workbench.devices.peak_book", "_SECONDS", 0.01),
        ("workbench.devices.peak_book", "_BANDWIDTH_SECONDS", 0.01),
    ):
        monkeypatch.setattr(f"{module}.{name}", value)


def test_the_lower_roof_binds() -> None:
    common = {"kernel": "Conv", "milliseconds": 1.0, "total_ms": 4.0}
    steep = under_roof(PEAKS, "a", "Conv", form="float32", flops=2_000_000, bytes=1_000_000, **common)
    assert (steep.intensity, steep.roof_gflops, steep.bound) == (2.0, 20.0, "memory")
    assert (steep.gflops, steep.roof_share, steep.time_share) == (2.0, 0.1, 0.25)
    flat = under_roof(PEAKS, "b", "Conv", form="float32", flops=50_000_000, bytes=1_000_000, **common)
    assert (flat.roof_gflops, flat.bound, flat.roof_share) == (100.0, "compute", 0.5)
    assert PEAKS.ridge("uint8") == 40.0
    assert under_roof(PEAKS, "b", "C", form="uint8", flops=39, bytes=1, **common).bound == "memory"


def test_every_run_counts_once_and_no_other() -> None:
    def run(*microseconds: int) -> list[dict[str, object]]:
        nodes = [
            {"cat": "Node", "name": "n_kernel_time", "dur": duration, "args": {"op_name": "Conv"}}
            for duration in microseconds
        ]
        return [*nodes, {"cat": "Session", "name": "model_run", "dur": 9, "args": {}}]

    events = [event for duration in (90, 80, 70, 60, 5, 6, 7) for event in run(duration, 1)]
    assert run_microseconds(events) == [6, 7, 8], "the first burst warms up"


def test_traffic_counts_everything_once(small_cnn: ModelGraph) -> None:
    first, second, last = layer_traffic(small_cnn, batch=2)
    assert (first.macs, first.read, first.written) == (2 * 8 * 64 * 27, 2 * 3 * 64, 2 * 8 * 64)
    assert first.bytes() == 4 * (8 * 27 + 8 + 2 * 3 * 64 + 2 * 8 * 64)
    assert second.bytes("QLinearConv") == 8 * 8 * 9 + 4 * 8 + 2 * 2 * 8 * 64
    assert last.bytes("MatMulIntegerToFloat") == 40 + 4 * 5 + 2 * 8 + 4 * 2 * 5


def test_half_precision_that_is_computed_in_float_counts_as_float(graph_from, measured_peaks: None, tmp_path) -> None:
    weight = np.ones((16, 16, 3, 3), np.float16)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float16[1,16,32,32] x) => (float16[1,16,30,30] y) { c = Conv (x, w) y = Relu (c) }""",
        {"w": weight},
    )
    save_model(graph, tmp_path / "half.onnx")
    (traffic,) = layer_traffic(graph, 1)
    narrow = 2 * (16 * 16 * 9 + 16 * 32 * 32 + 16 * 30 * 30)
    assert traffic.bytes() == narrow
    spec = RooflineJob(model=str(tmp_path / "half.onnx"), seconds=0.1)
    (entry,) = RooflineReport.model_validate(run_job(spec, JobContext())).layers
    assert not entry.reason, "found again though the runtime renames what it widens"
    assert entry.bytes in (narrow, 2 * narrow)


def test_layers_without_sizes_say_why(graph_from) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4,h,w] x, int64[n] t) => (float[n,4,a,b] y, float[n,8] e) {
            y = Conv (x, w)
            e = Gather (table, t)
        }""",
        {"w": np.ones((4, 4, 3, 3), np.float32), "table": np.ones((9, 8), np.float32)},
    )
    conv, gather = layer_traffic(graph, 1)
    assert conv.unknown
    assert "not known" in conv.reason
    assert gather.reason == "Gather multiplies nothing"
    assert not gather.unknown


def test_layers_lie_under_roofs_that_are_measured_once(model: str, measured_peaks: None, tmp_path: Path) -> None:
    def roofline(**settings: object) -> RooflineReport:
        return RooflineReport.model_validate(run_job(RooflineJob(model=model, seconds=0.1, **settings), JobContext()))

    report = roofline(batch=2)
    assert "GFLOP/s" in profile_formats.roofline(report)
    assert [entry.layer for entry in report.layers] == ["Conv_0", "Conv_2", "Gemm_7"]
    for entry in report.known:
        assert entry.flops > 0
        assert entry.gflops == pytest.approx(entry.flops / entry.milliseconds / 1e6)
        assert entry.roof_share == pytest.approx(entry.gflops / entry.roof_gflops)
        assert entry.form == "float32"
    assert {peak.form for peak in report.peaks.compute} == {"float32", "uint8"}
    assert all(peak.gflops > 0.1 for peak in report.peaks.compute)
    assert report.peaks.memory.gbytes_per_s > 0.1
    assert 0 < report.layers_ms <= report.total_ms
    assert roofline().peaks == report.peaks, "kept for the thread setting"
    (kept,) = (tmp_path / "cache").rglob("*.peaks.json")
    newer = roofline(renew=True).peaks
    assert newer != report.peaks
    assert roofline().peaks == newer
    kept.write_text("{}")
    assert roofline().peaks not in (newer, report.peaks), "a spoilt file is made again"
    with pytest.raises(BadInputError, match="no dimension"):
        roofline(dimensions={"height": 3})
    with pytest.raises(DeviceError, match="there is no device 'pi'"):
        roofline(device="pi")


def test_quantized_layers_lie_under_the_roof_of_integers(measured_peaks: None, tmp_path: Path) -> None:
    shape = KernelShape("Conv", (1, 32, 16, 16), (32, 32, 3, 3), 1, True, (("pads", (1, 1, 1, 1)),))
    save_model(kernel_graph(shape, "uint8"), tmp_path / "int8.onnx")
    spec = RooflineJob(model=str(tmp_path / "int8.onnx"), seconds=0.1, renew=True)
    (entry,) = RooflineReport.model_validate(run_job(spec, JobContext())).layers
    assert (entry.kernel, entry.form) == ("QLinearConv", "uint8")
    assert entry.bytes == 32 * 32 * 9 + 4 * 32 + 2 * 32 * 256


def test_throughput_is_of_all_streams(model: str) -> None:
    spec = ThroughputJob(models=(model, model), batch=4, streams=2, seconds=0.5)
    report = run_job(spec, JobContext())
    assert (report["streams"], report["batch"], report["threads"]) == (2, 4, 1)
    first, second = report["models"]
    assert first["ratio_to_first"]["median"] == 1.0
    assert 0.3 < second["ratio_to_first"]["median"] < 3.0
    assert first["samples_per_second"]["median"] > 1
    assert first["windows"] >= 5


def test_energy_is_estimated_by_coefficients(model: str) -> None:
    plain = run_job(EnergyJob(models=(model,), seconds=0.1), JobContext())
    estimate = plain["models"][0]["estimate"]
    macs = 8 * 64 * 27 + 8 * 64 * 72 + 40
    assert (estimate["macs_float"], estimate["macs_integer"]) == (macs, 0)
    assert estimate["arithmetic_mj"] == pytest.approx(macs * 4.6e-9)
    assert estimate["memory_mj"] == pytest.approx(estimate["bytes"] * 162.5e-9)
    assert "Horowitz" in plain["estimate_basis"]
    assert bool(plain["why_not_measured"]) == (plain["models"][0]["measured"] is None)


def run(*words: str) -> tuple[int, str, str]:
    done = subprocess.run(own_command("profile", *words, "--quiet"), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_command_adds_to_the_profile(model: str, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"float32_pj_per_mac": 1.0, "dram_pj_per_byte": 0}')
    words = (
        "--seconds",
        "0.3",
        "--throughput",
        "--streams",
        "2",
        "--energy",
        "--coefficients",
        str(tmp_path / "own.json"),
    )
    status, out, err = run(model, model, *words, "--json")
    assert status == 0, err
    report = json.loads(out)
    assert {"device", "models", "noise", "throughput", "energy"} <= set(report)
    assert "rooflines" not in report
    entry = report["models"][0]
    if entry["peak_memory_bytes"] is not None:
        assert entry["arena_bytes"] > 0
        assert 0 <= entry["inference_memory_bytes"] <= entry["peak_memory_bytes"]
    assert report["throughput"]["streams"] == 2
    first = report["energy"]["models"][0]["estimate"]
    assert first["memory_mj"] == 0
    assert report["energy"]["estimate_basis"] == "given by the user"
    told = profile_formats.energy(EnergyReport.model_validate(report["energy"]))
    assert "ESTIMATED, not measured" in told
    told = profile_formats.throughput(ThroughputReport.model_validate(report["throughput"]))
    assert "2 stream(s), each a session of its own" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--throughput", "--streams", "0"), "--streams is 0"),
        (("--streams", "2"), "--streams is of --throughput"),
        (("--coefficients", "c.yaml"), "--coefficients is of --energy"),
        (("--fresh",), "--fresh is of --roofline"),
        (("--throughput", "--streams", "65"), "--streams is 65"),
        (("--energy", "--coefficients", "nowhere.yaml"), "there is no file of coefficients"),
    ],
)
def test_bad_options_are_refused_before_the_work(model: str, words: tuple[str, ...], said: str) -> None:
    # Nothing is printed before, so that no console is needed.
    with pytest.raises(BadInputError, match=said):
        profile(parse(["profile", model, *words]), None, CancelToken())  # type: ignore[arg-type]


def test_bad_coefficients_are_one_line(model: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("dram_pj_per_byte: -1\n")
    status, _, err = run(model, "--energy", "--coefficients", str(tmp_path / "c.yaml"))
    assert status == 2
    assert "dram_pj_per_byte" in err
    assert len(err.strip().splitlines()) == 1


def test_the_users_own_coefficients_are_a_setting(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert energy_coefficients().float32_pj_per_mac == 4.6
    config_folder().mkdir(parents=True)
    (config_folder() / "energy.yaml").write_text("float32_pj_per_mac: 2\n")
    assert energy_coefficients().float32_pj_per_mac == 2
