"""The bar under the layer table that gives all selected layers one setting, or takes it away."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QStackedWidget, QWidget

from workbench.domain.knobs import Knob
from workbench.ui.models import numbers
from workbench.ui.panels.knob_editor import KnobEditor


class BulkEditBar(QWidget):
    """Knob, value, [Set], [Reset].

    Signals:
        requested: (knob name, setting, or None for "back to the default").
    """

    requested = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._knobs: tuple[Knob, ...] = ()
        self._caption = QLabel()
        self._caption.setProperty("role", "muted")
        self._knob = QComboBox()
        self._knob.setAccessibleName("Setting to change")
        self._editors = QStackedWidget()
        self._set = QPushButton("Set")
        self._reset = QPushButton("Reset")
        self._reset.setToolTip("Take the layers' own setting away, so that the plan's default shows again")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(8)
        layout.addWidget(self._caption)
        layout.addWidget(self._knob)
        layout.addWidget(self._editors, 1)
        layout.addWidget(self._set)
        layout.addWidget(self._reset)
        self._knob.currentIndexChanged.connect(self._editors.setCurrentIndex)
        self._set.clicked.connect(self._apply)
        self._reset.clicked.connect(lambda: self._ask(None))

    def set_knobs(self, knobs: Sequence[Knob]) -> None:
        """Offer these knobs."""
        if tuple(knobs) == self._knobs:
            return
        self._knobs = tuple(knobs)
        self._knob.clear()
        while (old := self._editors.widget(0)) is not None:
            self._editors.removeWidget(old)
            old.deleteLater()
        for knob in knobs:
            editor = KnobEditor(knob)
            editor.set_value(knob.sweep[0] if knob.sweep else knob.untouched)
            self._editors.addWidget(editor)
            self._knob.addItem(knob.title, knob.name)

    def set_selected(self, count: int) -> None:
        """Say how many layers an edit reaches; without any, nothing can be set."""
        self._caption.setText(numbers.plural(count, "layer") if count else "No layer")
        for widget in (self._set, self._reset, self._knob, self._editors):
            widget.setEnabled(count > 0)
        self._set.setToolTip("" if count else "Select layers in the table or the graph first")

    def _apply(self) -> None:
        editor = self._editors.currentWidget()
        if isinstance(editor, KnobEditor) and editor.value() is not None:
            self._ask(editor.value())

    def _ask(self, value: object) -> None:
        if self._knob.currentData() is not None:
            self.requested.emit(self._knob.currentData(), value)
