"""The Pareto panel: what was measured, drawn as cost against metric, above the same candidates as a table."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from workbench.ui.panels.empty_state import EmptyState
from workbench.ui.session import Session


class ParetoPanel(QWidget):
    """Plot and table of the candidates."""

    title = "Pareto"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._empty = EmptyState()
        self._empty.show_message("Nothing measured yet", "Candidates appear here as points once they are measured.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._empty)
