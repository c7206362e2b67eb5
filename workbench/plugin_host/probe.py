"""Lets a stranger's plugin be imported in a process of its own first, so that one which hangs or crashes stays out.

An exception is caught where it is raised; a segmentation fault, an `os._exit` or an endless loop is not, and would take
every job of every worker along until the plugin is removed. What came of a probe is kept until the plugin changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from workbench import __version__
from workbench.domain.errors import PluginError
from workbench.domain.installation import own_command
from workbench.plugin_host.manifests import Manifest, read_manifest
from workbench.project.places import cache_folder

LIMIT_S = 120.0
_TRY_AGAIN_S = 3600.0


def sound_plugins(
    manifests: Sequence[Manifest], *, limit_s: float = LIMIT_S
) -> tuple[tuple[Manifest, ...], tuple[PluginError, ...]]:
    """Return the plugins whose import comes to an end, and a failure that names each other one.

    First-party plugins are not tried. An import that raises has come to an end.

    Args:
        manifests: As `find_plugins` gives them.
        limit_s: Seconds that one plugin may take.
    """
    sound: list[Manifest] = []
    failures: list[PluginError] = []
    for manifest in manifests:
        fault = None if manifest.origin == "first-party" else _fault(manifest, limit_s)
        if fault is None:
            sound.append(manifest)
        else:
            failures.append(
                PluginError(
                    fault,
                    where=f"plugin {manifest.id!r}",
                    found=str(manifest.folder),
                    action="Repair or remove the plugin; all others are loaded.",
                )
            )
    return tuple(sound), tuple(failures)


def _fault(manifest: Manifest, limit_s: float) -> str | None:
    """Return what happens to the process that imports the plugin, or None if nothing does."""
    note = cache_folder() / "plugins" / f"{_fingerprint(manifest)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept: str | None = json.loads(note.read_text(encoding="utf-8"))["fault"]
        # A computer that was busy may have made a good plugin look like one that hangs.
        if kept is None or time.time() - note.stat().st_mtime < _TRY_AGAIN_S:
            return kept
    fault = _imported(manifest.folder, limit_s)
    with contextlib.suppress(OSError):  # then it is tried again next time
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"fault": fault}), encoding="utf-8")
    return fault


def _imported(folder: Path, limit_s: float) -> str | None:
    # Its own session: Ctrl-C is for this process, which then stops waiting for nothing worse than the limit.
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            own_command("probe-plugin", str(folder), str(limit_s)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        ) as child:
            try:
                status = child.wait(limit_s)
            except subprocess.TimeoutExpired:
                _kill(child.pid)
                return f"its import did not come to an end within {limit_s:g} s"
            except BaseException:
                _kill(child.pid)
                raise
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
    if status == 0:
        return None
    last = f", saying: {lines[-1]}" if lines else ""
    return f"its import ends the process ({_described(status)}{last})"


def _described(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def _kill(pid: int) -> None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                each.kill()


def _fingerprint(manifest: Manifest) -> str:
    """Return a hash that changes with the plugin's files and with what imports them."""
    files = []
    for path in sorted(manifest.folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            status = path.stat()
            files.append([str(path), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps([files, sys.version, sys.prefix, __version__]).encode()).hexdigest()


def main(folder: Path, limit_s: float) -> int:
    """Be the process in which a plugin is imported."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(limit_s) + 5)  # ends it even where nobody waits for it any more
    from workbench.plugin_host.loader import load_plugin

    with contextlib.suppress(PluginError):  # told where it is loaded for use
        load_plugin(read_manifest(folder, "first-party"))
    sys.stderr.flush()
    os._exit(0)  # what a plugin left running (threads, exit handlers) is not waited for
