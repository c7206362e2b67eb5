"""The optimal brain surgeon, column by column: what settling a weight costs is made up for by those that come after it.

Notation: w (out, columns) of one group; c (columns, columns) second moments of what the columns read, so that changing
w by d changes the layer's output by tr(d c d^T) in mean square. c^-1 = u^T u with u upper triangular: row i of u, from
its diagonal on, says how columns i … make up for column i once those before it are settled (Hassibi & Stork, 1993;
Frantar et al., 2023, for rounding; Frantar & Alistarh, 2023, for zeros).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_FLOOR = 1e-12
_DIRECT = 128

# Of the columns from `start` on: (start, part (out, n), diagonal of u (n,)) → column → settled values (out,). `part`
# is updated in place as columns are settled, and is seen by the rule that way.
Rule = Callable[[int, np.ndarray, np.ndarray], Callable[[int], np.ndarray]]


def inverse_root(second: np.ndarray, damping: float) -> np.ndarray:
    """Return u (columns, columns), upper triangular with u^T u = (c + damping · mean(diag c) · I)^-1."""
    mean = float(np.mean(np.diag(second)))
    # A layer that reads nothing but zeros says nothing about its weights: then all count alike.
    added = damping * mean if mean > _FLOOR else 1.0
    damped = second + added * np.eye(len(second))
    return _inverse(np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1])


def settle_columns(
    weight: np.ndarray, root: np.ndarray, block_columns: int, rule: Rule, pause: Callable[[], None]
) -> np.ndarray:
    """Return the weight (out, columns) with every column as the rule settles it, given what those before it cost.

    Args:
        weight: Before.
        root: `inverse_root` of what it reads.
        block_columns: Columns that are updated one by one; those after them once a block, which is faster.
        rule: Says what a column becomes.
        pause: Called once a block; may raise.
    """
    w = weight.astype(np.float64)
    columns = w.shape[1]
    for start in range(0, columns, block_columns):
        pause()
        stop = min(start + block_columns, columns)
        part, inner = w[:, start:stop], root[start:stop, start:stop]
        settled = rule(start, part, np.diag(inner))
        errors = np.zeros(part.shape)
        for column in range(stop - start):
            after = settled(column)
            errors[:, column] = (part[:, column] - after) / inner[column, column]
            part[:, column + 1 :] -= np.outer(errors[:, column], inner[column, column + 1 :])
            part[:, column] = after
        w[:, stop:] -= errors @ root[start:stop, stop:]
    return w


def _inverse(upper: np.ndarray) -> np.ndarray:
    """Return the inverse of an upper triangular matrix, by halves so that nearly all of it is matrix products."""
    size = len(upper)
    if size <= _DIRECT:
        return np.triu(np.linalg.inv(upper))
    half = size // 2
    result = np.zeros_like(upper)
    result[:half, :half], result[half:, half:] = _inverse(upper[:half, :half]), _inverse(upper[half:, half:])
    result[:half, half:] = -result[:half, :half] @ upper[:half, half:] @ result[half:, half:]
    return result
