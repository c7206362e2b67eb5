"""One step of the recipe as a card: switch, title, warnings, and its parameters when it is opened."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QMouseEvent
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFrame,
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
)

from workbench.ui.icons import icon
from workbench.ui.models.recipe_steps import StepView
from workbench.ui.panels.elided import ElidedLabel
from workbench.ui.panels.parameter_form import ParameterForm
from workbench.ui.theme import Theme

_GRIP = 12
_INDENT = 30 + _GRIP
"""Where a title begins, right of the switch."""


class StepRow(QFrame):
    """A step with its controls.

    Signals:
        enabledChanged: The step was switched on or off.
        moveRequested: -1 up, 1 down.
        removeRequested, duplicateRequested: From the step's menu.
        parametersChanged: The parameters that differ from their defaults.
        toggled: The card was opened or closed.
        dragStarted: The head was pressed and moved.
        remedyRequested: What mends the thing that a warning says is to be done.
    """

    enabledChanged = Signal(bool)
    moveRequested = Signal(int)
    removeRequested = Signal()
    duplicateRequested = Signal()
    parametersChanged = Signal(dict)
    toggled = Signal(bool)
    dragStarted = Signal()
    remedyRequested = Signal(object)

    def __init__(self, number: int, view: StepView, theme: Theme, *, last: bool, opened: bool) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.view = view
        self._last = last
        self._theme = theme
        self._pressed: QPoint | None = None
        self._fade = QGraphicsOpacityEffect(self)
        self._fade.setOpacity(0.4)
        self._fade.setEnabled(False)
        self.setGraphicsEffect(self._fade)
        self.form: ParameterForm | None = None
        self.grip = QLabel()
        self.grip.setPixmap(icon("grip", theme, "muted").pixmap(_GRIP, 16))
        self.grip.setCursor(Qt.CursorShape.OpenHandCursor)
        self.grip.setToolTip("Drag to another place in the recipe; Alt+Up and Alt+Down move the step, too")
        self.switch = QCheckBox()
        self.switch.setChecked(view.step.enabled)
        self.switch.setToolTip("Whether this step runs")
        self.switch.setAccessibleName(f"Run step {number}")
        self.switch.toggled.connect(self.enabledChanged)
        title = ElidedLabel()
        title.setProperty("role", "title" if view.step.enabled else "muted")
        about = () if view.schema is None else (view.schema.summary, view.schema.source, view.schema.id)
        title.set_full(f"{number}  {view.title}", "\n".join(part for part in about if part))
        self.summary = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.summary.setProperty("role", "muted")
        self.summary.setContentsMargins(_INDENT, 0, 8, 4)
        self.open = QToolButton()
        self.open.setAutoRaise(True)
        self.open.setCheckable(True)
        self.open.setChecked(opened)
        self.open.setIcon(icon("settings", theme))
        self.open.setToolTip("Show the parameters")
        self.open.setEnabled(view.schema is not None)
        self.open.toggled.connect(self._set_opened)
        head = QHBoxLayout()
        head.setContentsMargins(4, 4, 4, 4)
        head.setSpacing(4)
        head.addWidget(self.grip)
        head.addWidget(self.switch)
        head.addWidget(title, 1)
        head.addWidget(self.open)
        self.more = QToolButton()
        self.more.setAutoRaise(True)
        self.more.setText("\N{VERTICAL ELLIPSIS}")
        self.more.setToolTip("Move, duplicate or remove this step")
        self.more.setAccessibleName(f"Menu of step {number}")
        self.more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(self._menu(number, last=last))
        head.addWidget(self.more)
        self._controls = (self.switch, self.open, self.more)
        self._body = QVBoxLayout(self)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(0)
        self._body.addLayout(head)
        self._body.addWidget(self.summary)
        for warning in view.warnings:
            label = QLabel(warning)
            label.setWordWrap(True)
            label.setProperty("role", "warning")
            label.setContentsMargins(_INDENT, 0, 8, 4)
            self._body.addWidget(label)
        self.remedy: QPushButton | None = None
        if view.remedy is not None:
            self.remedy = QPushButton(view.remedy.title)
            self.remedy.setToolTip(view.remedy.tooltip)
            self.remedy.clicked.connect(partial(self.remedyRequested.emit, view.remedy))
            row = QHBoxLayout()
            row.setContentsMargins(_INDENT, 0, 8, 6)
            row.addWidget(self.remedy)
            row.addStretch()
            self._body.addLayout(row)
        self._show_summary()
        if opened:
            self._set_opened(True)

    def set_view(self, view: StepView) -> None:
        """Take over another snapshot of the same step, and keep the editors that made it so."""
        self.view = view
        self._show_summary()

    def shows(self, view: StepView, *, last: bool, opened: bool) -> bool:
        """Whether the card is just as a new one in its place would be."""
        return (self.view, self._last, self.open.isChecked()) == (view, last, opened)

    def focused_control(self) -> int | None:
        """Return which of its controls has the keyboard, for `focus_control` of the card that replaces it."""
        return next((place for place, control in enumerate(self._controls) if control.hasFocus()), None)

    def focus_control(self, place: int) -> None:
        """Give the keyboard to the control at this place, or to the switch where that one is off."""
        control = self._controls[place]
        (control if control.isEnabled() else self.switch).setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def head_height(self) -> int:
        """How high the line with the title is, without what may stand below it."""
        return self.more.geometry().bottom() + 5

    def set_faded(self, on: bool) -> None:
        """Show the card pale while its picture is dragged."""
        self._fade.setEnabled(on)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Remember where a drag may begin: anywhere on the head, which its labels leave to the card."""
        place = event.position().toPoint()
        on_form = self.form is not None and self.form.isVisible() and self.form.geometry().contains(place)
        self._pressed = place if event.button() == Qt.MouseButton.LeftButton and not on_form else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Begin to drag once the pointer is far enough from where it was pressed."""
        start = self._pressed
        if start is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        if (event.position().toPoint() - start).manhattanLength() >= QApplication.startDragDistance():
            self._pressed = None
            self.dragStarted.emit()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Forget where the mouse was pressed."""
        self._pressed = None

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer the step's menu everywhere on the card."""
        self.more.menu().popup(event.globalPos())

    def _menu(self, number: int, *, last: bool) -> QMenu:
        menu = QMenu(self)
        up = menu.addAction(icon("up", self._theme), "Move up\tAlt+Up", lambda: self.moveRequested.emit(-1))
        up.setEnabled(number > 1)
        down = menu.addAction(icon("down", self._theme), "Move down\tAlt+Down", lambda: self.moveRequested.emit(1))
        down.setEnabled(not last)
        menu.addAction(icon("copy", self._theme), "Duplicate", self.duplicateRequested.emit)
        menu.addSeparator()
        menu.addAction(icon("delete", self._theme), "Remove", self.removeRequested.emit)
        return menu

    def _show_summary(self) -> None:
        """Say which parameters differ from their defaults, while the form that shows them is closed."""
        text = _summary(self.view.step.parameters)
        self.summary.set_full(text)
        self.summary.setVisible(bool(text) and not self.open.isChecked())

    def _set_opened(self, opened: bool) -> None:
        if opened and self.form is None and self.view.schema is not None:
            self.form = ParameterForm(self.view.schema.json_schema, self.view.step.parameters)
            self.form.edited.connect(self.parametersChanged)
            self._body.addWidget(self.form)
        if self.form is not None:
            self.form.setVisible(opened)
        self.open.setToolTip("Hide the parameters" if opened else "Show the parameters")
        self._show_summary()
        self.toggled.emit(opened)


def _summary(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in parameters.items())
