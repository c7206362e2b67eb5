"""Finding and walking: search by name or operator, and where an arrow key leads; pure, over the picture's structure."""

from __future__ import annotations

from typing import Literal

from workbench.ui.graph_view.structure import Box, Structure

Direction = Literal["up", "down", "left", "right"]


def find(structure: Structure, text: str) -> tuple[str, ...]:
    """Return the ids, in drawing order, of all nodes whose name or operator contains every word of `text`.

    Names that begin with the text come first, then operators equal to it, then the rest.
    """
    words = text.lower().split()
    if not words:
        return ()

    def rank(box: Box) -> int:
        whole = " ".join(words)
        return 0 if box.name.lower().startswith(whole) else 1 if box.title.lower().split(" ")[0] == whole else 2

    hits = [box for box in structure.boxes if all(word in f"{box.name} {box.title}".lower() for word in words)]
    hits.sort(key=lambda box: (rank(box), box.rect[1], box.rect[0]))
    return tuple(box.id for box in hits)


def step(structure: Structure, id: str | None, direction: Direction) -> str | None:
    """Return the node that an arrow key leads to, or None at the border.

    Up and down follow edges, to the neighbour that lies straightest; left and right go to the nearest node
    at about the same height. From nowhere, the walk begins at the topmost node.
    """
    if not structure.boxes:
        return None
    here = structure.box(id) if id is not None else None
    if here is None:
        return min(structure.boxes, key=lambda box: (box.rect[1], box.rect[0])).id
    if direction in ("up", "down"):
        return _along_edges(structure, here, down=direction == "down")
    return _sideways(structure, here, right=direction == "right")


def _along_edges(structure: Structure, here: Box, *, down: bool) -> str | None:
    edges = [structure.edges[index] for index in structure.edges_at.get(here.id, ())]
    ids = [edge.target for edge in edges if edge.source == here.id] if down else []
    ids = ids or ([] if down else [edge.source for edge in edges if edge.target == here.id])
    boxes = [box for box in (structure.box(id) for id in ids) if box is not None]
    if not boxes:
        return None
    x, y = here.center
    return min(boxes, key=lambda box: (abs(box.center[0] - x) > 1, abs(box.center[1] - y), box.center[0])).id


def _sideways(structure: Structure, here: Box, *, right: bool) -> str | None:
    x, y = here.center
    reach = (here.rect[3] - here.rect[1]) * 1.5
    area = (x, y - reach, structure.width * 2 + 1e4, y + reach) if right else (-1e4, y - reach, x, y + reach)
    boxes = [structure.boxes[index] for index in structure.box_grid.within(area)]
    ahead = [box for box in boxes if (box.center[0] > x + 1 if right else box.center[0] < x - 1)]
    if not ahead:
        return None
    return min(ahead, key=lambda box: abs(box.center[0] - x) + 2 * abs(box.center[1] - y)).id
