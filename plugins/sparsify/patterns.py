"""Which weights may be zero together: scores of single weights become a mask that keeps to a pattern exactly.

Patterns, of matrices (groups, out, columns) as `layout` makes them:

- "unstructured": any weights. Of n weights, floor(share · n) are zero.
- "N:M" ("2:4", "1:4"): of every M consecutive input channels that one output reads at one kernel position, N stay. The
  number of input channels of a group must be a whole multiple of M.
- "block" (4×1): 4 consecutive output channels of a group at one input channel and kernel position are zero together.
  The number of output channels of a group must be a whole multiple of 4. Of n blocks, floor(share · n) are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .layout import Layout

BLOCK_ROWS = 4
Comparison = Literal["layer", "output"]


@dataclass(frozen=True)
class Target:
    """What is wanted of a layer.

    Attributes:
        pattern: One of the choices of `sparsity_pattern`.
        share: Of zero weights, 0-1.
    """

    pattern: str
    share: float

    @property
    def per_group(self) -> tuple[int, int] | None:
        """N and M of an N:M pattern: N of M consecutive weights stay."""
        return kept_of(self.pattern)

    @property
    def rows(self) -> int:
        """How many consecutive outputs are zero together."""
        return BLOCK_ROWS if self.pattern == "block" else 1


def kept_of(pattern: str) -> tuple[int, int] | None:
    """Return N and M of "N:M", or None for another pattern."""
    kept, colon, size = pattern.partition(":")
    return (int(kept), int(size)) if colon else None


def implied_share(pattern: str) -> float | None:
    """Return the share of zeros that a pattern fixes, or None where it leaves it open."""
    found = kept_of(pattern)
    return None if found is None else 1 - found[0] / found[1]


def misfit(layout: Layout, pattern: str) -> str | None:
    """Return why a pattern can't be laid over a weight, or None if it can."""
    group = " of each group" if layout.groups > 1 else ""
    found = kept_of(pattern)
    if found is not None and layout.inputs % found[1]:
        return f"its {layout.inputs} input channels{group} are no whole multiple of {found[1]}"
    if pattern == "block" and layout.outputs % BLOCK_ROWS:
        return f"its {layout.outputs} output channels{group} are no whole multiple of {BLOCK_ROWS}"
    return None


def count_of(share: float, places: int) -> int:
    """Return how many of `places` are a share: the largest whole number that is not above it, rounding errors aside."""
    return int(share * places + 1e-6)


def quotas(total: int, parts: Sequence[int]) -> list[int]:
    """Return `total` shared out over parts of the given sizes as evenly as whole numbers allow."""
    ends = np.cumsum(parts)
    reached = [total * int(end) // int(ends[-1]) for end in ends]
    return [after - before for before, after in zip([0, *reached], reached, strict=False)]


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of the `count` lowest scores, in their shape."""
    chosen = np.zeros(scores.size, bool)
    if count:
        chosen[np.argpartition(scores.reshape(-1), count - 1)[:count]] = True
    return chosen.reshape(scores.shape)


def lowest_of_each(scores: np.ndarray, dropped: int, size: int) -> np.ndarray:
    """Return a mask (…, columns) of the `dropped` lowest scores among every `size` consecutive columns."""
    parts = scores.reshape(-1, size)
    chosen = np.zeros(parts.shape, bool)
    np.put_along_axis(chosen, np.argsort(parts, axis=1, kind="stable")[:, :dropped], True, axis=1)
    return chosen.reshape(scores.shape)


def lowest_blocks(scores: np.ndarray, count: int, rows: int) -> np.ndarray:
    """Return a mask (…, out, columns) of the `count` blocks of `rows` outputs whose summed scores are lowest."""
    *leading, out, columns = scores.shape
    blocks = scores.reshape(*leading, out // rows, rows, columns).sum(axis=-2)
    return np.repeat(lowest(blocks, count), rows, axis=-2)


def zeros(scores: np.ndarray, target: Target, comparison: Comparison = "layer") -> np.ndarray:
    """Return which weights become zero, a mask in the shape of `scores`.

    Args:
        scores: What is lost with each weight, finite, (groups, out, columns).
        target: Pattern and share.
        comparison: Whether weights compete within the whole layer or within one output (a block of them); N:M
            patterns compare within each M anyway.
    """
    if target.per_group is not None:
        kept, size = target.per_group
        return lowest_of_each(scores, size - kept, size)
    groups, out, columns = scores.shape
    total = count_of(target.share, scores.size // target.rows)
    if comparison == "layer":
        return lowest_blocks(scores, total, target.rows)
    bands = scores.reshape(groups * out // target.rows, target.rows, columns)
    counts = quotas(total, [columns] * len(bands))
    chosen = [lowest_blocks(band, count, target.rows) for band, count in zip(bands, counts, strict=True)]
    return np.stack(chosen).reshape(scores.shape)
