"""Rounds the columns of a weight one after another, each given what rounding those before it did to the output.

Notation: w (out, columns), c (columns, columns) second moments of what it reads, levels (q - z) · s with integers q.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workbench.api import inverse_root, settle_columns

_BLOCK_COLUMNS = 128


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels of every weight: s and z (out, columns), and the lowest and highest q."""

    scales: np.ndarray
    zeros: np.ndarray
    lowest: int
    highest: int

    def nearest(self, weight: np.ndarray) -> np.ndarray:
        """Return q of the nearest level of every weight."""
        return np.asarray(np.clip(np.rint(weight / self.scales) + self.zeros, self.lowest, self.highest))

    def values(self, integers: np.ndarray) -> np.ndarray:
        """Return the weights that integers stand for."""
        return np.asarray((integers - self.zeros) * self.scales)

    def of(self, columns: np.ndarray) -> Levels:
        """Return the levels of the columns of these numbers, in their order."""
        return Levels(self.scales[:, columns], self.zeros[:, columns], self.lowest, self.highest)


class Offered(Protocol):
    """What weights (out, columns) can be rounded to."""

    def nearest(self, weight: np.ndarray) -> np.ndarray:
        """Return q of the nearest level of every weight."""
        ...

    def values(self, integers: np.ndarray) -> np.ndarray:
        """Return the weights that q stand for."""
        ...

    def of(self, columns: np.ndarray) -> Offered:
        """Return the levels of the columns of these numbers, in their order."""
        ...


def rounded_in_turn(
    weight: np.ndarray,
    second: np.ndarray,
    levels: Offered,
    damping: float,
    order: bool,
    pause: Callable[[], None],
) -> np.ndarray:
    """Return the integers (out, columns) of GPTQ (Frantar et al., 2023), with the levels fixed beforehand.

    Args:
        weight: The weight in float.
        second: Second moments of what it reads.
        levels: What it is rounded to.
        damping: Share of the mean second moment that is added to each.
        order: Take the columns that read most first, so that they have most others to make up for them.
        pause: Called now and then; may raise.
    """
    count = weight.shape[1]
    turn = np.argsort(-np.diag(second), kind="stable") if order else np.arange(count)
    ordered = levels.of(turn)
    root = inverse_root(second[np.ix_(turn, turn)], damping)

    def rule(start: int, part: np.ndarray, _: np.ndarray) -> Callable[[int], np.ndarray]:
        here = ordered.of(np.arange(start, start + part.shape[1]))

        def settled(column: int) -> np.ndarray:
            own = here.of(np.array([column]))
            return own.values(own.nearest(part[:, column : column + 1]))[:, 0]

        return settled

    settled = settle_columns(weight[:, turn], root, _BLOCK_COLUMNS, rule, pause)
    integers = np.empty_like(settled)
    integers[:, turn] = ordered.nearest(settled)
    return integers
