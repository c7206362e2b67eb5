"""Cancelling and progress as plain values, so that no engine or method needs to know who is watching."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from workbench.domain.errors import CancelledError


class CancelToken:
    """A flag that anyone may set and that long work polls between batches.

    Listeners let blocking calls (an ONNX Runtime run) be interrupted from the thread that cancels.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Set the flag and call every listener once."""
        with self._lock:
            listeners, self._listeners = self._listeners, []
            self._event.set()
        for listener in listeners:
            listener()

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError once the flag is set."""
        if self._event.is_set():
            raise CancelledError

    def on_cancel(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when cancelled (at once if it already is); returns a function that removes it."""
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return lambda: self._remove(listener)
        listener()
        return lambda: None

    def _remove(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)


class Progress:
    """Share of a piece of work that is done, handed down and split among its parts.

    Args:
        report: Called with (fraction 0-1, text) of the whole work.
    """

    def __init__(
        self,
        report: Callable[[float, str], None] | None = None,
        *,
        _start: float = 0.0,
        _end: float = 1.0,
        _prefix: str = "",
    ) -> None:
        self._report = report
        self._start = _start
        self._end = _end
        self._prefix = _prefix

    def update(self, fraction: float, text: str = "") -> None:
        """Say that `fraction` (0-1) of this part is done."""
        if self._report is not None:
            done = self._at(min(max(fraction, 0.0), 1.0))
            joined = f"{self._prefix}: {text}" if self._prefix and text else self._prefix or text
            self._report(done, joined)

    def part(self, start: float, end: float, prefix: str = "") -> Progress:
        """Return the progress of a part that fills `start`-`end` (0-1) of this one."""
        joined = f"{self._prefix}: {prefix}" if self._prefix and prefix else self._prefix or prefix
        return Progress(
            self._report,
            _start=self._at(start),
            _end=self._at(end),
            _prefix=joined,
        )

    def _at(self, fraction: float) -> float:
        """Return a place within the whole; where one part ends, the next begins, to the last bit."""
        return self._end if fraction == 1 else min(self._start + (self._end - self._start) * fraction, self._end)


class TimeLeft:
    """Estimates the seconds left from the pace so far, smoothed so that the figure does not jump."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    def seconds(self, fraction: float) -> float | None:
        """Return the seconds left at `fraction` (0-1) done, or None while it is too early to say."""
        elapsed = self._clock() - self._began
        if fraction < 0.02 or elapsed < 0.5:
            return None
        return elapsed * (1.0 - fraction) / fraction
