"""Draws a project's Pareto front into a file without a window, so that scripts and the demo can show it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

from workbench.domain.errors import ProjectError, StorageError, WorkbenchError
from workbench.project.document import Document
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import AXES, resolve_candidates
from workbench.ui.models.pareto_scene import resolve_scene
from workbench.ui.panels.pareto_legend import MarkLegend
from workbench.ui.panels.pareto_plot import ParetoPlot
from workbench.ui.theme import Theme, title_font

WIDTH, HEIGHT = 1200, 750


def render_front(state: ProjectState, path: Path, theme: Theme) -> None:
    """Write the front as a PNG of 1200x750 pixels, each candidate named beside its point.

    Raises:
        ProjectError: nothing in the project was measured.
        StorageError: the file can't be written.
    """
    table = resolve_candidates(state)
    # Latency where it was measured; recipes may leave it out.
    axis = max(AXES, key=lambda axis: len(resolve_scene(table, axis).marks))
    scene = resolve_scene(table, axis)
    if not scene.marks:
        raise ProjectError(
            "nothing is measured in this project", action="Measure the original or run a recipe, then draw again."
        )
    page = QWidget()
    page.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    page.setFixedSize(WIDTH, HEIGHT)
    page.setStyleSheet(f"background: {theme.roles.base}; color: {theme.roles.text};")
    model = "" if state.model is None else f"{Path(state.model.path).name}: "
    what = axis.title if axis.key == "macs" else axis.title.lower()
    title = QLabel(f"{model}{numbers.metric_title(table.metric).lower()} against {what}")
    title.setFont(title_font())
    plot = ParetoPlot(theme)
    plot.marks.most_label_gaps = 4
    legend = MarkLegend(theme)
    legend.set_kinds(scene.kinds, stars=any(mark.star for mark in scene.marks))
    note = QLabel("Every point is an exported file that was itself measured; bars are 95 % intervals.")
    note.setStyleSheet(f"color: {theme.roles.muted};")
    layout = QVBoxLayout(page)
    layout.setContentsMargins(24, 20, 24, 16)
    layout.setSpacing(8)
    layout.addWidget(title)
    layout.addWidget(legend)
    layout.addWidget(plot, 1)
    layout.addWidget(note)
    page.show()
    plot.set_scene(scene)
    # Axes make room for their labels in the event loop only.
    QApplication.processEvents()
    picture = page.grab()
    page.close()
    page.deleteLater()
    if not picture.save(str(path), "PNG"):
        raise StorageError(
            f"Can't write {path.name}", where=str(path.parent), action="Choose another folder or free some space."
        )


def draw_front(project: Path, out: Path) -> int:
    """Open a project, draw its front and return the process's exit status; a fault is one line on standard error."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application = QApplication.instance() or QApplication([])
    theme = Theme("light")
    if isinstance(application, QApplication):
        theme.apply(application)
    try:
        with Document.open(project) as document:
            render_front(document.state, out, theme)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0
