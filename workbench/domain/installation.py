"""Finds the program and what is shipped with it, in a checkout, an editable install and an installed wheel alike."""

from __future__ import annotations

import sys
from pathlib import Path

_START = "import sys; sys.path.append(sys.argv.pop(1)); from workbench.__main__ import main; sys.exit(main())"


def own_command(*arguments: str) -> tuple[str, ...]:
    """Return the command of another process of this program.

    Unlike `python -m` it imports nothing from the current folder, where a model's author may have put a `numpy.py`.
    """
    return (sys.executable, "-P", "-c", _START, str(Path(__file__).resolve().parents[2]), *arguments)


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
