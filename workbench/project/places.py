"""Where the program keeps what belongs to the user but to no project of theirs."""

from __future__ import annotations

from pathlib import Path

import platformdirs

_NAME = "model-compression-workbench"


def data_folder() -> Path:
    """Return the folder of untitled projects, plugins and caches; it may not exist yet."""
    return platformdirs.user_data_path(_NAME, appauthor=False)


def config_folder() -> Path:
    """Return the folder of settings and recent files; it may not exist yet."""
    return platformdirs.user_config_path(_NAME, appauthor=False)


def cache_folder() -> Path:
    """Return the folder of what can be made again; it may not exist yet."""
    return platformdirs.user_cache_path(_NAME, appauthor=False)


def sensitivity_store() -> Path:
    """Return the file that sweeps of projects append to as they run, in the window and on the command line alike."""
    return cache_folder() / "window" / "sensitivities.jsonl"


def untitled_folder() -> Path:
    """Return the folder of projects that have no name yet."""
    return data_folder() / "untitled"


def untitled_projects() -> tuple[Path, ...]:
    """Return the projects that have no name yet, newest first, such as those that a crash left."""
    found = untitled_folder().glob("*.mcw")
    return tuple(sorted(found, key=lambda path: path.stat().st_mtime, reverse=True))
