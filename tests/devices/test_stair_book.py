"""Staircases are climbed once for every shape and device, and what is kept is used again."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.devices import SshDevice
from workbench.devices.stair_book import StairBook
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError
from workbench.domain.staircase import STAIR_FORMS, stair_counts
from workbench.graph.kernel_graphs import KernelShape
from workbench.graph.kernel_widths import narrowing

WIDE = narrowing(KernelShape("Gemm", (1, 1024), (1024, 1024), 1, True, (("transB", 1),)), "out")
STACKED = narrowing(KernelShape("MatMul", (2, 4, 8), (2, 8, 16), 1, False, ()), "out")
SMALL = narrowing(KernelShape("Gemm", (1, 64), (32, 64), 1, True, (("transB", 1),)), "out")


def test_a_staircase_rises_and_is_kept(tmp_path: Path) -> None:
    book = StairBook(tmp_path, threads=1)
    assert book.known(WIDE) is None
    ((shape, curves),) = book.climb([WIDE, WIDE, STACKED], seconds=0.3)
    assert shape == WIDE
    assert [curve.form for curve in curves] == list(STAIR_FORMS)
    for curve in curves:
        assert [point.channels for point in curve.points] == list(stair_counts(1024))
        assert curve.edges[-1] == 1024
    plain = curves[0]
    assert plain.points[0].microseconds < plain.points[-1].microseconds
    again = StairBook(tmp_path, threads=1)
    assert again.known(WIDE) == curves
    assert list(again.climb([WIDE])) == []
    assert StairBook(tmp_path, threads=2).known(WIDE) is None


def test_a_spoilt_file_is_made_again(tmp_path: Path) -> None:
    list(StairBook(tmp_path, threads=1).climb([SMALL], seconds=0.05))
    (path,) = tmp_path.glob("*.stairs.json")
    path.write_text('{"x": [1]}')
    book = StairBook(tmp_path, threads=1)
    assert book.known(SMALL) is None
    ((_, curves),) = book.climb([SMALL], seconds=0.05)
    assert StairBook(tmp_path, threads=1).known(SMALL) == curves


def test_without_a_folder_nothing_is_kept_and_cancel_is_heard(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        list(StairBook(None, threads=1).climb([WIDE], cancel=cancel))


def test_another_device_is_climbed_there_and_kept_apart(settings, tmp_path: Path) -> None:
    device = SshDevice(settings())
    ((_, curves),) = StairBook(tmp_path / "book", 1, device).climb([SMALL], seconds=0.1)
    assert [len(curve.points) for curve in curves] == [len(stair_counts(32))] * 2
    assert StairBook(tmp_path / "book", 1, device).known(SMALL) == curves
    assert StairBook(tmp_path / "book", 1).known(SMALL) is None
