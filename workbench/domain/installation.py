"""Finds what is shipped with the program, in a source checkout, an editable install and an installed wheel alike."""

from __future__ import annotations

from pathlib import Path


def shipped_folder(name: str) -> Path | None:
    """Return the shipped folder `name` ("plugins", "resources"), or None where this installation lacks it.

    In an installed wheel it lies within the package as `_name`, in a checkout beside the package.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / f"_{name}"
    if installed.is_dir():
        return installed
    # A folder that merely happens to have this name beside an installed package is somebody else's.
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    return None
