"""The line at the top: where the job stands, what to do next, Run, and the jobs at work."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from workbench.jobs.specs import ListMethodsJob
from workbench.project.state import Change
from workbench.ui.actions import Actions
from workbench.ui.icons import icon
from workbench.ui.models import numbers
from workbench.ui.session import Session
from workbench.ui.steps import NAMES, StepState, StepView, resolve_steps

_DOT = 12


class StepBar(QWidget):
    """Seven steps, the Run button and the jobs indicator.

    Signals:
        stepRequested: Name of the step that was clicked.
        jobsRequested: The indicator was clicked.
    """

    stepRequested = Signal(str)
    jobsRequested = Signal()

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setObjectName("stepBar")
        self.buttons = {name: _StepButton(session) for name in NAMES}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(0)
        for index, (name, button) in enumerate(self.buttons.items()):
            if index:
                layout.addWidget(_Line(session))
            button.clicked.connect(lambda checked=False, name=name: self.stepRequested.emit(name))
            layout.addWidget(button)
        layout.addStretch(1)
        self.jobs = _JobsIndicator(session)
        self.jobs.clicked.connect(self.jobsRequested)
        layout.addWidget(self.jobs)
        layout.addSpacing(8)
        self.run = QToolButton()
        self.run.setObjectName("runButton")
        self.run.setProperty("role", "primary")
        self.run.setDefaultAction(actions.action("compress.run"))
        self._run_icon = icon("run", session.theme, "on_accent")
        actions.action("compress.run").changed.connect(self._keep_run_icon)
        self._keep_run_icon()
        self.run.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        layout.addWidget(self.run)
        session.documentChanged.connect(self._document_changed)
        session.jobs.jobChanged.connect(self.refresh)
        session.theme.themeChanged.connect(self.update)
        self.refresh()

    def refresh(self) -> None:
        """Show the project's steps and jobs as they are now."""
        bridge = self._session.jobs
        active = bridge.active
        views = resolve_steps(self._session.state, [(record, bridge.spec(record.id)) for record in active])
        for view in views:
            self.buttons[view.name].show_step(view)
        self.jobs.refresh()

    def _document_changed(self, change: Change) -> None:
        self.refresh()

    def _keep_run_icon(self) -> None:
        """Undo the button's habit of taking its action's icon, which has the colour of menus."""
        self.run.setIcon(self._run_icon)


class _StepButton(QToolButton):
    """A dot that says how far the step is, and its name."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._theme = session.theme
        self._state: StepState = "open"
        self.setAutoRaise(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    @property
    def state(self) -> StepState:
        """How far the step is."""
        return self._state

    def show_step(self, view: StepView) -> None:
        """Show a step."""
        if self.text() != view.name or self._state != view.state:
            self.setText(view.name)
            self._state = view.state
            self.setAccessibleName(f"{view.name}: {view.state}")
            self.updateGeometry()
            self.update()
        self.setToolTip(view.tip)

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.text()) + _DOT + 22, metrics.height() + 10)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = self._theme
        if self.underMouse() or self.hasFocus():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("hover"))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        dot = QRectF(8, (self.height() - _DOT) / 2, _DOT, _DOT).adjusted(1, 1, -1, -1)
        _paint_dot(painter, dot, self._state, theme.color(_DOT_ROLES[self._state]), theme.color("window"))
        painter.setPen(theme.color("text" if self._state in ("done", "next", "working") else "muted"))
        font = self.font()
        font.setBold(self._state == "next")
        painter.setFont(font)
        text = QRectF(8 + _DOT + 5, 0, self.width(), self.height())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.text())


_DOT_ROLES: dict[StepState, str] = {
    "done": "accent",
    "stale": "warning",
    "working": "accent",
    "next": "accent",
    "open": "faint",
}


def _paint_dot(painter: QPainter, dot: QRectF, state: StepState, color: QColor, back: QColor) -> None:
    """Draw done as a disc with a tick, stale and working as half discs, next as a ring with a core, open as a ring."""
    painter.setPen(QPen(color, 1.5))
    painter.setBrush(color if state == "done" else back)
    painter.drawEllipse(dot)
    if state == "done":
        painter.setPen(QPen(back, 1.5))
        x, y, side = dot.x(), dot.y(), dot.width()
        points = [QPointF(x + side * u, y + side * v) for u, v in ((0.26, 0.53), (0.43, 0.7), (0.75, 0.33))]
        painter.drawPolyline(points)
        return
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    if state in ("stale", "working"):
        painter.drawPie(dot, 90 * 16 if state == "stale" else -90 * 16, 180 * 16)
    elif state == "next":
        painter.drawEllipse(dot.adjusted(3, 3, -3, -3))


class _Line(QWidget):
    """The thin line between two steps."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._theme = session.theme
        self.setFixedWidth(12)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QPen(self._theme.color("border"), 1))
        middle = self.height() / 2
        painter.drawLine(QPointF(0, middle), QPointF(self.width(), middle))


class _Bar(QWidget):
    """How far a job is; Qt's own bar has the whole window paint at once whenever it moves."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._theme = session.theme
        self._fraction = 0.0
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedSize(64, 6)

    def show_fraction(self, fraction: float) -> None:
        """Fill it as far."""
        if fraction != self._fraction:
            self._fraction = fraction
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(self.rect())
        for role, width in (("border", 1.0), ("accent", min(max(self._fraction, 0.0), 1.0))):
            painter.setBrush(self._theme.color(role))
            painter.drawRoundedRect(QRectF(0, 0, whole.width() * width, whole.height()), 3, 3)


class _JobsIndicator(QToolButton):
    """How many jobs work or wait, and how far the first one is; hidden while there are none."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setAutoRaise(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(8, 2, 8, 2)
        row.setSpacing(8)
        self.label = QLabel()
        self.label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.bar = _Bar(session)
        row.addWidget(self.label)
        row.addWidget(self.bar)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return self._row.sizeHint()

    def refresh(self) -> None:
        """Show the jobs as they are now."""
        bridge = self._session.jobs
        active = [record for record in bridge.active if not isinstance(bridge.spec(record.id), ListMethodsJob)]
        self.setVisible(bool(active))
        if not active:
            return
        first = next((record for record in active if record.state == "running" and record.lane == "batch"), active[0])
        self.label.setText(f"{numbers.plural(len(active), 'job')}  {first.fraction * 100:.0f}\N{NO-BREAK SPACE}%")
        self.bar.show_fraction(first.fraction)
        left = "" if first.seconds_left is None else f", {numbers.duration_text(first.seconds_left)} left"
        self.setToolTip(
            "\n".join([f"{first.title}: {first.text or first.state}{left}", *(r.title for r in active[1:])])
        )
        self.setAccessibleName(self.label.text())
