"""The inspector's view of a layer under the device's roofs: what holds it back, and the button that measures it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from workbench.domain.reports import LayerReport
from workbench.jobs.specs import RooflineJob
from workbench.ui import rooflines
from workbench.ui.models.device_words import device_words
from workbench.ui.models.roofline_view import RooflineView, resolve_roofline
from workbench.ui.panels.roofline_plot import RooflinePlot
from workbench.ui.session import Session


class RooflinePanel(QWidget):
    """All layers of the original, or of the selected candidate, under the roofs of the device, the current one marked.

    Signals:
        menuAsked: (plot, place within it) of a context menu.
    """

    menuAsked = Signal(object, QPoint)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layer: LayerReport | None = None
        self._shown: object = None
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setProperty("role", "muted")
        self.measure = QPushButton()
        self.measure.setToolTip(
            "Measure the device's arithmetic and memory, and the time of every layer: some ten seconds"
        )
        self.plot: RooflinePlot | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._column.addWidget(self.busy)
        self._column.addWidget(self.message)
        self._column.addWidget(self.measure, 0, Qt.AlignmentFlag.AlignLeft)
        self.measure.clicked.connect(self._measure)
        session.jobs.jobChanged.connect(self._job_changed)

    def show_layer(self, layer: LayerReport | None) -> None:
        """Show another layer, or the same one after something changed."""
        self._layer = layer
        self.refresh()

    def refresh(self) -> None:
        """Show what is known."""
        layer, state = self._layer, self._session.state
        if layer is None or not self.isVisible():
            return
        candidate = self._session.candidate()
        view = resolve_roofline(state, layer.name, candidate)
        placing = rooflines.placing(self._session)
        self.busy.setVisible(placing)
        self.measure.setVisible(not placing)
        self.measure.setText("Measure all layers" if view is None else "Measure again")
        if view is not None:
            self._show(view)
            return
        self._shown = None
        self.message.setToolTip("")
        if self.plot is not None:
            self.plot.hide()
        self._say(
            "Being measured."
            if placing
            else "What keeps this layer from being faster appears here: all layers "
            f"{'' if candidate is None else f'of {candidate.name} '}against the most that arithmetic and memory allow, "
            f"as measured{device_words(state.latency.device)}. It takes some ten seconds."
        )

    def showEvent(self, event: QShowEvent) -> None:
        """Show what is known by now."""
        super().showEvent(event)
        self.refresh()

    # --- within -------------------------------------------------------------------------------------------------

    def _show(self, view: RooflineView) -> None:
        self._say(view.text)
        self.message.setToolTip(view.report.noise.reason)
        if self.plot is not None:
            self.plot.setVisible(bool(view.report.known))
        shown = (view, self._session.theme.roles)
        if shown == self._shown or not view.report.known:
            return
        self._shown = shown
        plot = self._made()
        plot.set_view(view)
        plot.show()

    def _made(self) -> RooflinePlot:
        """Return the plot, which is made when there is first something to show."""
        if self.plot is None:
            self.plot = RooflinePlot(self._session.theme)
            self.plot.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            self.plot.customContextMenuRequested.connect(partial(self.menuAsked.emit, self.plot))
            self.plot.layerChosen.connect(lambda layer: self._session.selection.set_layers((layer,)))
            self._column.insertWidget(1, self.plot)
        return self.plot

    def _measure(self) -> None:
        candidate = self._session.candidate()
        layer = None if self._layer is None else resolve_roofline(self._session.state, self._layer.name, candidate)
        rooflines.place_layers(self._session, candidate, renew=layer is not None)

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), RooflineJob):
            self.refresh()

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))
