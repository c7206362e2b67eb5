"""How the share of zeros rises while a model is trained: not at all, then fast, then slowly, then no more."""

from __future__ import annotations

from dataclasses import dataclass

from .patterns import Target


@dataclass(frozen=True)
class Rise:
    """A rise with the cube of the time that is left (Zhu & Gupta, 2017).

    Attributes:
        observed: Share of the steps before the first zero.
        settled: Share of the steps after the last.
    """

    observed: float
    settled: float

    def share(self, done: float) -> float:
        """Return which share of the zeros there are after a share of all steps, 0-1."""
        end = max(1.0 - self.settled, 1e-9)
        begin = min(self.observed, end)
        if done >= end:
            return 1.0
        if done <= begin:
            return 0.0
        return 1.0 - (1.0 - (done - begin) / (end - begin)) ** 3

    def target(self, wanted: Target, done: float) -> Target | None:
        """Return the pattern to keep to after a share of all steps, or None before the first zero.

        Of an N:M pattern, M-1:M comes first, then M-2:M, until N:M.
        """
        reached = self.share(done)
        found = wanted.per_group
        if found is None:
            return Target(wanted.pattern, wanted.share * reached) if reached else None
        kept, size = found
        gone = int((size - kept) * reached + 1e-9)
        return Target(f"{size - gone}:{size}", gone / size) if gone else None
