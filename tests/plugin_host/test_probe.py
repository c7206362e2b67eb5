"""A plugin whose import hangs or ends the process is kept out and named; nothing else is the worse for it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from workbench.plugin_host.manifests import read_manifest
from workbench.plugin_host.probe import sound_plugins


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def probed(folder: Path, limit_s: float = 60.0) -> str | None:
    sound, failures = sound_plugins([read_manifest(folder)], limit_s=limit_s)
    assert len(sound) + len(failures) == 1
    return str(failures[0]) if failures else None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(7)", "its import ends the process (exit status 7)"),
        ("import os, sys; print('no licence', file=sys.stderr, flush=True); os.abort()", "saying: no licence"),
    ],
)
def test_one_that_ends_the_process_is_named(code: str, said: str, tmp_path: Path, make_plugin) -> None:
    fault = probed(make_plugin(tmp_path, "mine", code))
    assert fault is not None
    assert fault.startswith("plugin 'mine': its import ends the process")
    assert said in fault


@pytest.mark.skipif(sys.platform == "win32", reason="names a POSIX signal")
def test_a_crash_is_called_by_its_signal(tmp_path: Path, make_plugin) -> None:
    fault = probed(make_plugin(tmp_path, "mine", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert "SIGSEGV" in str(fault)


@pytest.mark.slow
def test_one_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path, make_plugin) -> None:
    code = (
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "while True: pass"
    )
    folder = make_plugin(tmp_path, "mine", code)
    limit = 15.0  # seconds; until the loop is reached the interpreter and numpy have to start
    fault = probed(folder, limit)
    assert "did not come to an end within 15 s" in str(fault)
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    began = time.monotonic()
    assert probed(folder, limit) == fault  # not waited for again
    assert time.monotonic() - began < limit


def test_what_is_known_holds_until_the_plugin_changes(tmp_path: Path, make_plugin, own_cache: Path) -> None:
    folder = make_plugin(tmp_path, "mine", "import os; os._exit(7)")
    assert "exit status 7" in str(probed(folder))
    (note,) = (own_cache / "model-compression-workbench" / "plugins").iterdir()
    note.write_text('{"fault": "is known"}', encoding="utf-8")
    assert "is known" in str(probed(folder))
    os.utime(note, (1, 1))  # an hour later it is given another chance
    assert "exit status 7" in str(probed(folder))
    (folder / "code.py").write_text("raise ValueError('an exception comes to an end')", encoding="utf-8")
    assert probed(folder) is None


def test_threads_and_exit_handlers_hold_nothing_up(tmp_path: Path, make_plugin) -> None:
    code = (
        "import atexit, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "atexit.register(time.sleep, 600)\n"
    )
    assert probed(make_plugin(tmp_path, "mine", code)) is None


def test_a_cache_that_can_not_be_written_costs_only_time(tmp_path: Path, make_plugin, own_cache: Path) -> None:
    own_cache.write_text("a file where a folder should be", encoding="utf-8")
    assert probed(make_plugin(tmp_path, "mine")) is None
