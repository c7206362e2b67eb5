"""Lines of a property list: a title, a value with its unit, and the exact number on hover."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.ui.models import numbers


@dataclass(frozen=True)
class Fact:
    """One line: a title, its value, and what stands on hover (exact numbers, where it comes from)."""

    title: str
    value: str
    tip: str = ""


def moved(before: str, after: str) -> str:
    """Return "32 → 16", or that nothing changed."""
    return f"{before}, unchanged" if before == after else f"{before} \N{RIGHTWARDS ARROW} {after}"


def with_share(count: int, whole: int) -> str:
    """Return a count and its share of the whole, e.g. "4.61 k (1.7 %)"."""
    text = numbers.count_text(count)
    if whole <= 0:
        return text
    share = 100 * count / whole
    shown = "<\N{NO-BREAK SPACE}0.1" if 0 < share < 0.05 else numbers.fixed(share, 1)
    return f"{text} ({shown}\N{NO-BREAK SPACE}%)"


def exact(count: int, unit: str) -> str:
    """Return every digit of a count with its unit."""
    return f"{numbers.exact_text(count)} {unit}"
