from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, CancelledError, ModelFileError, ProjectError
from workbench.graph.model import ModelGraph
from workbench.graph.storage import model_sha256, save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import ImportJob, InspectJob
from workbench.worker.dispatch import run_job
from workbench.worker.imported_archives import imported_archive, remember_import
from workbench.worker.model_jobs import onnx_file


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(small_cnn: ModelGraph, tmp_path: Path) -> Path:
    save_model(small_cnn, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "net.pt2").write_bytes(b"an archive")
    return tmp_path / "net.pt2"


def test_file_must_be_the_one_that_was_measured(model: Path) -> None:
    known = model_sha256(model)
    assert onnx_file(str(model), JobContext(), known) == model
    with pytest.raises(ProjectError, match=r"model\.onnx: the model file was changed since .* Restore the original"):
        onnx_file(str(model), JobContext(), "0" * 64)


def test_cancelled_description_is_not_given(model: Path) -> None:
    token = CancelToken()
    context = JobContext(progress=Progress(lambda fraction, text: token.cancel()), cancel=token)
    with pytest.raises(CancelledError):
        run_job(InspectJob(model=str(model)), context)
    with pytest.raises(CancelledError):
        run_job(InspectJob(model=str(model.with_name("missing.onnx"))), context)


def test_archive_is_known_by_its_content_once_it_was_imported(model: Path, archive: Path) -> None:
    with pytest.raises(BadInputError, match=r"workbench import net\.pt2 --out net\.onnx"):
        onnx_file(str(archive), JobContext())
    remember_import(archive, model, JobContext())
    kept = onnx_file(str(archive), JobContext())
    assert model_sha256(kept) == model_sha256(model)
    assert onnx_file(str(archive.rename(archive.with_name("other.PT2"))), JobContext()) == kept
    archive.write_bytes(b"another archive")
    with pytest.raises(BadInputError, match="not imported yet"):
        imported_archive(archive)
    archive.unlink()
    with pytest.raises(ModelFileError, match="no such file"):
        imported_archive(archive)


def test_cache_that_can_not_be_written_costs_only_the_memory(model: Path, archive: Path, own_cache: Path) -> None:
    own_cache.write_bytes(b"a file where a folder should be")
    said: list[str] = []
    remember_import(archive, model, JobContext(log=said.append))
    assert len(said) == 1
    assert "net.pt2 could not be remembered" in said[0]


def test_broken_archive_is_said_once_and_in_our_words(archive: Path, tmp_path: Path, capfd) -> None:
    job = ImportJob(source=str(archive), out=str(tmp_path / "net.onnx"), trusted=True)
    with pytest.raises(ModelFileError, match=r"can't be read as a torch\.export archive"):
        run_job(job, JobContext())
    assert capfd.readouterr() == ("", "")
    assert sorted(os.listdir(tmp_path)) == ["net.pt2"]
