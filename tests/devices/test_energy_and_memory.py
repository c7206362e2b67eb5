"""Counters, bandwidth, streams and memory: the loops that devices share, on real files in the system's own layout."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from workbench.devices import SshDevice, ThisComputer
from workbench.devices.bandwidth import cache_bytes, stream_times
from workbench.devices.energy_rounds import energy_rounds
from workbench.devices.memory import memory_use
from workbench.devices.rapl import RaplCounters
from workbench.devices.statistics import summarize_energy, summarize_rates
from workbench.devices.streams import run_streams
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import BadInputError, CancelledError


class Meter:
    """A powercap folder whose package counter rises by 2 W of idle power and what `work` spends."""

    def __init__(self, folder: Path, reach: int = 1 << 40) -> None:
        self.folder = folder
        self._spent = 0.0
        self._reach = reach
        for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:0:1", "dram")):
            place = folder / zone
            place.mkdir(parents=True)
            (place / "name").write_text(f"{name}\n")
            (place / "max_energy_range_uj").write_text(f"{reach}\n")
            (place / "energy_uj").write_text("0\n")
        (folder / "intel-rapl").mkdir()
        self._began = time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def work(self, joules: float, seconds: float = 0.002) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        self._spent += joules
        self._write()

    def _tick(self) -> None:
        while not self._stop.wait(0.001):
            self._write()

    def _write(self) -> None:
        total = 2.0 * (time.perf_counter() - self._began) + self._spent
        part = self.folder / f".{threading.get_ident()}"
        part.write_text(f"{int(total * 1e6) % self._reach}\n")
        part.replace(self.folder / "intel-rapl:0" / "energy_uj")


def test_energy_is_above_idle_and_ratios_are_paired(tmp_path: Path) -> None:
    with Meter(tmp_path / "powercap") as meter:
        rounds = energy_rounds(
            [lambda: meter.work(0.5), lambda: meter.work(1.0)],
            RaplCounters(meter.folder),
            seconds=0.1,
            seed=0,
            report=lambda done, text: None,
            idle_s=0.05,
            visit_s=0.05,
        )
    first, second = summarize_energy(rounds, seed=0)
    # What idles away beside that is small, so that a busy machine, on which the meter ticks late, spoils nothing.
    assert first.millijoules == pytest.approx(500, rel=0.1)
    assert first.ratio_to_first.median == 1.0
    assert second.ratio_to_first.median == pytest.approx(2.0, rel=0.1)
    assert 0.2 < np.median(rounds.idle_watts) < 10
    assert second.watts > 10


def test_a_counter_that_began_anew_is_followed(tmp_path: Path) -> None:
    with Meter(tmp_path / "powercap", reach=1_000_000) as meter:
        counters = RaplCounters(meter.folder)
    assert counters.names == ("package-0", "dram")
    assert counters.joules([900_000, 5], [100_000, 10]) == pytest.approx(0.200005)


def test_missing_counters_say_so(tmp_path: Path, cnn_file: Path) -> None:
    with pytest.raises(OSError, match="no energy counters"):
        RaplCounters(tmp_path)
    found = ThisComputer(counters=tmp_path).energy([cnn_file], seconds=0.1)
    assert found.rounds is None
    assert "no energy counters" in found.why_not


def test_this_computer_reads_the_counters_of_a_folder(tmp_path: Path, cnn_file: Path) -> None:
    with Meter(tmp_path / "powercap") as meter:
        found = ThisComputer(counters=meter.folder).energy([cnn_file, cnn_file], seconds=0.1, batch=2)
    assert found.rounds is not None
    assert found.batch == 2
    assert found.counters == ("package-0", "dram")
    assert all(runs >= 20 for runs in found.rounds.runs)


def test_bandwidth_is_of_arrays_beyond_the_cache(tmp_path: Path) -> None:
    size, times = stream_times(threads=2, seconds=0.01, array_bytes=1 << 22)
    assert size == 1 << 22
    assert set(times) == {"copy", "add"}
    assert all(len(runs) >= 5 and min(runs) > 0 for runs in times.values())
    for index, text in enumerate(("48K", "2048K", "1M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{text}\n")
    assert cache_bytes(tmp_path) == 2 << 20
    assert cache_bytes(tmp_path / "nowhere") is None


def test_streams_add_up() -> None:
    def waiting() -> None:
        threading.Event().wait(0.005)

    rates = np.array(
        run_streams(
            [[waiting], [waiting] * 4],
            seconds=0.1,
            seed=0,
            report=lambda done, text: None,
        )
    )
    (one, _), (four, ratio) = summarize_rates(rates, seed=0)
    assert 20 < one.median < 205
    assert 2.0 < ratio.median < 6.0
    assert four.ci95[0] <= four.median <= four.ci95[1]


def test_a_cancel_ends_counting_and_bad_models_are_refused(cnn_file: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        ThisComputer().throughput([cnn_file], seconds=10, cancel=cancel)
    with pytest.raises(BadInputError, match="no model"):
        ThisComputer().throughput([])


def test_memory_has_its_parts(graph_from, tmp_path: Path) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4000] x) => (float[n,4000] y) { a = MatMul (x, w) y = Exp (a) }""",
        {"w": np.random.default_rng(0).normal(size=(4000, 4000)).astype(np.float32)},
    )
    path = tmp_path / "big.onnx"
    path.write_bytes(graph.to_bytes())
    use = memory_use(path, batch=500, threads=1)
    if use.peak is None:
        pytest.skip("memory can't be measured on this system")
    assert use.peak > 64_000_000, "the weights"
    if use.inference is not None:
        assert 8_000_000 < use.inference < 64_000_000, "the activations, without the weights"
    assert use.arena is not None
    assert 8_000_000 <= use.arena < 64_000_000


@pytest.mark.slow
def test_another_device_measures_the_same_figures(settings, cnn_file: Path) -> None:
    device = SshDevice(settings())
    report = device.throughput([cnn_file, cnn_file], streams=2, batch=3, seconds=0.2)
    assert (report.device.name, report.streams, report.batch) == ("loop", 2, 3)
    assert report.models[0].samples_per_second.median > 1
    found = device.energy([cnn_file], seconds=0.1)
    assert (found.rounds is None) == bool(found.why_not)
    (model,) = device.measure([cnn_file], seconds=0.1, operators=False).models
    assert model.peak_memory_bytes is None or model.arena_bytes is not None
    there = device.bandwidth(seconds=0.01)
    assert there.array_bytes > 0
    assert set(there.times) == {"copy", "add"}
