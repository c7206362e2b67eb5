"""Plugins written on the spot, found in no other place than the test's."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.plugin_host import manifests

GOOD = """
from workbench.api import Method, MethodResult, Parameters, Stage, WEIGHT_BITS

class Zero(Method):
    id = "{id}.zero"
    title = "Zero small weights"
    stage = Stage.PRUNE
    knobs = (WEIGHT_BITS,)

    def apply(self, graph, plan, tools):
        tools.cancel.raise_if_cancelled()
        tools.progress.update(1.0, "done")
        return MethodResult(graph)
"""


@pytest.fixture
def make_plugin() -> Callable[..., Path]:
    """Return a function (folder, id=…, code=…, manifest=…) that writes a plugin and returns its folder."""

    def make(place: Path, id: str = "mine", code: str = GOOD, manifest: str | None = None, **files: str) -> Path:
        folder = place / id
        folder.mkdir(parents=True)
        manifest = (
            manifest
            or f'''
            [plugin]
            id = "{id}"
            title = "Mine"
            version = "1.0"
            api = 1
            [[method]]
            id = "{id}.zero"
            object = "code:Zero"
            '''
        )
        (folder / "plugin.toml").write_text(textwrap.dedent(manifest), encoding="utf-8")
        (folder / "code.py").write_text(code.replace("{id}", id), encoding="utf-8")
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """A folder with `first`, `user` and `environment` as the only places where plugins are looked for."""
    for name in ("first", "user", "environment"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(manifests, "shipped_folder", lambda name: tmp_path / "first")
    monkeypatch.setattr(manifests, "user_folder", lambda: tmp_path / "user")
    monkeypatch.setenv(manifests.FOLDERS_VARIABLE, str(tmp_path / "environment"))
    return tmp_path
