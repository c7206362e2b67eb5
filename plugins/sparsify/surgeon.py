"""Zeros by the optimal brain surgeon: what a zero costs is made up for by the weights that come after it.

Notation as in `settle_columns`: w (out, columns) of one group, u the inverse root of what its columns read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.api import settle_columns

from .patterns import Target, count_of, lowest_blocks, lowest_of_each, quotas


def make_sparse(
    weight: np.ndarray,
    root: np.ndarray,
    target: Target,
    count: int,
    block_columns: int,
    pause: Callable[[], None],
) -> np.ndarray:
    """Return the weight (out, columns) with zeros as the target says, the others updated to make up for them.

    Args:
        weight: Before.
        root: `inverse_root` of what it reads.
        target: Pattern and share.
        count: Zeros, or blocks of zeros, for patterns that leave their number open.
        block_columns: Columns whose zeros are chosen together; a multiple of 4.
        pause: Called now and then; may raise.
    """
    columns = weight.shape[1]
    counts = quotas(count, [min(block_columns, columns - start) for start in range(0, columns, block_columns)])

    def rule(start: int, part: np.ndarray, diagonal: np.ndarray) -> Callable[[int], np.ndarray]:
        gone = np.zeros(part.shape, bool)
        if target.per_group is None:
            gone = lowest_blocks(np.square(part / diagonal), counts[start // block_columns], target.rows)

        def settled(column: int) -> np.ndarray:
            if target.per_group is not None and column % target.per_group[1] == 0:
                kept, size = target.per_group
                group = slice(column, column + size)
                scores = np.square(part[:, group] / diagonal[group])
                gone[:, group] = lowest_of_each(scores, size - kept, size)
            return np.where(gone[:, column], 0.0, part[:, column])

        return settled

    return settle_columns(weight, root, block_columns, rule, pause)


def shares(target: Target, groups: int, outputs: int, columns: int) -> list[int]:
    """Return how many zeros (or blocks of zeros) each group gets."""
    places = outputs * columns // target.rows
    return quotas(count_of(target.share, groups * places), [places] * groups)
