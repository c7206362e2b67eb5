"""Work that is spread over turns of the event loop: in order, nothing lost, and the window is heard in between."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer

from tests.fakes.runner import FakeRunner
from workbench.jobs.specs import ListMethodsJob
from workbench.ui.arrivals import Arrivals
from workbench.ui.bridge import JobsBridge
from workbench.ui.turns import Turns


def test_every_piece_has_a_turn_of_its_own(qtbot) -> None:
    owner, heard = QObject(), []
    turns = Turns(owner)
    other = QTimer(owner)
    other.timeout.connect(lambda: heard.append("other"))
    other.start(0)
    turns.add([lambda: heard.append(1), lambda: turns.add([lambda: heard.append(3)]), lambda: heard.append(2)])
    assert turns.busy
    assert heard == []
    with qtbot.waitSignal(turns.finished):
        pass
    other.stop()
    assert [entry for entry in heard if entry != "other"] == [1, 2, 3]
    assert heard.index(3) - heard.index(1) > 2, "nothing else was heard in between"
    assert not turns.busy


def test_the_first_arrival_is_handed_on_at_once_and_a_crowd_together(qtbot) -> None:
    taken: list[tuple[int, ...]] = []
    arrivals = Arrivals[int](taken.append)
    for number in range(10):
        arrivals.add(number)
    assert taken == [(0,)]
    qtbot.waitUntil(lambda: len(taken) == 2)
    assert taken[1] == tuple(range(1, 10))
    arrivals.add(10)
    arrivals.add(11)
    arrivals.flush()
    arrivals.flush()
    assert [number for group in taken for number in group] == list(range(12))


def test_a_crowd_of_messages_is_spread_over_turns_in_order(qtbot) -> None:
    runners: list[FakeRunner] = []

    def start(listener) -> FakeRunner:
        runners.append(FakeRunner(listener))
        return runners[0]

    bridge = JobsBridge(start)
    came: list[int] = []
    heard: list[int] = []

    def slow(name: str, payload: dict) -> None:
        came.append(payload["number"])
        sum(range(300_000))  # some milliseconds, as a panel takes to draw

    done: list[dict] = []
    job = bridge.submit(ListMethodsJob(), "Crowd", on_partial=slow, on_result=done.append)
    ticks = QTimer(bridge)
    ticks.timeout.connect(lambda: heard.append(len(came)))
    ticks.start(0)
    for number in range(60):
        runners[0].partial(job, "point", {"number": number})
    runners[0].finish(job, {"all": 60})
    qtbot.waitUntil(lambda: bool(done))
    ticks.stop()
    assert came == list(range(60))
    assert len({count for count in heard if 0 < count < 60}) >= 3, "the window was not heard while they were handled"
    bridge.close()
