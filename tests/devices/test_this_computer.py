from __future__ import annotations

import math
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from workbench.devices import ThisComputer
from workbench.devices.load import Load
from workbench.devices.rounds import Timings, time_rounds, without_waits
from workbench.devices.statistics import judge, summarize
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, CancelledError, ModelFileError

pytestmark = pytest.mark.alone


@pytest.fixture
def cnn_file(small_cnn, tmp_path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(small_cnn.to_bytes())
    return path


def matmuls(graph_from, count: int, path: Path) -> Path:
    body = " ".join(f"v{i + 1} = MatMul (v{i}, w)" for i in range(count))
    graph = graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,256] v0) => (float[batch,256] v{count}) {{ {body} }}""",
        {"w": np.eye(256, dtype=np.float32)},
    )
    path.write_bytes(graph.to_bytes())
    return path


def test_ratio_finds_the_slower_model_with_its_interval(graph_from, tmp_path):
    fast = matmuls(graph_from, 10, tmp_path / "fast.onnx")
    slow = matmuls(graph_from, 40, tmp_path / "slow.onnx")
    told: list[float] = []
    report = ThisComputer().measure(
        [fast, slow], batch=16, seconds=0.5, operators=False, progress=Progress(lambda done, text: told.append(done))
    )
    first, second = report.models
    assert first.ratio_to_first.median == 1.0
    assert first.ratio_to_first.ci95 == (1.0, 1.0)
    assert 2.0 < second.ratio_to_first.median < 8.0
    assert second.ratio_to_first.ci95[0] <= second.ratio_to_first.median <= second.ratio_to_first.ci95[1]
    assert first.latency_ms.ci95[0] <= first.latency_ms.median <= first.latency_ms.p90 <= first.latency_ms.p99
    assert first.batch == 16
    assert first.runs >= 10
    assert first.size_bytes == fast.stat().st_size
    assert report.device.threads == 1
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_operators_are_joined_to_layers(cnn_file):
    (model,) = ThisComputer().measure([cnn_file], seconds=0.1).models
    layers = [operator.layer for operator in model.operators if operator.layer is not None]
    assert sorted(layers) == ["Conv_0", "Conv_2", "Gemm_7"]
    assert sum(operator.share for operator in model.operators) == pytest.approx(1.0)


def test_peak_memory_counts_the_weights(graph_from, tmp_path):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4000] x) => (float[n,4000] y) { y = MatMul (x, w) }""",
        {"w": np.random.default_rng(0).normal(size=(4000, 4000)).astype(np.float32)},
    )
    path = tmp_path / "big.onnx"
    path.write_bytes(graph.to_bytes())
    (model,) = ThisComputer().measure([path], seconds=0.05, operators=False).models
    if model.peak_memory_bytes is None:
        pytest.skip("peak memory can't be measured on this system")
    assert 64_000_000 < model.peak_memory_bytes < 400_000_000


def test_dynamic_dimensions_need_values(graph_from, tmp_path):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,height,width] x, int64[batch,words] t) => (float[batch,3,height,width] y) { y = Relu (x) }"""
    )
    path = tmp_path / "dynamic.onnx"
    path.write_bytes(graph.to_bytes())
    with pytest.raises(BadInputError, match=r"dynamic\.onnx.*height, width, words.*height=224"):
        ThisComputer().measure([path], seconds=0.05)
    sizes = {"height": 8, "width": 8, "words": 5}
    assert ThisComputer().measure([path], seconds=0.05, operators=False, dimensions=sizes).models[0].batch == 1


def test_fixed_batch_is_kept_and_said(graph_from, tmp_path):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[4,8] x) => (float[4,8] y) { y = Relu (x) }"""
    )
    path = tmp_path / "four.onnx"
    path.write_bytes(graph.to_bytes())
    assert ThisComputer().measure([path], seconds=0.05, operators=False).models[0].batch == 4
    with pytest.raises(BadInputError, match="fixed batch of 4"):
        ThisComputer().measure([path], batch=2, seconds=0.05)


def test_cancel_and_bad_files(cnn_file, tmp_path):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        ThisComputer().measure([cnn_file], seconds=10, cancel=cancel)
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        ThisComputer().measure([cnn_file, tmp_path / "gone.onnx"])
    with pytest.raises(BadInputError, match="no model"):
        ThisComputer().measure([])


def test_describes_processor_and_runtime():
    device = ThisComputer().describe(2)
    assert device.cpu
    assert device.runtime.startswith("onnxruntime ")
    assert (device.name, device.threads) == ("local", 2)


def test_bootstrap_interval_holds_the_true_ratio_most_of_the_time():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(40):
        common = rng.gamma(2.0, 0.05, size=60)
        rounds = np.stack([1.0 + common + rng.normal(0, 0.02, 60), 0.5 * (1.0 + common) + rng.normal(0, 0.01, 60)], 1)
        runs = (rounds[:, 0], rounds[:, 1])
        ratio = summarize(Timings(rounds, runs, runs, 1.0), seed)[1][1]
        covered += ratio.ci95[0] <= 0.5 <= ratio.ci95[1]
    assert covered >= 35


def test_a_neighbour_moves_the_ratio_little():
    """Single runs take several times as long; the ratio is known to a hundredth all the same."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(20):
        runs = tuple(mean * (1 + 0.01 * rng.random((30, 6)) + 5 * (rng.random((30, 6)) < 0.4)) for mean in (1.0, 1.05))
        rounds = np.stack([np.median(run, axis=1) for run in runs], axis=1)
        flat = tuple(run.ravel() for run in runs)
        found.append(summarize(Timings(rounds, flat, flat, 1.0), seed)[1][1])
    assert all(1.04 < ratio.median < 1.06 for ratio in found)
    assert all(ratio.ci95[0] > 1.0 for ratio in found)


def test_processor_time_counts_only_where_it_says_something():
    runs = (np.array([1.0, 8.0, 1.1]), np.array([9.0, 7.1, 9.0]))
    busy = (np.array([0.99, 1.02, 1.05]), np.array([1.99, 2.05, 2.1]))
    assert [list(each) for each in without_waits(busy, runs, (0, 0))] == [list(each) for each in busy]
    for waits in ((0, 3), (math.nan, math.nan)):
        assert without_waits(busy, runs, waits) == runs, "both sides of a ratio are taken alike"
    coarse = (busy[0], np.array([0.0, 2.0, 15.6]))
    assert without_waits(coarse, runs, (0, 0)) == runs


def test_uncertain_ratios_are_measured_longer_but_not_for_ever():
    clock = np.random.default_rng(0)

    def spin(milliseconds: float) -> None:
        end = time.perf_counter() + milliseconds / 1000
        while time.perf_counter() < end:
            pass

    told: list[str] = []
    steady = time_rounds(
        [lambda: spin(1.0), lambda: spin(2.0)], seconds=0.3, seed=0, report=lambda done, text: told.append(text)
    )
    assert len(steady.runs_ms[0]) % len(steady.rounds_ms) == 0
    assert [len(run) for run in steady.active_ms] == [len(run) for run in steady.runs_ms]
    shaky = time_rounds(
        [lambda: spin(1.0), lambda: spin(5.0 + 20 * clock.random())],
        seconds=0.3,
        seed=0,
        report=lambda done, text: told.append(text),
    )
    assert 0.6 < shaky.busy_seconds < 3.0
    assert "longer because the machine is busy" in told[-1]


@pytest.mark.parametrize(
    ("times", "load", "word"),
    [
        (np.linspace(1.0, 1.3, 90), Load(2, 0.0, 0.0), "drifted"),
        (np.tile([1.0, 1.4], 45), Load(2, 0.0, 0.0), "spread"),
        (np.ones(90), Load(2, 1.5, 0.0), "other processes used 1.5 of 2 cores"),
        (np.ones(90), Load(2, 0.0, 0.1), "host"),
    ],
)
def test_disturbance_is_said(times, load, word):
    noise = judge(times, load, threads=1)
    assert not noise.quiet
    assert word in noise.reason


def test_quiet_machine_is_quiet():
    noise = judge(1.0 + 0.01 * np.random.default_rng(0).random(90), Load(2, 0.1, 0.0), threads=1)
    assert noise.quiet
    assert noise.reason == ""
    assert noise.drift_ratio < 0.01


def _spin(ready, stop) -> None:
    ready.set()
    while not stop.is_set():
        sum(range(1000))


def test_a_busy_machine_is_noticed(cnn_file):
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    neighbours = []
    for _ in range(2 * multiprocessing.cpu_count()):
        ready = context.Event()
        neighbour = context.Process(target=_spin, args=(ready, stop))
        neighbour.start()
        neighbours.append((neighbour, ready))
    try:
        assert all(ready.wait(30) for _, ready in neighbours)
        report = ThisComputer().measure([cnn_file], seconds=1.0, operators=False)
    finally:
        stop.set()
        for neighbour, _ in neighbours:
            neighbour.join()
    assert not report.noise.quiet
    assert "other processes" in report.noise.reason
