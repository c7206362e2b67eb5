"""The button above the graph from which blocks are opened and closed, and which tells how many are closed."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QMenu, QToolButton

from workbench.ui.graph_view.canvas import GraphCanvas
from workbench.ui.graph_view.folding import NO_BLOCKS, Folding
from workbench.ui.graph_view.node_menu import add_depths
from workbench.ui.icons import icon
from workbench.ui.theme import Theme


class BlocksButton(QToolButton):
    """Shows a menu of what can be done with blocks.

    Args:
        canvas: Has the current box.
        folding: The state of all blocks.
        fold: Opens or closes the current block.
        theme: For the icon.
    """

    def __init__(self, canvas: GraphCanvas, folding: Folding, fold: Callable[[], None], theme: Theme) -> None:
        super().__init__()
        self._canvas = canvas
        self._folding = folding
        self._do_fold = fold
        self.setIcon(icon("blocks", theme))
        self.setAccessibleName("Blocks")
        self.setAutoRaise(True)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)
        self.refresh()

    def refresh(self) -> None:
        """Tell how many blocks are closed."""
        count = len(self._folding.closed)
        tip = f"Blocks: collapse and expand parts of the graph (Space); {count} collapsed"
        self.setToolTip(tip if self._folding.depth else NO_BLOCKS)

    def why_no_fold(self) -> str | None:
        """Return why there is nothing to collapse or expand, or None."""
        if not self._folding.depth:
            return NO_BLOCKS
        current = self._canvas.current
        if current is None:
            return "Select a node or block of the graph first"
        if current not in self._folding.closed and self._folding.around(current) is None:
            return "The selected node lies in no block"
        return None

    def _fill(self) -> None:
        menu = self.menu()
        menu.clear()
        reason = self.why_no_fold()
        opens = self._canvas.current in self._folding.closed
        action = menu.addAction("Expand block\tSpace" if opens else "Collapse block\tSpace", self._do_fold)
        action.setEnabled(reason is None)
        action.setToolTip(reason or "")
        menu.addSeparator()
        add_depths(menu, self._folding)
