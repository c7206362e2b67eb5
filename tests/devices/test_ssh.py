"""Measuring on a machine that is reached over SSH: this one, through a real server."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import venv
from pathlib import Path

import numpy as np
import psutil
import pytest

from workbench.devices import SshDevice
from workbench.devices.processor import integer_dot_products
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, CancelledError, DeviceError, JobError, ModelFileError


class Watcher:
    """Collects what progress is told, and lets a test wait for a word of it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fractions: list[float] = []
        self._changed = threading.Condition()
        self.progress = Progress(self._told)

    def _told(self, fraction: float, text: str) -> None:
        with self._changed:
            self.said.append(text)
            self.fractions.append(fraction)
            self._changed.notify_all()

    def wait_for(self, word: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(word in text for text in self.said), 60), self.said


class Measurement:
    """One measurement on a thread of its own; leaving it waits for its end."""

    def __init__(self, device: SshDevice, *models: Path, seconds: float = 2.0) -> None:
        self.watcher, self.cancel = Watcher(), CancelToken()
        self.report = self.error = None
        self._thread = threading.Thread(target=self._run, args=(device, models, seconds))

    def _run(self, device: SshDevice, models: tuple[Path, ...], seconds: float) -> None:
        try:
            self.report = device.measure(
                models,
                seconds=seconds,
                operators=False,
                memory=False,
                progress=self.watcher.progress,
                cancel=self.cancel,
            )
        except Exception as error:  # handed to the test
            self.error = error

    def __enter__(self) -> Measurement:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.cancel.cancel()
        self._thread.join(60)
        assert not self._thread.is_alive()


def working_there(folder: Path) -> list[psutil.Process]:
    """Return the processes that measure in an agent's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if str(folder) in words and "work" in words:
                found.append(process)
    return found


def wait_until(there, what: str) -> None:
    pause = threading.Event()
    for _ in range(600):
        if there():
            return
        pause.wait(0.05)
    raise AssertionError(what)


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("*"))


def test_check_says_what_the_device_is(settings):
    check = SshDevice(settings()).check()
    assert "loop can measure: " in check.sentence
    assert set(check.versions) == {"numpy", "onnxruntime"}
    assert check.cores >= 1
    assert [("saturate" in note) for note in check.notes] == [True] * (integer_dot_products() is False)


def test_report_is_like_that_of_this_computer(settings, cnn_file, agent_folder):
    device, watcher = SshDevice(settings()), Watcher()
    report = device.measure([cnn_file, cnn_file], seconds=0.5, threads=2, batch=3, progress=watcher.progress)
    first, second = report.models
    assert (report.device.name, report.device.threads) == ("loop", 2)
    assert report.device.runtime.startswith("onnxruntime ")
    assert first.ratio_to_first.ci95 == (1.0, 1.0)
    assert 0.2 < second.ratio_to_first.median < 5.0
    assert first.latency_ms.ci95[0] <= first.latency_ms.median <= first.latency_ms.p90
    assert (first.path, first.batch, first.size_bytes) == (str(cnn_file), 3, cnn_file.stat().st_size)
    assert first.peak_memory_bytes is None or first.peak_memory_bytes > 0
    assert sorted(entry.layer for entry in first.operators if entry.layer) == ["Conv_0", "Conv_2", "Gemm_7"]
    assert sum(entry.share for entry in first.operators) == pytest.approx(1.0)
    assert watcher.fractions == sorted(watcher.fractions)
    assert watcher.fractions[-1] == 1.0
    assert not runs(agent_folder), "a run that was fetched is cleared away"
    assert device.describe(2) == report.device


def test_model_is_sent_once_and_again_when_it_was_damaged(settings, cnn_file, agent_folder):
    device = SshDevice(settings())
    said = []
    for _ in range(2):
        watcher = Watcher()
        device.measure([cnn_file], seconds=0.05, operators=False, memory=False, progress=watcher.progress)
        said.append(any("sending" in text for text in watcher.said))
    assert said == [True, False]
    (stored,) = agent_folder.glob("models/*/model.onnx")
    stored.write_bytes(stored.read_bytes()[:-100])
    device.measure([cnn_file], seconds=0.05, operators=False, memory=False)
    assert stored.read_bytes() == cnn_file.read_bytes()


def test_weights_beside_the_model_travel_along(settings, small_cnn, tmp_path):
    import onnx

    path = tmp_path / "net.onnx"
    model = onnx.load_from_string(small_cnn.to_bytes())
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 100
    (entry,) = SshDevice(settings()).measure([path], seconds=0.05, operators=False, memory=False).models
    assert entry.size_bytes > path.stat().st_size


def test_dropped_connection_is_survived(settings, slow_file, server, agent_folder):
    with Measurement(SshDevice(settings()), slow_file, slow_file, seconds=3.0) as measurement:
        measurement.watcher.wait_for("timing")
        (before,) = working_there(agent_folder)
        server.drop_connections()
        measurement.watcher.wait_for("trying again")
        assert before.is_running()
    assert measurement.error is None
    assert len(measurement.report.models) == 2
    assert measurement.watcher.fractions == sorted(measurement.watcher.fractions)


def test_result_is_fetched_when_the_server_is_back(settings, slow_file, server, agent_folder):
    with Measurement(SshDevice(settings()), slow_file, seconds=1.0) as measurement:
        measurement.watcher.wait_for("timing")
        server.stop()
        wait_until(lambda: not working_there(agent_folder), "the run goes on without a connection, and ends")
        server.start()
    assert measurement.error is None
    assert measurement.report.models[0].runs >= 10
    assert not runs(agent_folder)


def test_greeting_of_a_login_is_passed_over(settings, cnn_file, server):
    device = SshDevice(settings(key=str(server.greeted_key)))
    assert device.measure([cnn_file], seconds=0.05, operators=False, memory=False).models[0].runs >= 10


@pytest.fixture
def big_file(graph_from, tmp_path) -> Path:
    """64 MB, which take a moment to send."""
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4000] x) => (float[n,4000] y) { y = MatMul (x, w) }""",
        {"w": np.random.default_rng(0).random((4000, 4000), dtype=np.float32)},
    )
    path = tmp_path / "big.onnx"
    path.write_bytes(graph.to_bytes())
    return path


def test_connection_that_drops_while_a_model_is_sent(settings, big_file, server):
    device = SshDevice(settings())
    device.check()
    with Measurement(device, big_file, seconds=0.2) as measurement:
        measurement.watcher.wait_for("sending big.onnx")
        server.drop_connections()
    assert measurement.error is None


def test_cancel_while_a_model_is_sent(settings, big_file, agent_folder):
    with Measurement(SshDevice(settings()), big_file, seconds=60.0) as measurement:
        measurement.watcher.wait_for("sending big.onnx")
        measurement.cancel.cancel()
    assert isinstance(measurement.error, CancelledError)
    wait_until(lambda: not working_there(agent_folder), "nothing goes on there")


def test_patience_ends(settings, slow_file, server):
    with Measurement(SshDevice(settings(), patience_s=0.5), slow_file, seconds=1.0) as measurement:
        measurement.watcher.wait_for("timing")
        server.stop()
    assert isinstance(measurement.error, DeviceError)
    assert "did not come back within" in str(measurement.error)


def test_cancel_ends_the_run_there(settings, slow_file, agent_folder):
    with Measurement(SshDevice(settings()), slow_file, seconds=60.0) as measurement:
        measurement.watcher.wait_for("timing")
        assert working_there(agent_folder)
        measurement.cancel.cancel()
    assert isinstance(measurement.error, CancelledError)
    wait_until(lambda: not working_there(agent_folder), "the process is gone")
    assert not runs(agent_folder)


def test_cancel_is_heard_while_there_is_no_connection(settings, slow_file, server):
    with Measurement(SshDevice(settings()), slow_file, seconds=1.0) as measurement:
        measurement.watcher.wait_for("timing")
        server.stop()
        measurement.watcher.wait_for("trying again")
        measurement.cancel.cancel()
    assert isinstance(measurement.error, CancelledError)


def test_damaged_result_is_refused(settings, slow_file, server, agent_folder):
    with Measurement(SshDevice(settings()), slow_file, seconds=0.5) as measurement:
        measurement.watcher.wait_for("timing")
        server.stop()
        wait_until(lambda: not working_there(agent_folder), "the run has ended")
        (result,) = agent_folder.glob("runs/*/result.json")
        content = json.loads(result.read_text())
        content["payload"] = content["payload"].replace('"cores": ', '"cores": 1', 1)
        result.write_text(json.dumps(content))
        server.start()
    assert isinstance(measurement.error, JobError)
    assert "result of the measurement is damaged" in str(measurement.error)
    assert "sha256" in str(measurement.error)


def test_cut_short_result_is_refused(settings, slow_file, server, agent_folder):
    with Measurement(SshDevice(settings()), slow_file, seconds=0.5) as measurement:
        measurement.watcher.wait_for("timing")
        server.stop()
        wait_until(lambda: not working_there(agent_folder), "the run has ended")
        (result,) = agent_folder.glob("runs/*/result.json")
        result.write_text(result.read_text()[:200])
        server.start()
    assert "cut short" in str(measurement.error)


def test_run_that_dies_is_told(settings, slow_file, agent_folder):
    with Measurement(SshDevice(settings()), slow_file, seconds=60.0) as measurement:
        measurement.watcher.wait_for("timing")
        for process in working_there(agent_folder):
            process.kill()
    assert isinstance(measurement.error, JobError)
    assert "ended there without a result" in str(measurement.error)


def test_two_runs_wait_for_each_other(settings, slow_file):
    device = SshDevice(settings())
    with Measurement(device, slow_file, seconds=60.0) as first:
        first.watcher.wait_for("timing")
        with Measurement(device, slow_file, seconds=0.1) as second:
            second.watcher.wait_for("waiting for another measurement")
            first.cancel.cancel()
    assert second.error is None


def test_closed_port_is_told(settings, server):
    server.stop()
    with pytest.raises(DeviceError, match=r"device loop: 127\.0\.0\.1 runs no SSH server at port \d+"):
        SshDevice(settings()).check()


def test_unknown_host_is_told(settings):
    with pytest.raises(DeviceError, match=r"there is no host 'nowhere\.invalid'"):
        SshDevice(settings(host="nowhere.invalid")).check()


def test_wrong_key_is_told(settings, server):
    with pytest.raises(DeviceError, match=r"does not let this user in with the key .*stranger"):
        SshDevice(settings(key=str(server.strange_key))).check()
    with pytest.raises(DeviceError, match="no key file"):
        SshDevice(settings(key=str(server.strange_key) + "er")).check()


def test_host_key_must_be_known_or_be_remembered_on_wish(settings, tmp_path):
    known = tmp_path / "known hosts"
    with pytest.raises(DeviceError, match=r"host key of .* is not known yet"):
        SshDevice(settings(known_hosts=str(known))).check()
    SshDevice(settings(known_hosts=str(known), host_key="first")).check()
    assert known.exists()
    SshDevice(settings(known_hosts=str(known))).check()


def test_changed_host_key_is_refused(settings, server, tmp_path):
    known = tmp_path / "known"
    other = " ".join(server.strange_key.with_suffix(".pub").read_text().split()[:2])
    known.write_text(f"[127.0.0.1]:{server.port} {other}\n")
    with pytest.raises(DeviceError, match=r"host key of .* is another one than before"):
        SshDevice(settings(known_hosts=str(known), host_key="first")).check()


def test_python_without_onnxruntime_is_told(settings, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    bare = str(tmp_path / "bare" / "bin" / "python")
    with pytest.raises(DeviceError, match=r"can't import numpy and onnxruntime.*pip install"):
        SshDevice(settings(python=bare)).check()


def test_measuring_without_onnxruntime_is_told(settings, cnn_file, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    bare = SshDevice(settings(python=str(tmp_path / "bare" / "bin" / "python")))
    with pytest.raises(DeviceError, match="can't import numpy"):
        bare.measure([cnn_file], seconds=0.05)


@pytest.mark.parametrize("agent_is_there", [False, True])
def test_python_that_is_too_old_is_told(settings, tmp_path, agent_is_there):
    old = tmp_path / "python"
    old.write_text(
        f"""#!{sys.executable}
import os, runpy, sys
sys.version_info = (3, 6, 15)
del sys.argv[0]
if sys.argv[0] == "-c":
    code = sys.argv.pop(1)
    exec(code)
elif not os.path.exists(sys.argv[0]):
    sys.stderr.write("can't open file")
    sys.exit(2)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
    )
    old.chmod(0o755)
    if agent_is_there:
        SshDevice(settings()).check()
    with pytest.raises(DeviceError, match=r"is Python 3\.6\. Expected Python 3\.9 or newer"):
        SshDevice(settings(python=str(old))).check()


def test_missing_python_is_told(settings):
    with pytest.raises(DeviceError, match=r"there is no /no/such/python on 127\.0\.0\.1"):
        SshDevice(settings(python="/no/such/python")).check()


def test_python_for_another_processor_is_told(settings, tmp_path):
    alien = tmp_path / "python"
    # The head of an executable for SuperH, which none of the machines that run these tests are.
    alien.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x2a\x00\x01\x00\x00\x00" + bytes(100))
    alien.chmod(0o755)
    with pytest.raises(DeviceError, match="made for another processor"):
        SshDevice(settings(python=str(alien))).check()


def test_folder_that_cannot_be_used_is_told(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeviceError):
        SshDevice(settings(folder=str(tmp_path / "file" / "agent"))).check()


def test_model_that_the_runtime_there_refuses(settings, graph_from, tmp_path):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17, "com.nobody" : 1]>
        net (float[n,4] x) => (float[n,4] y) { y = com.nobody.Frobnicate (x) }"""
    )
    path = tmp_path / "odd.onnx"
    path.write_bytes(graph.to_bytes())
    with pytest.raises(ModelFileError, match=r"odd\.onnx on device loop: .*Frobnicate"):
        SshDevice(settings()).measure([path], seconds=0.05)


def test_bad_requests_are_refused_before_the_device_is_called(settings, graph_from, tmp_path, server):
    server.stop()
    device = SshDevice(settings())
    with pytest.raises(BadInputError, match="no model"):
        device.measure([])
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        device.measure([tmp_path / "gone.onnx"])
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,height] x) => (float[batch,3,height] y) { y = Relu (x) }"""
    )
    path = tmp_path / "open.onnx"
    path.write_bytes(graph.to_bytes())
    with pytest.raises(BadInputError, match="height"):
        device.measure([path])


def test_outputs_there_are_those_of_here(settings, cnn_file, server):
    from workbench.engines.inference_ort.session import open_session

    batch = {"x": np.random.default_rng(0).normal(size=(7, 3, 8, 8)).astype(np.float32)}
    here = open_session(cnn_file).run(batch)["y"]
    with SshDevice(settings()).running() as runner:
        session = runner.open(cnn_file, threads=1)
        assert (session.input_names, session.output_names) == (("x",), ("y",))
        np.testing.assert_array_equal(session.run(batch)["y"], here)
        server.drop_connections()
        np.testing.assert_array_equal(session.run(batch)["y"], here)
        with pytest.raises(BadInputError, match="shape"):
            session.run({"x": batch["x"][:, :2]})


def test_fixed_batch_and_text_travel(settings, graph_from, tmp_path):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[4,8] x) => (float[4,8] y) { y = Relu (x) }"""
    )
    path = tmp_path / "four.onnx"
    path.write_bytes(graph.to_bytes())
    words = tmp_path / "words.onnx"
    text = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (string[n,2] x) => (string[n,2] y) { y = Identity (x) }"""
    )
    words.write_bytes(text.to_bytes())
    with SshDevice(settings()).running() as runner:
        x = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
        np.testing.assert_array_equal(runner.open(path).run({"x": x})["y"], np.maximum(x, 0))
        spoken = np.array([["ja", "nein"], ["доброе", "утро"]], dtype=object)
        assert runner.open(words).run({"x": spoken})["y"].tolist() == spoken.tolist()
