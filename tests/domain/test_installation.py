from __future__ import annotations

from pathlib import Path

import pytest

from workbench.domain import installation
from workbench.domain.installation import shipped_folder


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
