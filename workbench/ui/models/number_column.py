"""Numbers of one column under each other: padded so that decimal points line up though digits differ by interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.domain.measurements import Interval
from workbench.ui.models import numbers

FIGURE_SPACE = "\N{FIGURE SPACE}"
POINT_SPACE = "\N{PUNCTUATION SPACE}"

Measured = tuple[float, Interval | None]


def measured_column(cells: Sequence[Measured | None], *, signed: bool = False) -> tuple[str, ...]:
    """Return "91.72 ±0.54" per cell, decimal points in line when right-aligned; an en dash for None."""
    shown = [None if cell is None else _split(cell, signed=signed) for cell in cells]
    present = [parts for parts in shown if parts is not None]
    value_places = max((_places(value) for value, _ in present), default=0)
    width_places = max((_places(width) for _, width in present), default=0)
    width_digits = max((len(width.partition(".")[0]) for _, width in present), default=0)
    texts = []
    for parts in shown:
        if parts is None:
            texts.append(numbers.NOTHING)
            continue
        value, width = parts
        text = value + _tail(value, value_places)
        if width:
            lead = FIGURE_SPACE * (width_digits - len(width.partition(".")[0]))
            text += f" {numbers.PLUS_MINUS}{lead}{width}{_tail(width, width_places)}"
        elif width_digits:
            # A plus-minus sign is about as wide as one and a half digits.
            text += FIGURE_SPACE * (width_digits + width_places + 2) + (POINT_SPACE if width_places else "")
        texts.append(text)
    return tuple(texts)


def exact_column(values: Sequence[float]) -> tuple[tuple[str, ...], str]:
    """Return exact figures in one SI prefix with equal decimals, the smallest with two digits, and the prefix."""
    factor, prefix = numbers.common_prefix(values)
    smallest = min((abs(value) / factor for value in values if value), default=1.0)
    decimals = 0 if not prefix else min(max(1 - math.floor(math.log10(smallest)), 0), 3)
    return tuple(numbers.fixed(value / factor, decimals) for value in values), prefix


def plain(text: str) -> str:
    """Return a cell's text without the padding, for the clipboard."""
    return text.replace(FIGURE_SPACE, "").replace(POINT_SPACE, "")


def _split(cell: Measured, *, signed: bool) -> tuple[str, str]:
    value, interval = cell
    width = numbers.half_width(interval)
    decimals = numbers.decimals_for(width)
    return numbers.fixed(value, decimals, signed=signed), numbers.fixed(width, decimals) if width else ""


def _places(text: str) -> int:
    return len(text.partition(".")[2])


def _tail(text: str, places: int) -> str:
    missing = places - _places(text)
    return (POINT_SPACE if places and "." not in text else "") + FIGURE_SPACE * missing
