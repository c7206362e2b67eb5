from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from workbench.domain import installation
from workbench.domain.installation import own_command, shipped_folder


def test_what_is_shipped_lies_in_the_checkout_or_in_the_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site-packages"
    package = place / "workbench"
    (package / "domain").mkdir(parents=True)
    monkeypatch.setattr(installation, "__file__", str(package / "domain" / "installation.py"))
    (place / "plugins").mkdir()  # somebody else's
    assert shipped_folder("plugins") is None
    (place / "pyproject.toml").touch()  # a checkout
    assert shipped_folder("plugins") == place / "plugins"
    (package / "_plugins").mkdir()  # an installed wheel
    assert shipped_folder("plugins") == package / "_plugins"
    assert shipped_folder("resources") is None


def test_our_own_processes_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    for module in ("json", "numpy", "pydantic", "psutil", "onnxruntime"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('planted')", encoding="utf-8")
    done = subprocess.run(own_command("--version"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("workbench ")
