"""Which panels there are, and how they call on one another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from workbench.ui.graph_view.view import GraphView
from workbench.ui.panels.compare import ComparePanel
from workbench.ui.panels.inspector import InspectorPanel
from workbench.ui.panels.jobs import JobsPanel
from workbench.ui.panels.layers import LayersPanel
from workbench.ui.panels.pareto import ParetoPanel
from workbench.ui.panels.recipe import RecipePanel
from workbench.ui.session import Session

if TYPE_CHECKING:
    from workbench.ui.main_window import MainWindow


def make_panels(session: Session, window: MainWindow) -> dict[str, Any]:
    """Return the panels by the names that the layouts use."""
    graph, layers, pareto, compare = (
        GraphView(session),
        LayersPanel(session, window.preferences),
        ParetoPanel(session),
        ComparePanel(session),
    )
    inspector = InspectorPanel(session)
    for panel in (graph, inspector, layers, pareto):
        panel.openRequested.connect(partial(window.actions_.trigger, "model.open"))
    graph.tableRequested.connect(partial(window.bring, "layers"))
    pareto.compareRequested.connect(compare.set_candidates)
    pareto.compareRequested.connect(lambda ids: window.bring("compare"))
    pareto.settingsRequested.connect(lambda id: compare.set_candidates((id,)))
    pareto.settingsRequested.connect(lambda id: window.bring("compare"))
    return {
        "layers": layers,
        "graph": graph,
        "inspector": inspector,
        "pareto": pareto,
        "recipe": RecipePanel(session),
        "jobs": JobsPanel(session),
        "compare": compare,
    }
