"""The inspector's view of a layer's staircase: what is known of it, and the button that measures it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from workbench.domain.knobs import Setting
from workbench.domain.reports import LayerReport
from workbench.domain.staircase import STAIR_TITLES
from workbench.jobs.specs import StaircaseJob
from workbench.ui import staircases
from workbench.ui.models.device_words import device_words
from workbench.ui.models.staircase_view import StaircaseView, resolve_staircase
from workbench.ui.panels.inspector_plots import series_color
from workbench.ui.panels.staircase_plot import StaircasePlot
from workbench.ui.session import Session


class StaircasePanel(QWidget):
    """A layer's time against its width, on the project's device.

    Signals:
        menuAsked: (plot, place within it) of a context menu.
    """

    menuAsked = Signal(object, QPoint)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layer: LayerReport | None = None
        self._settings: dict[str, Setting | None] = {}
        self._asked: object = None
        self._shown: object = None
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.key = QLabel()
        self.key.setTextFormat(Qt.TextFormat.RichText)
        self.key.setWordWrap(True)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setProperty("role", "muted")
        self.measure = QPushButton("Measure this layer")
        self.measure.setToolTip("Time the layer by itself at some twenty channel counts, in float and in integers")
        self.measure_all = QPushButton("All layers")
        self.measure_all.setToolTip("Time every layer of the model; those of the same shape are timed once")
        self.plot: StaircasePlot | None = None
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(8)
        buttons.addWidget(self.measure)
        buttons.addWidget(self.measure_all)
        buttons.addStretch()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        for each in (self.busy, self.key, self.message):
            self._column.addWidget(each)
        self._column.addLayout(buttons)
        self.measure.clicked.connect(self._measure_layer)
        self.measure_all.clicked.connect(lambda: staircases.climb(session))
        session.jobs.jobChanged.connect(self._job_changed)

    def show_layer(self, layer: LayerReport | None, settings: dict[str, Setting | None]) -> None:
        """Show another layer, or the same one after something changed; `settings` are those in force on it."""
        self._layer, self._settings = layer, settings
        self.refresh()

    def refresh(self) -> None:
        """Show what is known, and ask once whether more is."""
        layer, state = self._layer, self._session.state
        if layer is None or not self.isVisible():
            return
        view = resolve_staircase(state, self._session.methods, layer.name, self._settings)
        climbing = staircases.climbing(self._session, layer.name)
        self.busy.setVisible(climbing)
        known = view is not None and bool(view.found.curves or view.found.reason)
        for button in (self.measure, self.measure_all):
            button.setVisible(not known and not climbing)
        if view is not None and known:
            self._show(view)
            return
        self._shown = None
        self.key.hide()
        if self.plot is not None:
            self.plot.hide()
        self._say(
            "Being measured."
            if climbing
            else "How long this layer takes with fewer output channels appears here. Time falls in steps: ratios that "
            f"end on a step are worth their accuracy, others are not. Measuring takes a few seconds a layer"
            f"{device_words(state.latency.device)}."
        )
        self._ask_once()

    def showEvent(self, event: QShowEvent) -> None:
        """Look up what is known."""
        super().showEvent(event)
        self.refresh()

    # --- within -------------------------------------------------------------------------------------------------

    def _show(self, view: StaircaseView) -> None:
        self._say(view.text)
        has_curves = bool(view.found.curves)
        self.key.setVisible(has_curves)
        if self.plot is not None:
            self.plot.setVisible(has_curves)
        if not has_curves:
            return
        shown = (view, self._session.theme.roles)
        if shown == self._shown:
            return
        self._shown = shown
        plot = self._made()
        plot.set_view(view)
        plot.show()
        keys = [
            f'<span style="color:{series_color(place, self._session.theme).name()}">●</span>&nbsp;'
            f"{STAIR_TITLES[curve.form].replace(' ', '&nbsp;')}"
            for place, curve in enumerate(view.found.decisive)
        ]
        self.key.setText(f"{' &nbsp; '.join(keys)} &nbsp; large&nbsp;dots:&nbsp;ends&nbsp;of&nbsp;steps")

    def _made(self) -> StaircasePlot:
        """Return the plot, which is made when there is first something to show."""
        if self.plot is None:
            self.plot = StaircasePlot(self._session.theme)
            self.plot.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            self.plot.customContextMenuRequested.connect(partial(self.menuAsked.emit, self.plot))
            self._column.insertWidget(1, self.plot)
        return self.plot

    def _ask_once(self) -> None:
        """Ask what earlier projects measured, once for each model and way of measuring."""
        state = self._session.state
        way = (None if state.model is None else state.model.sha256, state.latency, tuple(state.dimensions.items()))
        if way != self._asked:
            self._asked = way
            staircases.ask_what_is_known(self._session)

    def _measure_layer(self) -> None:
        if self._layer is not None:
            staircases.climb(self._session, (self._layer.name,))

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), StaircaseJob):
            self.refresh()

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))
