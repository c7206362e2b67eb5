"""The house's rules that a program can check: import contracts, size of files, the pinned plugin interface."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import api

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "workbench").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_has_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400, "more than one idea in this file?"
    assert ast.get_docstring(ast.parse(text)), "the docstring's first sentence says why the file exists"
    assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_use_the_same_door_as_strangers(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] != "workbench" or name == "workbench.api", f"{name} in line {node.lineno}"


def test_plugin_interface_is_sorted_and_complete() -> None:
    assert len(set(api.__all__)) == len(api.__all__)
    public = {name for name in vars(api) if not name.startswith("_") and not isinstance(vars(api)[name], type(ast))}
    assert public == set(api.__all__)
