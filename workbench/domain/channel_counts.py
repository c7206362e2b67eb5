"""How many channels a prune ratio leaves, by one rule for the criteria that remove them and the window that says so."""

from __future__ import annotations

import math


def kept_units(units: int, ratio: float, step: int = 1) -> int:
    """Return how many of `units` stay at `ratio`, as a multiple of `step` where there are that many."""
    if step == 1:
        return units - math.floor(ratio * units + 1e-9)
    if units < step:
        return units
    return min(units, max(step, math.floor((1 - ratio) * units / step + 0.5) * step))


def unit_step(multiple: int, channels: int) -> int:
    """Return the number of units that makes a multiple of channels, where one unit is `channels` wide."""
    return multiple // math.gcd(multiple, max(channels, 1))
