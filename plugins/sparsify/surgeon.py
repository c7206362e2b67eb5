"""The optimal brain surgeon, column by column: what a zero costs is made up for by the weights that come after it.

Notation: w (out, columns) of one group; c (columns, columns) second moments of what the columns read, so that changing
w by d changes the layer's output by tr(d c d^T) in mean square. c^-1 = u^T u with u upper triangular: row i of u, from
its diagonal on, says how columns i … make up for column i once those before it are settled (Frantar & Alistarh, 2023).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .patterns import Target, count_of, lowest_blocks, lowest_of_each, quotas

_FLOOR = 1e-12


def inverse_root(second: np.ndarray, damping: float) -> np.ndarray:
    """Return u (columns, columns), upper triangular with u^T u = (c + damping · mean(diag c) · I)^-1."""
    mean = float(np.mean(np.diag(second)))
    # A layer that reads nothing but zeros says nothing about its weights: then all count alike.
    added = damping * mean if mean > _FLOOR else 1.0
    damped = torch.from_numpy(second + added * np.eye(len(second)))
    root = torch.linalg.cholesky(damped.flip(0, 1)).flip(0, 1)
    eye = torch.eye(len(second), dtype=torch.float64)
    return np.asarray(torch.linalg.solve_triangular(root, eye, upper=True).numpy())


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
    w = weight.astype(np.float64)
    columns = w.shape[1]
    diagonal = np.diag(root)
    starts = range(0, columns, block_columns)
    counts = quotas(count, [min(block_columns, columns - start) for start in starts])
    for start, quota in zip(starts, counts, strict=True):
        pause()
        stop = min(start + block_columns, columns)
        part, inner = w[:, start:stop], root[start:stop, start:stop]
        gone = np.zeros(part.shape, bool)
        if target.per_group is None:
            gone = lowest_blocks(np.square(part / diagonal[start:stop]), quota, target.rows)
        errors = np.zeros(part.shape)
        for column in range(stop - start):
            if target.per_group is not None and column % target.per_group[1] == 0:
                kept, size = target.per_group
                group = slice(column, column + size)
                scores = np.square(part[:, group] / diagonal[start:stop][group])
                gone[:, group] = lowest_of_each(scores, size - kept, size)
            errors[:, column] = np.where(gone[:, column], part[:, column], 0.0) / inner[column, column]
            part[:, column + 1 :] -= np.outer(errors[:, column], inner[column, column + 1 :])
            part[gone[:, column], column] = 0.0
        w[:, stop:] -= errors @ root[start:stop, stop:]
    return w


def shares(target: Target, groups: int, outputs: int, columns: int) -> list[int]:
    """Return how many zeros (or blocks of zeros) each group gets."""
    places = outputs * columns // target.rows
    return quotas(count_of(target.share, groups * places), [places] * groups)
