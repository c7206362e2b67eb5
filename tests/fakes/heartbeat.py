"""A pulse in the window's thread: the longest time between two beats is how long the window stood still."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt, QTimer

_EVERY_MS = 5


@dataclass(frozen=True)
class Standstill:
    """A time in which the event loop did not return.

    Attributes:
        wall_ms: By the clock; on a machine with other work this counts their turns, too.
        own_ms: Processor time that the window's thread used meanwhile.
        during: What was being done.
    """

    wall_ms: float
    own_ms: float
    during: str


class Heartbeat(QObject):
    """Beats every 5 ms as long as the event loop turns; `doing` says what the user does, for the report."""

    def __init__(self) -> None:
        super().__init__()
        self.doing = ""
        self.gaps: list[Standstill] = []
        self._last = (0.0, 0.0)
        self._during = ""
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Begin to count."""
        self._last = (time.perf_counter(), time.thread_time())
        self._timer.start()

    def stop(self) -> None:
        """Count no longer."""
        self._timer.stop()

    @property
    def beats(self) -> int:
        """How often the event loop came by."""
        return len(self.gaps)

    def longest(self, count: int = 1, *, own: bool = False) -> list[Standstill]:
        """Return the longest times without a beat, by the clock or by the thread's own processor time."""
        return sorted(self.gaps, key=lambda gap: -(gap.own_ms if own else gap.wall_ms))[:count]

    def summary(self) -> str:
        """Return the figures in one line."""
        wall, own = self.longest()[0], self.longest(own=True)[0]
        walls = sorted(gap.wall_ms for gap in self.gaps)
        return (
            f"{self.beats} beats; longest standstill {wall.wall_ms:.0f} ms by the clock ({wall.during}), "
            f"{own.own_ms:.0f} ms of own processor time ({own.during}); "
            f"99th percentile {walls[int(0.99 * (len(walls) - 1))]:.0f} ms by the clock"
        )

    def _beat(self) -> None:
        wall, own = time.perf_counter(), time.thread_time()
        before_wall, before_own = self._last
        what = self.doing if self.doing == self._during else f"{self._during} > {self.doing}".strip(" >")
        self.gaps.append(Standstill(1000 * (wall - before_wall), 1000 * (own - before_own), what))
        self._last, self._during = (wall, own), self.doing
