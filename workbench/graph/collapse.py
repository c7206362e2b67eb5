"""Draws blocks as single boxes: which blocks lie in which, and the picture that is left when some are closed.

Works on the plain values of a drawing, in the window's process or in the worker's; no model is needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from workbench.domain.reports import Drawing, DrawnBlock, DrawnEdge, DrawnNode

BLOCK_FAMILY = "block"
_WIDTH_PX = 264.0
_HEIGHT_PX = 46.0


@dataclass(frozen=True)
class BlockTree:
    """The blocks of a drawing.

    A set of closed blocks may hold blocks within blocks: what lies in a closed one keeps its state for when that opens.
    """

    drawing: Drawing

    @cached_property
    def by_id(self) -> Mapping[str, DrawnBlock]:
        """Blocks by id, outer ones first."""
        return {block.id: block for block in self.drawing.blocks}

    @cached_property
    def depth(self) -> Mapping[str, int]:
        """How deep a block lies, from 1."""
        depths: dict[str, int] = {}
        for block in self.drawing.blocks:
            depths[block.id] = 1 if block.parent is None else depths[block.parent] + 1
        return depths

    @cached_property
    def members(self) -> Mapping[str, tuple[str, ...]]:
        """Ids of all nodes in a block, those in blocks within it included, in drawing order."""
        found: dict[str, list[str]] = {id: [] for id in self.by_id}
        for node in self.drawing.nodes:
            for id in self._around(node.block):
                found[id].append(node.id)
        return {id: tuple(nodes) for id, nodes in found.items()}

    @cached_property
    def _innermost(self) -> Mapping[str, str | None]:
        blocks = {node.id: node.block for node in self.drawing.nodes}
        blocks.update({block.id: block.parent for block in self.drawing.blocks})
        return blocks

    def around(self, id: str) -> tuple[str, ...]:
        """Return the blocks around a node or block, innermost first; () for one that is unknown."""
        return tuple(self._around(self._innermost.get(id)))

    def _around(self, block: str | None) -> Iterable[str]:
        while block is not None:
            yield block
            block = self.by_id[block].parent

    def owners(self, closed: Collection[str]) -> dict[str, str]:
        """Return, for every node that closed blocks hide, the outermost of them."""
        outermost: dict[str, str | None] = {}
        for block in self.drawing.blocks:
            above = None if block.parent is None else outermost[block.parent]
            outermost[block.id] = above if above is not None else block.id if block.id in closed else None
        owners = ((node.id, outermost[node.block]) for node in self.drawing.nodes if node.block is not None)
        return {id: owner for id, owner in owners if owner is not None}

    def boxes(self, closed: Collection[str]) -> int:
        """Return how many boxes are left."""
        owners = self.owners(closed)
        return len(self.drawing.nodes) - len(owners) + len(set(owners.values()))

    def to_depth(self, depth: int) -> frozenset[str]:
        """Return the closed blocks when those at `depth` (from 1), and all within them, are closed."""
        return frozenset(id for id, own in self.depth.items() if own >= depth)

    def at_first(self, most: int) -> frozenset[str]:
        """Return the closed blocks that leave at most `most` boxes where that is possible, as few as need be."""
        if len(self.drawing.nodes) <= most:
            return frozenset()
        deepest = max(self.depth.values(), default=0)
        closed = (self.to_depth(depth) for depth in range(deepest, 0, -1))
        return next((state for state in closed if self.boxes(state) <= most), self.to_depth(1))


def collapsed(tree: BlockTree, closed: Collection[str]) -> Drawing:
    """Return the drawing with each closed block as one box, whose id is the block's; the rest is placed anew.

    Args:
        tree: The blocks of the whole graph; its drawing is returned as it is where nothing is closed.
        closed: Ids of blocks.
    """
    # Loading igraph takes longer than the window may wait while it starts, and most sessions open with nothing closed.
    from workbench.graph.placement import place

    drawing = tree.drawing
    owners = tree.owners(closed)
    if not owners:
        return drawing
    nodes: dict[str, DrawnNode] = {}
    for node in drawing.nodes:
        owner = owners.get(node.id)
        if owner is None:
            nodes[node.id] = node
        elif owner not in nodes:
            nodes[owner] = _block_box(tree.by_id[owner])
    edges: dict[tuple[str, str], DrawnEdge] = {}
    for edge in drawing.edges:
        ends = owners.get(edge.source, edge.source), owners.get(edge.target, edge.target)
        if ends[0] != ends[1] and ends[0] in nodes and ends[1] in nodes:
            edges.setdefault(ends, edge)
    order = _order(list(nodes), list(edges))
    index = {id: position for position, id in enumerate(order)}
    # Blocks may feed each other; for their places, an arrow that would go up is turned around.
    pairs = [(index[source], index[target]) for source, target in edges]
    placed = place([(nodes[id].width, nodes[id].height) for id in order], [(min(pair), max(pair)) for pair in pairs])
    return Drawing(
        nodes=tuple(
            nodes[id].model_copy(update={"x": x, "y": y}) for id, (x, y) in zip(order, placed.centres, strict=True)
        ),
        edges=tuple(
            DrawnEdge.model_construct(
                source=source, target=target, value=edge.value, points=bends if down else tuple(reversed(bends))
            )
            for ((source, target), edge), bends, down in zip(
                edges.items(), placed.bends, (source < target for source, target in pairs), strict=True
            )
        ),
        width=placed.width,
        height=placed.height,
        blocks=drawing.blocks,
    )


def _block_box(block: DrawnBlock) -> DrawnNode:
    return DrawnNode.model_construct(
        id=block.id,
        op=block.title,
        family=BLOCK_FAMILY,
        x=0.0,
        y=0.0,
        width=_WIDTH_PX,
        height=_HEIGHT_PX,
        layer=None,
        block=block.parent,
    )


def _order(ids: list[str], edges: Collection[tuple[str, str]]) -> list[str]:
    """Return ids so that arrows lead forwards, earliest first; in a circle the earliest goes first."""
    position = {id: index for index, id in enumerate(ids)}
    waits = [0] * len(ids)
    readers: list[list[int]] = [[] for _ in ids]
    for source, target in edges:
        readers[position[source]].append(position[target])
        waits[position[target]] += 1
    ready = [index for index, count in enumerate(waits) if not count]
    done = [False] * len(ids)
    order: list[str] = []
    next_in_circle = 0
    while len(order) < len(ids):
        if ready:
            index = heapq.heappop(ready)
        else:
            while done[next_in_circle]:
                next_in_circle += 1
            index = next_in_circle
        if done[index]:
            continue
        done[index] = True
        order.append(ids[index])
        for reader in readers[index]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, reader)
    return order
