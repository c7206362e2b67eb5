"""The window is heard while a job runs, whatever its user does: how long it ever stood still is measured and printed.

How long that is depends on the machine and on what else it does; tests/benchmarks/window_start.py measures it against
its goal. Here must hold what no machine changes: the pulse goes on, every act is done, the job brings its results.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer

from tests.fakes.busy_user import actions
from tests.fakes.heartbeat import Heartbeat
from workbench.app import keep_for_good
from workbench.domain.recipe import Evaluation
from workbench.project.commands import SetRun
from workbench.ui.main_window import MainWindow

DEMO = Path(__file__).resolve().parents[2] / "resources" / "demo"
WAIT_MS = 120_000
ACT_EVERY_MS = 150

pytestmark = pytest.mark.alone


def test_the_window_is_heard_while_a_job_runs(
    real_window: Callable[[], MainWindow], qtbot: object, record_property: Callable[[str, object], None]
) -> None:
    window = real_window()
    keep_for_good()
    session, wait = window.session, qtbot.waitUntil  # type: ignore[attr-defined]
    session.list_methods()
    window.open_file(DEMO / "model.onnx")
    session.do(SetRun(evaluate=Evaluation(samples=200)))
    wait(lambda: session.state.inspect is not None and bool(session.methods), timeout=WAIT_MS)
    window.open_file(DEMO / "data.yaml")
    wait(lambda: session.state.baseline is not None, timeout=WAIT_MS)
    for knob in ("weight_bits", "activation_bits"):
        session.sweep("quantize.ptq", knob, (8, 4), samples=200)
    layers = window.panels["layers"]
    layers.apply_setting(tuple(row.name for row in layers.model.table.rows), session.knob("weight_bits"), 8)
    layers.apply_setting(tuple(row.name for row in layers.model.table.rows), session.knob("activation_bits"), 8)
    session.run("W8A8")
    assert session.jobs.active

    pulse, script, done, beats_at_work = Heartbeat(), actions(window), [], 0

    def act() -> None:
        nonlocal beats_at_work
        title, doing = script[len(done) % len(script)]
        pulse.doing = title
        doing()
        done.append(title)
        if session.jobs.active:
            beats_at_work = pulse.beats

    user = QTimer()
    user.setInterval(ACT_EVERY_MS)
    user.timeout.connect(act)
    pulse.start()
    user.start()
    # A record is finished a moment before its result is handed on.
    wait(lambda: len(done) >= len(script) and bool(session.state.candidates), timeout=WAIT_MS)
    wait(lambda: not session.jobs.active, timeout=WAIT_MS)
    user.stop()
    pulse.stop()

    record_property("longest_standstill_wall_ms", round(pulse.longest()[0].wall_ms, 1))
    record_property("longest_standstill_own_ms", round(pulse.longest(own=True)[0].own_ms, 1))
    print(f"\nwhile jobs ran and {len(done)} things were done: {pulse.summary()}")
    for gap in pulse.longest(5, own=True):
        print(f"  {gap.own_ms:5.0f} ms own, {gap.wall_ms:5.0f} ms by the clock: {gap.during}")
    assert beats_at_work > len(script), "the window was not heard between one act and the next"
    assert [candidate.name for candidate in session.state.candidates] == ["W8A8"]
    assert [(record.title, record.error, record.log) for record in session.jobs.records if record.state != "done"] == []
    assert {series.knob for series in session.state.sensitivities} == {"weight_bits", "activation_bits"}
    wait(lambda: not session.theme.changing, timeout=WAIT_MS)
    gc.unfreeze()  # windows of other tests are garbage in time
