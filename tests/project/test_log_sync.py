"""Edits reach the disk's own memory without keeping who made them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from workbench.domain.plan import Plan
from workbench.project.commands import ReplacePlan
from workbench.project.document import Document
from workbench.project.log_sync import LogSync
from workbench.project.state import ProjectState


def test_an_edit_is_synced_by_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document.create(tmp_path / "p.mcw", ProjectState())
    by: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (real(file), by.append(threading.current_thread().name))[0])
    document.do(ReplacePlan(Plan(default={"weight_bits": 8})))
    document.close()
    assert by
    assert threading.current_thread().name not in by
    with Document.open(tmp_path / "p.mcw") as again:
        assert again.state.plan.default == {"weight_bits": 8}


def test_a_log_that_is_not_there_needs_no_sync(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sync = LogSync(tmp_path / "p.mcw")
    sync.soon()
    sync.close()
    assert not caplog.records


def test_a_fault_of_the_disk_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "p.mcw-wal").mkdir()
    sync = LogSync(tmp_path / "p.mcw")
    sync.soon()
    sync.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "p.mcw-wal could not be synced" in caplog.text
