"""Moves the boxes of an ordered, layered picture sideways so that edges run straight and nothing overlaps.

The order within a layer is given; each layer in turn is put where its neighbours want it, as near as the gaps allow
(weighted least squares under order constraints, by pooling adjacent violators).
"""

from __future__ import annotations

from collections.abc import Sequence

# A passing edge that bends costs more than a box off its line (the weights of Gansner et al., 1993, in spirit).
_HIDDEN_WEIGHT = 8.0
_MIXED_WEIGHT = 2.0
# Boxes feel the middle of the picture a little, or a chain of unequal blocks would wander off to one side.
_MIDDLE_WEIGHT = 0.02


def align(
    rows: Sequence[Sequence[int]],
    above: Sequence[Sequence[int]],
    below: Sequence[Sequence[int]],
    widths: Sequence[float],
    gap: float,
) -> list[float]:
    """Return the centre of every vertex.

    Args:
        rows: Vertices of each layer from left to right, top layer first.
        above: For every vertex its neighbours in the layer over it.
        below: The same in the layer under it.
        widths: Width of every vertex; 0 for the hidden ones where an edge passes.
        gap: Least space between two neighbours in a layer.
    """
    xs = [0.0] * len(widths)
    for row in rows:
        total = sum(widths[vertex] for vertex in row) + gap * (len(row) - 1)
        left = -total / 2
        for vertex in row:
            xs[vertex] = left + widths[vertex] / 2
            left += widths[vertex] + gap
    for sides, order in (((above,), 1), ((below,), -1), ((above,), 1), ((below,), -1), ((above, below), 1)):
        for row in rows[::order]:
            _settle(row, sides, widths, gap, xs)
    return xs


def _settle(
    row: Sequence[int], sides: Sequence[Sequence[Sequence[int]]], widths: Sequence[float], gap: float, xs: list[float]
) -> None:
    offset = 0.0
    offsets: list[float] = []
    blocks: list[list[float]] = []
    for position, vertex in enumerate(row):
        if position:
            offset += (widths[row[position - 1]] + widths[vertex]) / 2 + gap
        offsets.append(offset)
        hidden = not widths[vertex]
        pull, place = (0.0 if hidden else _MIDDLE_WEIGHT), 0.0
        for neighbours in sides:
            for other in neighbours[vertex]:
                if widths[other]:
                    weight = _MIXED_WEIGHT if hidden else 1.0
                else:
                    weight = _HIDDEN_WEIGHT if hidden else _MIXED_WEIGHT
                pull += weight
                place += weight * xs[other]
        # A block is [weight, weighted sum of wishes less offsets, vertices]; neighbours out of order share a place.
        block = [pull, place - pull * offset, 1.0]
        while blocks and blocks[-1][1] * block[0] > block[1] * blocks[-1][0]:
            last = blocks.pop()
            block = [block[0] + last[0], block[1] + last[1], block[2] + last[2]]
        blocks.append(block)
    position = 0
    for weight, wish, count in blocks:
        for _ in range(int(count)):
            xs[row[position]] = wish / weight + offsets[position]
            position += 1
