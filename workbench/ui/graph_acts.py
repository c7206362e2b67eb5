"""What can be done with the graph from menus, palette and keys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workbench.ui.actions import Act

if TYPE_CHECKING:
    from workbench.ui.graph_view.view import GraphView
    from workbench.ui.main_window import MainWindow

_DEPTHS = (1, 2)


def register_graph_acts(window: MainWindow) -> None:
    """Add opening and closing of blocks to the window's actions."""
    missing = partial(window.session.missing, "model")

    def graph() -> GraphView | None:
        panel: GraphView | None = window.panels.get("graph")
        return panel

    def why_no_fold() -> str | None:
        view = graph()
        return missing() or (None if view is None else view.why_no_fold())

    def why_no_depth(depth: int) -> str | None:
        view = graph()
        if (reason := missing()) is not None or view is None:
            return reason
        return view.folding.why_no_depth(depth)

    def why_not_open() -> str | None:
        view = graph()
        return missing() or (None if view is None or view.folding.closed else "No block is collapsed")

    def do(act: str) -> None:
        window.bring("graph")
        view = window.panels["graph"]
        match act:
            case "fold":
                view.fold()
            case "open":
                view.folding.open_all()
            case _:
                view.folding.close_to(int(act))

    window.actions_.add(
        Act("graph.fold", "Collapse or expand block", partial(do, "fold"),
            "Draw the block around the selected node as one box, or expand the selected block",
            ("Space",), "blocks", why_not=why_no_fold, elsewhere=True)
    )  # fmt: skip
    for depth in _DEPTHS:
        title = f"Collapse all blocks to depth {depth}"
        window.actions_.add(
            Act(f"graph.depth{depth}", title, partial(do, str(depth)), "Draw modules of the model as one box each",
                why_not=partial(why_no_depth, depth))
        )  # fmt: skip
    window.actions_.add(
        Act("graph.unfold", "Expand all blocks", partial(do, "open"), "Draw every operator",
            why_not=why_not_open)
    )  # fmt: skip
