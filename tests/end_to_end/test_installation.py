"""First-party plugins and the demo are found in a checkout, an editable install and an installed wheel alike."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"prune.l1", "prune.random", "quantize.ptq", "train.finetune"}
WHERE = (
    "import json, workbench\n"
    "from workbench.domain.installation import shipped_folder\n"
    "found = [workbench.__path__[0], *(shipped_folder(name) for name in ('plugins', 'resources'))]\n"
    "print(json.dumps([str(folder) for folder in found]))\n"
)


def look(folder: Path, environment: dict[str, str], *options: str) -> tuple[list[Path], set[str]]:
    """Return package, plugins and resources that an interpreter finds, and the ids of the methods it loads."""

    def run(*arguments: str) -> str:
        command = [sys.executable, *options, *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=100
        ).stdout

    places = [Path(text) for text in json.loads(run("-c", WHERE))]
    listed = json.loads(run("-m", "workbench", "plugin", "list", "--json"))
    assert listed["failures"] == []
    return places, {method["id"] for method in listed["methods"]}


def test_checkout(tmp_path: Path, environment: dict[str, str]) -> None:
    places, methods = look(tmp_path, {**environment, "PYTHONPATH": str(ROOT)})
    assert places == [ROOT / "workbench", ROOT / "plugins", ROOT / "resources"]
    assert methods >= METHODS


def test_editable_install(tmp_path: Path, environment: dict[str, str]) -> None:
    origin = importlib.metadata.distribution("model-compression-workbench").read_text("direct_url.json") or "{}"
    if not json.loads(origin).get("dir_info", {}).get("editable"):
        pytest.skip("the tests run from an installed copy, not from an editable install")
    places, methods = look(tmp_path, {name: value for name, value in environment.items() if name != "PYTHONPATH"})
    assert places == [ROOT / "workbench", ROOT / "plugins", ROOT / "resources"]
    assert methods >= METHODS


def test_installed_wheel(tmp_path: Path, environment: dict[str, str]) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed; it belongs to the extra `test`")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(wheel, env=environment, check=True, timeout=100)
    (built,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    expected = {
        f"workbench/_{path.relative_to(ROOT)}"
        for room in ("plugins", "resources")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "plugins/"))]

    site = tmp_path / "site"
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(built)]
    subprocess.run(install, env=environment, check=True, timeout=100)
    places, methods = look(tmp_path, {**environment, "PYTHONPATH": str(site)})
    package = site / "workbench"
    assert places == [package, package / "_plugins", package / "_resources"]
    assert methods >= METHODS
    assert (places[2] / "demo" / "data.yaml").is_file()
