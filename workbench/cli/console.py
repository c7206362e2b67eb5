"""Keeps standard output for results and standard error for everything else, as scripts rely on."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from workbench.domain.cancel import TimeLeft
from workbench.domain.errors import StorageError

_ROUNDING = 1e-6  # parts of a whole add up to a little less than it


def protect_stdout() -> TextIO:
    """Return a stream to the real standard output and send all other writes (native libraries too) to stderr."""
    sys.stdout.flush()
    real = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return real


def silence_stderr() -> TextIO:
    """Return a stream to the real standard error, for errors, and swallow what libraries and plugins write to it."""
    sys.stderr.flush()
    real = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    return real


class Console:
    """Prints results, progress and logs.

    Args:
        as_json: Print one JSON object on standard output and nothing else there.
        quiet: No progress and no logs.
        out: Where results go; None takes the process's standard output over, and standard error if `quiet`.
    """

    def __init__(self, *, as_json: bool, quiet: bool, out: TextIO | None = None) -> None:
        self._err = silence_stderr() if quiet and out is None else sys.stderr
        self._out = out or protect_stdout()
        self._json = as_json
        self._quiet = quiet
        self._bar = sys.stderr.isatty()
        self._last_tenth = -1
        self._last_time = 0.0
        self._drawn = False
        self._left = TimeLeft()

    def result(self, payload: dict[str, Any], text: str) -> None:
        """Print a job's result: the JSON object, or the text for people."""
        self.finish_progress()
        written = json.dumps(payload, allow_nan=False) if self._json else text
        try:
            print(written, file=self._out, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StorageError(f"the result can't be written to standard output: {error.strerror}") from error

    def log(self, text: str) -> None:
        """Print a line for people on standard error."""
        if not self._quiet:
            self.finish_progress()
            print(text, file=sys.stderr, flush=True)

    def error(self, text: str) -> None:
        """Print an error line, even when quiet."""
        self.finish_progress()
        print(text, file=self._err, flush=True)

    def progress(self, fraction: float, text: str) -> None:
        """Show progress: a bar on a terminal, otherwise one line per 10 %."""
        if self._quiet:
            return
        if self._bar:
            now = time.monotonic()
            if now - self._last_time < 0.1 and fraction < 1:
                return
            self._last_time = now
            left = self._left.seconds(fraction)
            filled = int(fraction * 24)
            tail = "" if left is None else f"  {format_seconds(left)} left"
            line = f"[{'█' * filled}{'·' * (24 - filled)}] {fraction:4.0%}  {text[:60]}{tail}"
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif fraction > 0 and int(fraction * 10 + _ROUNDING) > self._last_tenth:
            self._last_tenth = int(fraction * 10 + _ROUNDING)
            print(f"{self._last_tenth * 10:3d} %  {text}".rstrip(), file=sys.stderr, flush=True)

    def finish_progress(self) -> None:
        """Leave the progress bar's line."""
        if self._drawn:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._drawn = False

    def restart_progress(self) -> None:
        """Begin a new job's progress at nought."""
        self.finish_progress()
        self._last_tenth = -1
        self._left = TimeLeft()


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: "0.4 s", "12 s", "3 min 20 s", "1 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return rows as aligned text columns; the columns numbered in `right` are right-aligned."""
    cells = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)
