"""Unfolds what a layer reads into the rows that its weight's matrices multiply, by the weight's layout."""

from __future__ import annotations

from workbench.api import LayerRows, Node

from .layout import Layout


class Patches(LayerRows):
    """Rows (groups, positions, columns), with the columns of `layout`: rows · matrix^T is the output, bias aside.

    Args:
        node: The layer.
        layout: Of its weight.
    """

    def __init__(self, node: Node, layout: Layout) -> None:
        super().__init__(node, layout.kernel, layout.groups)
