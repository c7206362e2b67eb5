"""Fixtures for every room: where the shared models and data lie, and a quiet, offscreen Qt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the shared real models and data."""
    if not (_SHARED / "data").is_dir():
        pytest.skip("the shared models and data are not beside this checkout")
    return _SHARED
