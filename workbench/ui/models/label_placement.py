"""Finds a place for a label beside each point, so that names are read in the plot instead of in a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height


@dataclass(frozen=True)
class Label:
    """A text of a size that belongs to a point; earlier labels get the better places.

    Attributes:
        x, y: The point.
        width, height: Of the text.
        ring: How far the point's own mark reaches beyond the usual, e.g. with a ring around it.
    """

    x: float
    y: float
    width: float
    height: float
    ring: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a label goes; `far` labels need a line to their point."""

    box: Box
    far: bool


_GAPS = (8.0, 18.0, 32.0, 50.0)
# Right is where a reader looks first; diagonals keep clear of horizontal and vertical interval bars.
_SIDES = ((1, -1), (1, 1), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (-1, 0))


def place_labels(
    labels: Sequence[Label], points: Sequence[Box], lines: Sequence[Box], area: Box, *, most_gaps: int = len(_GAPS)
) -> tuple[Place | None, ...]:
    """Return a place for each label that finds one.

    Args:
        labels: In order of importance.
        points: Marks that no label may cover.
        lines: Thin boxes (interval bars, the front) that labels avoid where they can.
        area: Labels stay within it.
        most_gaps: How many distances from the point are tried.
    """
    taken = _edges(points)
    thin = _edges(lines)
    places: list[Place | None] = []
    for label in labels:
        best: tuple[float, Place] | None = None
        for distance, gap in enumerate(_GAPS[:most_gaps]):
            for order, (across, down) in enumerate(_SIDES):
                box = _beside(label, across, down, gap)
                if not _within(box, area) or _overlap(box, taken) > 0:
                    continue
                crossed = _overlap(box, thin) / box.height
                cost = 100.0 * distance + 3.0 * order + 8.0 * crossed
                if best is None or cost < best[0]:
                    best = cost, Place(box, far=distance > 0)
        places.append(None if best is None else best[1])
        if best is not None:
            taken = np.vstack([taken, _edges([best[1].box])])
    return tuple(places)


def _edges(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    """Return left, top, right and bottom per box; of hundreds of points a label is compared with all at once."""
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.float64).reshape(-1, 4)


def _overlap(box: Box, edges: npt.NDArray[np.float64]) -> float:
    """Return the area that a box shares with others, in all."""
    wide = np.minimum(edges[:, 2], box.right) - np.maximum(edges[:, 0], box.left)
    high = np.minimum(edges[:, 3], box.bottom) - np.maximum(edges[:, 1], box.top)
    return float(np.sum(np.clip(wide, 0.0, None) * np.clip(high, 0.0, None)))


def _beside(label: Label, across: int, down: int, gap: float) -> Box:
    # On a diagonal the label starts nearer, because it is already clear of the point's row.
    reach = gap * (0.75 if across and down else 1.0) + label.ring
    left = label.x + reach if across > 0 else label.x - reach - label.width if across < 0 else label.x - label.width / 2
    top = label.y + reach * 0.5 if down > 0 else label.y - reach * 0.5 - label.height
    if not down:
        top = label.y - label.height / 2
    if not across:
        top = label.y + reach if down > 0 else label.y - reach - label.height
    return Box(left, top, label.width, label.height)


def _within(box: Box, area: Box) -> bool:
    return box.left >= area.left and box.top >= area.top and box.right <= area.right and box.bottom <= area.bottom
