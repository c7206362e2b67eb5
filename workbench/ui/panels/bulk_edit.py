"""The bar under the layer table that gives all selected layers one setting, or takes it away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QStackedWidget, QWidget

from workbench.domain.knobs import Knob, Setting
from workbench.ui.models import numbers
from workbench.ui.panels.knob_editor import KnobEditor

_GAP = 8
_RESET_TIP = "Take the layers' own setting away, so that the plan's default shows again"
_NO_LAYER = "Select layers in the table or the graph first"


class BulkEditBar(QWidget):
    """Knob, value, [Set], [Reset]; where it is narrow, the slider goes first, then the count, then [Reset].

    Signals:
        requested: (knob name, setting, or None for "back to the default").

    Attributes:
        foretell: Says what a setting of a knob would come to, while its slider is moved.
    """

    requested = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._knobs: tuple[Knob, ...] = ()
        self.foretell: Callable[[str, Setting], str] = lambda _name, _value: ""
        self._caption = QLabel()
        self._caption.setProperty("role", "muted")
        self._knob = QComboBox()
        self._knob.setAccessibleName("Setting to change")
        self._editors = QStackedWidget()
        self._set = QPushButton("Set")
        self._reset = QPushButton("Reset")
        self._knob.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        for button in (self._set, self._reset):
            # As narrow as their words: in a narrow panel the number beside them must not be cut.
            button.setFixedWidth(button.fontMetrics().horizontalAdvance(button.text()) + 26)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(_GAP)
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
            editor.foretell = partial(self._foretold, knob.name)
            editor.set_value(knob.sweep[0] if knob.sweep else knob.untouched)
            self._editors.addWidget(editor)
            self._knob.addItem(knob.title, knob.name)
        self._fit()

    def set_selected(self, count: int) -> None:
        """Say how many layers an edit reaches; without any, nothing can be set."""
        self._caption.setText(numbers.plural(count, "layer") if count else "No layer")
        for widget in (self._set, self._reset, self._knob, self._editors):
            widget.setEnabled(count > 0)
        self._set.setToolTip("" if count else _NO_LAYER)
        self._reset.setToolTip(_RESET_TIP if count else _NO_LAYER)
        self._knob.setToolTip("" if count else _NO_LAYER)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit, so that nothing is cut."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        pages = map(self._editors.widget, range(self._editors.count()))
        editors = [page for page in pages if isinstance(page, KnobEditor)]
        widest = max((editor.width_without_slider() for editor in editors), default=0)
        room = self.width() - 4 * _GAP - self._knob.sizeHint().width() - widest - self._set.maximumWidth()
        for widget, width in (
            (self._reset, self._reset.maximumWidth()),
            (self._caption, self._caption.sizeHint().width()),
        ):
            room -= width + _GAP
            widget.setVisible(room >= 0)
        for editor in editors:
            editor.show_slider(room + widest >= editor.width_without_slider() + editor.slider_width)

    def _foretold(self, knob: str, value: Setting) -> str:
        return self.foretell(knob, value)

    def _apply(self) -> None:
        editor = self._editors.currentWidget()
        if isinstance(editor, KnobEditor) and editor.value() is not None:
            self._ask(editor.value())

    def _ask(self, value: object) -> None:
        if self._knob.currentData() is not None:
            self.requested.emit(self._knob.currentData(), value)
