"""The program's door: what ends it before any room has opened."""

from __future__ import annotations

import pytest

from workbench import __main__ as door


def test_ctrl_c_while_the_program_starts_is_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(door, "_run", interrupted)
    assert door.main() == 130
