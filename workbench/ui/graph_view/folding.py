"""Which blocks are closed, and the drawing that is left: small ones are placed here, large ones elsewhere."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from workbench.domain.errors import WorkbenchError
from workbench.domain.reports import Drawing
from workbench.graph.collapse import BlockTree, collapsed
from workbench.jobs.specs import DrawJob
from workbench.ui.bridge import JobsBridge

# Placing a box takes about 0.1 ms; more than this many would hold the window up for longer than 50 ms.
MOST_BOXES = 300
_BOXES_AT_FIRST = 100
NO_BLOCKS = "Neither names nor data flow divide this model into blocks"
_PLACEMENT = "workbench.graph.placement"


@dataclass(frozen=True)
class Focus:
    """Where the eye shall be after blocks were opened or closed.

    Attributes:
        id: Node or block to keep in place; None to look at everything.
        approach: Fly to it, because it was hidden before.
    """

    id: str | None = None
    approach: bool = False


class Folding(QObject):
    """The state of all blocks; large graphs begin with blocks closed, or nothing could be seen in them.

    Signals:
        changed: (Focus) the drawing is another one.
    """

    changed = Signal(object)

    def __init__(
        self, jobs: JobsBridge, report: Callable[[WorkbenchError], object], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._report = report
        self._tree: BlockTree | None = None
        self._closed: frozenset[str] = frozenset()
        self._drawing: Drawing | None = None
        self._wanted: frozenset[str] | None = None
        self._shown: frozenset[str] = frozenset()

    @property
    def tree(self) -> BlockTree | None:
        """The blocks of the whole graph; None without a graph."""
        return self._tree

    @property
    def drawing(self) -> Drawing | None:
        """The graph as it is shown; None without a graph, and while a large one is placed for the first time."""
        return self._drawing

    @property
    def closed(self) -> frozenset[str]:
        """The blocks that are closed in `drawing`."""
        return self._shown

    @property
    def depth(self) -> int:
        """How many blocks lie within each other at most; 0 for a graph without blocks."""
        return 0 if self._tree is None else max(self._tree.depth.values(), default=0)

    def set_drawing(self, drawing: Drawing | None) -> None:
        """Begin with another graph; `changed` follows only where its blocks are placed elsewhere."""
        self._tree = None if drawing is None else BlockTree(drawing)
        self._drawing, self._closed, self._shown, self._wanted = drawing, frozenset(), frozenset(), None
        if self._tree is not None and drawing is not None and self.depth:
            if len(drawing.nodes) > MOST_BOXES:
                closed = self._tree.at_first(_BOXES_AT_FIRST)
                self._drawing = None
                self._close(closed, Focus(), announce=False)
            elif not _ready():
                threading.Thread(target=importlib.import_module, args=(_PLACEMENT,), daemon=True).start()

    # --- what can be done ---------------------------------------------------------------------------------------

    def fold(self, id: str, *, outer: bool = False) -> None:
        """Open a closed block; for anything else close the innermost block around it.

        Args:
            id: Of a node or block that is shown.
            outer: Close the block around even where `id` is a closed block.
        """
        if id in self._closed and not outer:
            self.open(id)
        elif (around := self.around(id)) is not None:
            self.close(around)

    def around(self, id: str) -> str | None:
        """Return the innermost block around a node or block, or None."""
        found = () if self._tree is None else self._tree.around(id)
        return found[0] if found else None

    def open(self, id: str) -> None:
        """Open one block; blocks within it stay as they were."""
        self._close(self._closed - {id}, Focus(id))

    def close(self, id: str) -> None:
        """Close one block."""
        self._close(self._closed | {id}, Focus(id))

    def close_to(self, depth: int) -> None:
        """Close all blocks at `depth`, from 1, and those within them."""
        if self._tree is not None:
            self._close(self._tree.to_depth(depth), Focus())

    def open_all(self) -> None:
        """Open every block."""
        self._close(frozenset(), Focus())

    def reveal(self, id: str) -> None:
        """Open all that hides a node and go there; silent where nothing does."""
        if self._tree is not None and not self._closed.isdisjoint(self._tree.around(id)):
            self._close(self._closed.difference(self._tree.around(id)), Focus(id, approach=True))

    def why_no_depth(self, depth: int) -> str | None:
        """Return why there is nothing to close at a depth, or None."""
        if not self.depth:
            return NO_BLOCKS
        return None if self.depth >= depth else f"No block of this model lies {depth} deep"

    # --- within -------------------------------------------------------------------------------------------------

    def _close(self, closed: frozenset[str], focus: Focus, *, announce: bool = True) -> None:
        tree = self._tree
        if tree is None or (closed == self._closed and self._drawing is not None and closed == self._shown):
            return
        self._closed = closed
        self._wanted = None
        if not closed or (_ready() and tree.boxes(closed) <= MOST_BOXES):
            self._show(collapsed(tree, closed), closed, focus, announce=announce)
            return
        self._wanted = closed
        self._jobs.submit(
            DrawJob(drawing=tree.drawing, closed=tuple(sorted(closed))),
            "Draw the graph",
            "interactive",
            on_result=lambda payload: self._placed(payload, tree, closed, focus),
            on_failed=lambda error: self._not_placed(error, tree, closed),
        )

    def _placed(self, payload: dict[str, object], tree: BlockTree, closed: frozenset[str], focus: Focus) -> None:
        if tree is self._tree and closed == self._wanted:
            self._wanted = None
            self._show(Drawing.model_validate(payload), closed, focus)

    def _not_placed(self, error: WorkbenchError, tree: BlockTree, closed: frozenset[str]) -> None:
        """Stay with what is shown, so that the next wish starts from there; at first that is the whole graph."""
        self._report(error)
        if tree is self._tree and closed == self._wanted:
            self._wanted = None
            self._closed = self._shown
            if self._drawing is None:
                self._show(tree.drawing, frozenset(), Focus())

    def _show(self, drawing: Drawing, closed: frozenset[str], focus: Focus, *, announce: bool = True) -> None:
        self._drawing, self._shown = drawing, closed
        if announce:
            self.changed.emit(focus)


def landmark(tree: BlockTree, id: str, before: Collection[str], after: Collection[str]) -> tuple[str, str] | None:
    """Return which box of the picture before, and which of the one after, stand for a node or block.

    Args:
        tree: The blocks.
        id: Of the node or block.
        before: The blocks that were closed.
        after: The blocks that are closed.
    """
    members = tree.members.get(id, (id,))
    if not members:
        return None
    owners_before, owners_after = tree.owners(before), tree.owners(after)
    first = members[0]
    return owners_before.get(first, first), owners_after.get(first, first)


def _ready() -> bool:
    """Whether placing can begin at once; loading its engine would hold the window up once."""
    return hasattr(sys.modules.get(_PLACEMENT), "place")
