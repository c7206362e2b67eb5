"""A desk with a small model, data that it is right about and a recipe, and the real command line as a process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.desk_files import write_desk
from workbench.graph.model import ModelGraph


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        assert self.status == 0, self.err
        assert self.out.count("\n") == 1, self.out
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Workbench = Callable[..., Done]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of child processes: one thread, and no place that the user's own files could lie in."""
    home = tmp_path_factory.mktemp("home")
    places = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")}
    return {**os.environ, "HOME": str(home), **places, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def workbench(environment: dict[str, str]) -> Workbench:
    """Return a function that runs `workbench ARGUMENTS` in a folder and waits for its end."""

    def run(
        folder: Path,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "workbench", *map(str, arguments)],
            cwd=folder,
            env={**environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=250,
            check=False,
            **options,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def desk_files(small_cnn: ModelGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that `desk` copies."""
    folder = tmp_path_factory.mktemp("desk")
    write_desk(folder, small_cnn)
    return folder


@pytest.fixture
def desk(desk_files: Path, tmp_path: Path) -> Path:
    """A folder, its name with a space: model.onnx (top-1 0.9), samples.npz, data.yaml, recipe.yaml, quick.yaml."""
    folder = tmp_path / "my desk"
    folder.mkdir()
    for file in desk_files.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file in a folder by its relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, str]]:
    """Return a function that tells a folder's files and their hashes, to see whether a command changed one."""
    return contents
