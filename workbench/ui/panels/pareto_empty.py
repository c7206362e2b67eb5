"""What the Pareto panel says while there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from workbench.jobs.specs import EvaluateJob
from workbench.ui.originals import measure_original
from workbench.ui.panels.empty_state import Pages
from workbench.ui.session import Session


def show_empty(session: Session, pages: Pages, open_model: Callable[[], object]) -> None:
    """Say what will appear, with the button that makes it appear."""
    if session.state.inspect is None:
        pages.show_empty(
            "No model yet",
            "Every candidate becomes a point here: its metric against its latency, size or MACs, all measured on "
            "the exported file. Open an .onnx file first.",
            "Open model…",
            open_model,
        )
        return
    running = any(isinstance(session.jobs.spec(record.id), EvaluateJob) for record in session.jobs.active)
    pages.show_empty(
        "Nothing measured yet",
        "The original is the first point; every candidate you run becomes another one, with 95 % intervals.",
        "Measure the original",
        partial(measure_original, session),
        blocked="The original is being measured" if running else session.missing("model", "data"),
    )
