"""Benchmarks are run by hand and rarely: that each can still be begun, and says how, is held here."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted(
    path
    for path in (Path(__file__).parent / "benchmarks").glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_can_be_begun_and_says_how(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    try:
        names = runpy.run_path(str(script), run_name="benchmark")
    except SystemExit as ended:
        if ended.code:
            raise
        pytest.skip(f"{script.name} compares with something that is not installed")
    assert f"tests/benchmarks/{script.name}" in names["__doc__"]
