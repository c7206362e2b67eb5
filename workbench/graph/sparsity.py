"""Remembers on a node that its weight was made sparse, so that what follows keeps zeros where they are.

A note in the node's metadata, "pattern target", such as "unstructured 0.5" or "2:4 0.5". Which weights are zero the
weight itself says. The note travels with the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.graph.model import Node

SPARSITY_KEY = "workbench.sparsity"


@dataclass(frozen=True)
class Sparsity:
    """How a weight was made sparse.

    Attributes:
        pattern: "unstructured", "2:4", "1:4" or "block".
        target: Share of zeros that was asked for, 0-1.
    """

    pattern: str
    target: float

    def text(self) -> str:
        """Return the note."""
        return f"{self.pattern} {self.target:g}"


def sparsity_of(node: Node) -> Sparsity | None:
    """Return the note of a node, or None where it has none that can be read."""
    pattern, _, target = node.metadata.get(SPARSITY_KEY, "").partition(" ")
    try:
        share = float(target)
    except ValueError:
        return None
    return Sparsity(pattern, share) if pattern and 0 <= share <= 1 else None
