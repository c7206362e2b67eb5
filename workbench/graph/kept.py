"""Remembers on each node which channels of the original are left, so that a smaller model can be compared with it.

A note in the node's metadata, "axis:count:mask": the axis of the first output that lost positions, how many the
original had, and one bit for each in hexadecimal, first position first. It travels with the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

KEPT_KEY = "workbench.kept"


@dataclass(frozen=True, eq=False)
class Kept:
    """What is left of a node's first output.

    Attributes:
        axis: Along which positions were taken away.
        count: Positions that the original has.
        positions: Of the original, those that are left, ascending.
    """

    axis: int
    count: int
    positions: np.ndarray

    def text(self) -> str:
        """Return the note."""
        mask = np.zeros(self.count, bool)
        mask[self.positions] = True
        return f"{self.axis}:{self.count}:{np.packbits(mask).tobytes().hex()}"

    def without(self, stays: np.ndarray) -> Kept:
        """Return what is left after a further removal; `stays` says for every position left so far."""
        return Kept(self.axis, self.count, self.positions[stays])


def kept(metadata: Mapping[str, str]) -> Kept | None:
    """Return the note of a node, or None where it has none that can be read."""
    parts = metadata.get(KEPT_KEY, "").split(":")
    if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return None
    count = int(parts[1])
    try:
        mask = np.frombuffer(bytes.fromhex(parts[2]), np.uint8)
    except ValueError:
        return None
    if mask.size != -(-count // 8):
        return None
    return Kept(int(parts[0]), count, np.flatnonzero(np.unpackbits(mask, count=count)))


def noted(metadata: Mapping[str, str], axis: int, stays: np.ndarray) -> str | None:
    """Return the note of a node after one more removal along `axis`; None where earlier ones went along another."""
    earlier = kept(metadata)
    if earlier is None:
        return None if KEPT_KEY in metadata else Kept(axis, len(stays), np.flatnonzero(stays)).text()
    if earlier.axis != axis or len(earlier.positions) != len(stays):
        return None
    return earlier.without(stays).text()
