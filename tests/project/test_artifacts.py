"""Files by their hash."""

from __future__ import annotations

import hashlib

import pytest

from workbench.domain.errors import ProjectError, StorageError
from workbench.project.artifacts import Artifacts


def test_a_file_is_found_by_its_hash_and_stored_once(tmp_path):
    artifacts = Artifacts.of(tmp_path / "p.mcw")
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"weights")
    sha = artifacts.add(tmp_path / "a.onnx")
    assert sha == hashlib.sha256(b"weights").hexdigest() == artifacts.add(tmp_path / "b.onnx")
    assert artifacts.path(sha) == tmp_path / "p.artifacts" / f"{sha}.onnx"
    assert artifacts.path(sha).read_bytes() == b"weights"
    assert [path.name for path in artifacts.folder.iterdir()] == [f"{sha}.onnx"]


def test_a_finished_file_is_moved_in_under_the_hash_it_came_with(tmp_path):
    artifacts = Artifacts.of(tmp_path / "p.mcw")
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"weights")
        artifacts.adopt(tmp_path / name, "5" * 64)
        assert not (tmp_path / name).exists()
    assert artifacts.path("5" * 64).read_bytes() == b"weights"
    with pytest.raises(StorageError, match="No such file"):
        artifacts.adopt(tmp_path / "gone.onnx", "6" * 64)


def test_what_is_gone_or_was_never_there_is_named(tmp_path):
    artifacts = Artifacts.of(tmp_path / "p.mcw")
    with pytest.raises(ProjectError, match=r"gone.*0123"):
        artifacts.path("0123" * 16)
    with pytest.raises(ProjectError, match=r"none\.onnx"):
        artifacts.add(tmp_path / "none.onnx")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "p.artifacts").write_text("in the way")
    (tmp_path / "a.onnx").write_bytes(b"weights")
    with pytest.raises(StorageError):
        Artifacts.of(tmp_path / "p.mcw").add(tmp_path / "a.onnx")


def test_copies_are_complete_and_independent_of_the_old_folder(tmp_path):
    old, new = Artifacts.of(tmp_path / "old.mcw"), Artifacts.of(tmp_path / "new.mcw")
    (tmp_path / "a.onnx").write_bytes(b"weights")
    sha = old.add(tmp_path / "a.onnx")
    old.copy_to(new)
    old.remove()
    assert new.path(sha).read_bytes() == b"weights"
    assert new.collect(()) == (new.folder / f"{sha}.onnx",)
    assert sha not in new
