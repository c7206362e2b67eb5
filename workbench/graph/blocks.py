"""Divides a graph into blocks within blocks that can each be drawn as one box, as their author thought of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workbench.domain.reports import DrawnBlock
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.scopes import Scope, find_scopes
from workbench.graph.sections import find_sections, title_of

_FEWEST = 2
# A block that holds nearly everything tells nothing; what lies in it goes up a step.
_MOST_RATIO = 0.85
# Names that tell of fewer operators than this don't describe the model.
_COVERED_RATIO = 0.5


@dataclass(frozen=True)
class Blocks:
    """Blocks, outer ones before those within, and the id of the innermost one by node name."""

    blocks: tuple[DrawnBlock, ...]
    innermost: Mapping[str, str]


def find_blocks(graph: ModelGraph, nodes: Sequence[Node]) -> Blocks:
    """Return the blocks of a graph: modules where names tell of them, else sections and runs of its data flow.

    Args:
        graph: The model.
        nodes: The operators that are drawn, in topological order.
    """
    named = blocks_of([node.name for node in nodes], find_scopes(graph, nodes))
    if len(named.innermost) >= _COVERED_RATIO * len(nodes):
        return named
    layers = frozenset(node.name for node, _ in layer_nodes(graph))
    shaped = blocks_of([node.name for node in nodes], find_sections(nodes, layers), title_of)
    return shaped if len(shaped.innermost) > len(named.innermost) else named


def _module_title(name: str) -> str:
    """Return the last part of a module's name, with the one before where it is only a number."""
    if "/" in name:
        return name.rsplit("/", 1)[1]
    *before, last = name.split(".")
    return f"{before[-1]}.{last}" if before and last.isdigit() else last


def blocks_of(names: Sequence[str], scopes: Sequence[Scope], title: Callable[[str], str] = _module_title) -> Blocks:
    """Return the blocks that scopes make, but none of one operator, of nearly all, or equal to the one around it.

    Args:
        names: Of the nodes.
        scopes: Of each node, outermost first, every part a whole name.
        title: Returns the short name of a part.
    """
    sizes: dict[str, int] = {}
    for scope in scopes:
        for part in dict.fromkeys(scope):
            sizes[part] = sizes.get(part, 0) + 1
    most = _MOST_RATIO * len(names)
    blocks: dict[str, DrawnBlock] = {}
    innermost: dict[str, str] = {}
    for name, scope in zip(names, scopes, strict=True):
        parent: str | None = None
        for part in dict.fromkeys(scope):
            around = sizes[_name(parent)] if parent is not None else 0
            if not _FEWEST <= sizes[part] <= most or sizes[part] == around:
                continue
            id = f"block:{part}"
            blocks.setdefault(id, DrawnBlock(id=id, title=title(part), name=part, parent=parent))
            parent = id
        if parent is not None:
            innermost[name] = parent
    return Blocks(tuple(blocks.values()), innermost)


def _name(id: str) -> str:
    return id.removeprefix("block:")
