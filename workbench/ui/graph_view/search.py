"""The search field of the graph: counts what it finds and goes from hit to hit."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QLineEdit, QWidget

from workbench.ui.graph_view.structure import Structure
from workbench.ui.graph_view.walk import find
from workbench.ui.models import numbers


class SearchField(QLineEdit):
    """Finds nodes of the whole graph, those in closed blocks included.

    Signals:
        hitsChanged: Other nodes are found.
        hitChosen: Id of the node to go to.
    """

    hitsChanged = Signal()
    hitChosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText("Find by name or operator")
        self.setToolTip("Find in the graph (F); Enter goes to the next hit, Shift+Enter to the one before")
        self.setAccessibleName("Find in graph")
        self.setClearButtonEnabled(True)
        self.setMinimumWidth(90)
        self.setMaximumWidth(260)
        self.count = QLabel()
        self.count.setProperty("role", "muted")
        self._whole: Callable[[], Structure] = Structure
        self._structure: Structure | None = None
        self._hits: tuple[str, ...] = ()
        self._hit = -1
        self.textChanged.connect(self._look)
        self.returnPressed.connect(self._go)

    @property
    def hits(self) -> tuple[str, ...]:
        """Ids of what is found."""
        return self._hits

    def set_graph(self, whole: Callable[[], Structure]) -> None:
        """Search another graph.

        Args:
            whole: Makes the structure of the graph with no block closed; called when something is looked for.
        """
        self._whole, self._structure = whole, None
        self._look()

    def _look(self) -> None:
        text = self.text()
        if text.strip() and self._structure is None:
            self._structure = self._whole()
        self._hits = find(self._structure, text) if self._structure is not None else ()
        self._hit = -1
        self.count.setText(numbers.plural(len(self._hits), "hit") if text.strip() else "")
        self.hitsChanged.emit()

    def _go(self) -> None:
        if not self._hits:
            return
        back = bool(QGuiApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
        self._hit = (self._hit + (-1 if back else 1)) % len(self._hits)
        self.count.setText(f"{self._hit + 1} of {len(self._hits)}")
        self.hitChosen.emit(self._hits[self._hit])
