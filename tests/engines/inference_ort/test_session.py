from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, DataError, JobError, ModelFileError
from workbench.engines.inference_ort import OrtEngine, open_session

X = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)


def test_runs_a_graph_and_its_file_alike(small_cnn, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(small_cnn.to_bytes())
    from_graph = OrtEngine().open(small_cnn, threads=1).run({"x": X})["y"]
    session = open_session(path, threads=1)
    assert session.input_names == ("x",)
    assert session.output_names == ("y",)
    assert session.inputs[0].shape == ("batch", 3, 8, 8)
    assert session.inputs[0].dtype == "float32"
    assert np.array_equal(from_graph, session.run({"x": X})["y"])


def test_the_runtime_notes_nothing_about_its_user(small_cnn, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(small_cnn.to_bytes())
    home = tmp_path / "home"
    home.mkdir()
    places = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")}
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = "import sys, pathlib, workbench.engines.inference_ort as ort; ort.open_session(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, path], env={**kept, **places, "HOME": str(home)}, check=True)
    assert not list(home.rglob("*"))


def test_same_bits_every_time(small_cnn):
    runs = [open_session(small_cnn, threads=2).run({"x": X})["y"].tobytes() for _ in range(5)]
    assert len(set(runs)) == 1


def test_optimization_changes_nothing_that_matters(small_cnn):
    plain = open_session(small_cnn, optimize=False).run({"x": X})["y"]
    np.testing.assert_allclose(open_session(small_cnn).run({"x": X})["y"], plain, atol=1e-5)


def test_cancel_interrupts_a_run_under_way(graph_from):
    endless = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[4,4] x, int64 n) => (float[4,4] y) {
            t = Constant <value = bool {1}> ()
            y = Loop (n, t, x) <body = step (int64 i, bool c, float[4,4] s) => (bool c2, float[4,4] s2) {
                c2 = Identity (c)
                s2 = MatMul (s, s)
            }>
        }"""
    )
    cancel = CancelToken()
    session = open_session(endless, threads=1, cancel=cancel)
    timer = threading.Timer(0.2, cancel.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        session.run({"x": np.eye(4, dtype=np.float32), "n": np.array(2**40)})
    timer.join()
    with pytest.raises(CancelledError):
        session.run({"x": np.eye(4, dtype=np.float32), "n": np.array(1)})


def test_fixed_batch_is_fed_in_pieces(graph_from):
    fixed = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[3,2] x) => (float[3,2] y) { y = Add (x, x) }"""
    )
    x = np.arange(14, dtype=np.float32).reshape(7, 2)
    assert np.array_equal(open_session(fixed).run({"x": x})["y"], 2 * x)


@pytest.mark.parametrize(
    ("dtype", "given", "fits"),
    [
        ("int64", np.array([[1.0, 2.0]], np.float32), True),
        ("int64", np.array([[1.5, 2.0]], np.float32), False),
        ("uint8", np.array([[1, 300]], np.int64), False),
        ("float16", np.array([[1.0, 0.1]], np.float32), True),
        ("float16", np.array([[1.0, 1e6]], np.float32), False),
        ("float", np.array([[0, 255]], np.uint8), True),
        ("float", np.array([["a", "b"]]), False),
    ],
)
def test_casts_where_values_survive(graph_from, dtype, given, fits):
    graph = graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net ({dtype}[n,2] x) => ({dtype}[n,2] y) {{ y = Identity (x) }}"""
    )
    session = open_session(graph)
    if fits:
        np.testing.assert_allclose(session.run({"x": given})["y"].astype(float), given.astype(float), rtol=1e-3)
    else:
        with pytest.raises(DataError, match="'x'"):
            session.run({"x": given})


def test_shapes_that_do_not_fit_are_named(small_cnn):
    session = open_session(small_cnn)
    with pytest.raises(DataError, match=r"'x'.*\(batch, 3, 8, 8\).*\(4, 8, 8, 3\)"):
        session.run({"x": X.transpose(0, 2, 3, 1)})
    with pytest.raises(DataError, match=r"'x'.*'image'|'image'.*'x'"):
        session.run({"image": X})


def test_a_failing_node_is_named(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,4] x, float[m,k] z) => (float[n,k] y) { y = MatMul (x, z) }"""
    )
    with pytest.raises(JobError, match="MatMul_0"):
        open_session(graph).run({"x": np.ones((2, 4), np.float32), "z": np.ones((3, 2), np.float32)})


def test_models_the_runtime_refuses(graph_from, tmp_path, capfd):
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelFileError, match=r"text\.onnx"):
        open_session(tmp_path / "text.onnx")
    with pytest.raises(ModelFileError, match=r"none\.onnx: there is no such file"):
        open_session(tmp_path / "none.onnx")
    unknown = graph_from(
        """<ir_version: 9, opset_import: ["" : 17, "acme" : 1]>
        net (float[n,4] x) => (float[n,4] y) { y = acme.Frobnicate (x) }"""
    )
    with pytest.raises(ModelFileError, match="Frobnicate"):
        open_session(unknown)
    assert capfd.readouterr().err == ""


def test_shared_resnet_runs(shared: Path):
    session = open_session(shared / "data/models/resnet20_cifar10_folded.onnx", threads=1)
    assert session.run({"input": np.zeros((2, 3, 32, 32), np.float32)})["logits"].shape == (2, 10)
