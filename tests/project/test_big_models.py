"""Models whose weights lie in a file of their own are kept, copied, exported and deleted as the two files they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.domain.errors import StorageError
from workbench.engines.inference_ort import OrtEngine
from workbench.graph import storage
from workbench.graph.model import ModelGraph
from workbench.graph.storage import model_sha256, open_model, save_model
from workbench.project.artifacts import Artifacts
from workbench.project.copying import copy_whole


@pytest.fixture
def big(small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that is saved as if it had more than 2 GB of weights."""
    monkeypatch.setattr(storage, "_INLINE_LIMIT_BYTES", 0)
    (tmp_path / "run").mkdir()
    save_model(small_cnn, tmp_path / "run" / "big.onnx")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["big.onnx", "big.onnx.data"]
    return tmp_path / "run" / "big.onnx"


def ran(path: Path) -> np.ndarray:
    session = OrtEngine(threads=1).open(path)
    return session.run({"x": np.ones((1, 3, 8, 8), np.float32)})["y"]


@pytest.mark.parametrize("moved", [True, False])
def test_both_files_are_kept_found_copied_and_collected(big: Path, tmp_path: Path, moved: bool) -> None:
    wanted, sha256 = ran(big), model_sha256(big)
    artifacts = Artifacts.of(tmp_path / "p.mcw")
    if moved:
        artifacts.adopt(big, sha256)
        assert list(big.parent.iterdir()) == []
    else:
        artifacts.add(big, sha256)
        artifacts.add(big, sha256)
        assert len(list(big.parent.iterdir())) == 2
    assert sha256 in artifacts
    kept = artifacts.path(sha256)
    assert model_sha256(kept) == sha256
    np.testing.assert_array_equal(ran(kept), wanted)

    copies = Artifacts.of(tmp_path / "copy.mcw")
    artifacts.copy_to(copies)
    open_model(copies.path(sha256))  # which refuses data with hard links
    assert artifacts.collect([sha256]) == ()
    assert len(artifacts.collect([])) == 1
    assert sha256 not in artifacts
    np.testing.assert_array_equal(ran(copies.path(sha256)), wanted)


def test_export_brings_the_weights_and_replaces_no_others(big: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    copy_whole(big, tmp_path / "out" / "best.onnx")
    copy_whole(big, tmp_path / "out" / "again.onnx")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["again.onnx", "best.onnx", "big.onnx.data"]
    np.testing.assert_array_equal(ran(tmp_path / "out" / "best.onnx"), ran(big))
    (tmp_path / "out" / "big.onnx.data").write_bytes(b"another model's")
    with pytest.raises(StorageError, match=r"other weights called big\.onnx\.data"):
        copy_whole(big, tmp_path / "out" / "third.onnx")
    assert not (tmp_path / "out" / "third.onnx").exists()
    assert (tmp_path / "out" / "big.onnx.data").read_bytes() == b"another model's"


def test_weights_left_from_an_earlier_model_stay_where_they_are(
    small_cnn: ModelGraph, big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_INLINE_LIMIT_BYTES", 1 << 40)
    save_model(small_cnn, big)
    artifacts = Artifacts.of(tmp_path / "p.mcw")
    sha256 = artifacts.add(big)
    assert artifacts.path(sha256).name == f"{sha256}.onnx"
    copy_whole(big, tmp_path / "small.onnx")
    assert not (tmp_path / "big.onnx.data").exists()


def test_a_full_disk_leaves_everything_in_its_place(big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    artifacts = Artifacts.of(tmp_path / "p.mcw")
    with pytest.raises(StorageError, match="No space left on device"):
        artifacts.adopt(big, model_sha256(big))
    assert len(list(big.parent.iterdir())) == 2
    assert list(artifacts.folder.iterdir()) == []
