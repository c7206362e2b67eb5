"""The current layer's plots as tabs: sensitivity, weights, channels, stairs, roof; a worker reads weights."""

from __future__ import annotations

import html
from collections import OrderedDict
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import QLabel, QMenu, QProgressBar, QPushButton, QTabBar, QToolButton, QVBoxLayout, QWidget

from workbench.domain.errors import WorkbenchError
from workbench.domain.knobs import PRUNE_RATIO
from workbench.domain.reports import LayerDetail, LayerReport
from workbench.jobs.specs import SweepJob
from workbench.ui.models import numbers
from workbench.ui.models.inspector_view import Inspection
from workbench.ui.models.layer_curves import Chart, measurable, resolve_curves
from workbench.ui.panels.export import ask_path, copy_picture, copy_text, save_picture, save_text
from workbench.ui.panels.inspector_levels import LevelsView
from workbench.ui.panels.inspector_plots import SmallPlot, series_color
from workbench.ui.panels.inspector_roofline import RooflinePanel
from workbench.ui.panels.inspector_stack import PlotStack
from workbench.ui.panels.inspector_staircase import StaircasePanel
from workbench.ui.panels.layer_menu import replace_menu, sweep_menu
from workbench.ui.session import Session

SENSITIVITY, WEIGHTS, CHANNELS, IMPORTANCE, LEVELS, STAIRCASE, ROOFLINE = range(7)
_SETTLE_MS = 120
_MOST_DETAILS = 512


class LayerTabs(QWidget):
    """The current layer's plots."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layer: LayerReport | None = None
        self._inspection = Inspection()
        self._shown: object = None
        self._details: OrderedDict[tuple[str, str], LayerDetail | WorkbenchError] = OrderedDict()
        self._pending: set[tuple[str, str]] = set()
        self.tabs = QTabBar()
        self.tabs.setProperty("role", "dense")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        # Seven words need more room than a narrow panel has; cut to a letter each they would say nothing.
        self.tabs.setUsesScrollButtons(True)
        self.tabs.setElideMode(Qt.TextElideMode.ElideNone)
        for title, tip in (
            ("Sensitivity", "How much the metric loses when one setting of this layer changes"),
            ("Weights", "How the layer's weights are spread"),
            ("Channels", "How much each output channel weighs"),
            ("Cut", "How the selected candidate's pruning ranked the channels, and where it cut"),
            ("Levels", "Weights and inputs before and after they are quantized, with levels and clip range"),
            ("Stairs", "How long the layer takes with fewer output channels: which ratios are worth it"),
            ("Roof", "What keeps the layer from being faster on this device: arithmetic or memory"),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(title), tip)
        self.tabs.setTabVisible(IMPORTANCE, False)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setProperty("role", "muted")
        self.measure = QPushButton("Measure this layer")
        self.measure.clicked.connect(self.measure_layer)
        self.more = QToolButton()
        self.more.setText("Measure…")
        self.more.setToolTip("Measure one setting with the method of your choice")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.stack = PlotStack(session.theme)
        self.levels = LevelsView(session)
        self.levels.hide()
        self.staircase = StaircasePanel(session)
        self.staircase.hide()
        self.roofline = RooflinePanel(session)
        self.roofline.hide()
        self._offered: object = None
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(8)
        outer.addWidget(self.tabs)
        outer.addWidget(self.busy)
        outer.addWidget(self.message)
        outer.addWidget(self.stack)
        outer.addWidget(self.levels)
        outer.addWidget(self.staircase)
        outer.addWidget(self.roofline)
        outer.addWidget(self.measure, 0, Qt.AlignmentFlag.AlignLeft)
        outer.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self._read_weights)
        self.tabs.currentChanged.connect(self._tab_chosen)
        self.stack.menuAsked.connect(self._menu)
        self.levels.menuAsked.connect(self._menu)
        self.staircase.menuAsked.connect(self._menu)
        self.roofline.menuAsked.connect(self._menu)
        session.jobs.jobChanged.connect(self._job_changed)

    @property
    def plots(self) -> list[SmallPlot]:
        """The plots that are shown."""
        made = (self.levels.plot, self.staircase.plot, self.roofline.plot)
        own = [plot for plot in made if plot is not None and plot.isVisibleTo(self)]
        return own or self.stack.plots

    def show_layer(self, inspection: Inspection) -> None:
        """Show the plots of the snapshot's current layer."""
        report = self._session.state.inspect
        layers = () if report is None else report.layers
        self._inspection = inspection
        self._layer = next((layer for layer in layers if layer.name == inspection.current), None)
        self.setVisible(self._layer is not None)
        if not inspection.ranked and self.tabs.currentIndex() == IMPORTANCE:
            # Hidden, it would hand over to a tab whose weights a worker has to read first.
            self.tabs.setCurrentIndex(SENSITIVITY)
        self.tabs.setTabVisible(IMPORTANCE, inspection.ranked)
        self._refresh()

    def measure_layer(self) -> None:
        """Measure every setting of the current layer, each with the method that is usual for it."""
        if self._layer is not None:
            for method, knob in measurable(self._layer, self._session.knobs, self._session.methods):
                self._session.sweep(method, knob, layers=(self._layer.name,))

    def ask_export(self, plot: SmallPlot) -> None:
        """Ask where to, then write a plot as picture or table, by the name's ending."""
        name = f"{self._inspection.heading} {self.tabs.tabText(self.tabs.currentIndex()).lower()}.png"
        kinds = "PNG (*.png);;SVG (*.svg);;CSV (*.csv)"
        ask_path(self, "Export plot", name.replace("/", "_"), kinds, partial(self.export, plot))

    def export(self, plot: SmallPlot, path: Path) -> None:
        """Write a plot as .png, .svg or .csv."""
        if path.suffix.lower() == ".csv":
            save_text(self._session, path, plot.to_csv())
        else:
            save_picture(self._session, path, plot)

    # --- within -------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        self.more.hide()
        self.measure.hide()
        self.busy.hide()
        tab = self.tabs.currentIndex()
        looked_at = tab in (LEVELS, STAIRCASE, ROOFLINE)
        self.levels.setVisible(tab == LEVELS)
        self.staircase.setVisible(tab == STAIRCASE)
        self.roofline.setVisible(tab == ROOFLINE)
        self.message.setVisible(not looked_at and bool(self.message.text()))
        self.levels.show_layer(self._layer)
        settings = {view.knob.name: view.value for view in self._inspection.knobs if view.reason is None}
        self.staircase.show_layer(self._layer, settings)
        self.roofline.show_layer(self._layer)
        if self._layer is None:
            return
        if looked_at:
            self._show_nothing()
        elif tab == SENSITIVITY:
            self._show_curves(self._layer)
        elif tab == IMPORTANCE:
            self._show_importance()
        else:
            self._show_weights(self._layer)

    def _show_curves(self, layer: LayerReport) -> None:
        session = self._session
        settings = [(view.knob.name, view.value) for view in self._inspection.knobs if view.reason is None]
        charts = resolve_curves(session.state, session.knobs, layer.name, settings)
        running = self._sweeps(layer.name)
        pairs = measurable(layer, session.knobs, session.methods)
        blocked = session.missing("model", "data", "methods")
        self.busy.setVisible(running)
        if charts:
            self._say("")
            self.more.setVisible(True)
            offered = (layer.name, session.knobs, session.methods, blocked)
            if offered != self._offered:
                self._offered = offered
                replace_menu(self.more, sweep_menu(session, (layer.name,), self.more))
        elif running:
            self._say("Being measured. Each value appears as soon as it is known.")
        else:
            self._say(
                "How much accuracy this layer costs at each setting appears here, measured on the test data with "
                "everything else untouched."
                if pairs or blocked
                else "No installed method has a setting that could be measured on this layer."
            )
            self.measure.setVisible(bool(pairs or blocked))
            self.measure.setEnabled(blocked is None)
            titles = [knob.title for knob in session.knobs if knob.name in {name for _, name in pairs}]
            self.measure.setToolTip(blocked or f"Measure {', '.join(titles)}, each with its usual values")
            if blocked:
                self._say(f"{self.message.text()} {blocked}.")
        if self._changed((charts, session.methods)):
            self.stack.show_charts([(chart, _caption(chart, session)) for chart in charts])

    def _show_importance(self) -> None:
        if not self._inspection.importance:
            self._show_nothing()
            self._say(f"{self._inspection.candidate} ranked no channels of this layer.")
            return
        last = self._inspection.importance[-1]
        title = next((method.title for method in self._session.methods if method.id == last.method), last.method)
        self._say(f"{title} in {self._inspection.candidate}: {numbers.plural(last.units, 'unit')} ranked.")
        if self._changed(("importance", last)):
            self.stack.show_importance(last)

    def _show_weights(self, layer: LayerReport) -> None:
        key = self._key(layer.name)
        detail = self._details.get(key)
        tab = self.tabs.currentIndex()
        if detail is None:
            self._show_nothing()
            self.busy.show()
            self._say("Reading the weights…")
            self._timer.start()
            return
        if isinstance(detail, WorkbenchError):
            self._show_nothing()
            self._say(str(detail), "error")
            return
        pruned = next((view.value for view in self._inspection.knobs if view.knob.name == PRUNE_RATIO.name), None)
        if tab == CHANNELS and not detail.channel_l1:
            self._show_nothing()
            self._say(f"The weight of {layer.op} has no axis of output channels.")
            return
        share = float(pruned) if isinstance(pruned, (int, float)) else None
        if tab == WEIGHTS:
            self._say(_statistics(detail))
            if self._changed(("weights", detail)):
                self.stack.show_histogram(detail)
        else:
            norms = detail.channel_l1
            self._say(
                f"{numbers.plural(len(norms), 'channel')}, L1 norm from {min(norms):.3g} to {max(norms):.3g}. "
                "Weak channels are the first that pruning by norm removes."
            )
            if self._changed(("norms", detail, share)):
                self.stack.show_norms(detail, share)

    def _read_weights(self) -> None:
        """Ask a worker for the weights, unless they are here or on their way, or nobody looks any more."""
        if self._layer is None or self.tabs.currentIndex() not in (WEIGHTS, CHANNELS):
            return
        key = self._key(self._layer.name)
        if key in self._details or key in self._pending:
            return
        self._pending.add(key)
        self._session.layer_detail(self._layer.name, partial(self._arrived, key), partial(self._arrived, key))

    def _arrived(self, key: tuple[str, str], detail: LayerDetail | WorkbenchError) -> None:
        self._pending.discard(key)
        self._details[key] = detail
        while len(self._details) > _MOST_DETAILS:
            self._details.popitem(last=False)
        if self._layer is not None and self._key(self._layer.name) == key:
            self._refresh()

    def _key(self, layer: str) -> tuple[str, str]:
        model = self._session.state.model
        return ("" if model is None else model.sha256, layer)

    def _sweeps(self, layer: str) -> bool:
        """Whether a job is measuring this layer now."""
        specs = (self._session.jobs.spec(record.id) for record in self._session.jobs.active)
        return any(isinstance(spec, SweepJob) and (not spec.layers or layer in spec.layers) for spec in specs)

    def _changed(self, shown: object) -> bool:
        """Return whether something else is to be shown than before, or the same in other colours."""
        before, self._shown = self._shown, (shown, self._session.theme.roles)
        return self._shown != before

    def _show_nothing(self) -> None:
        self._shown = None
        self.stack.clear()

    def _menu(self, plot: SmallPlot, place: QPoint) -> None:
        menu = self.plot_menu(plot)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(plot.mapToGlobal(place))

    def plot_menu(self, plot: SmallPlot) -> QMenu:
        """Return what can be done with a plot."""
        menu = QMenu(self)
        menu.addAction("Copy picture", partial(copy_picture, self._session, plot, "plot"))
        menu.addAction("Copy as CSV", lambda: copy_text(self._session, plot.to_csv(), "plot as CSV"))
        menu.addSeparator()
        menu.addAction("Export PNG, SVG or CSV…", partial(self.ask_export, plot))
        return menu

    def _say(self, text: str, role: str = "muted") -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))
        if self.message.property("role") != role:
            self.message.setProperty("role", role)
            self.message.style().unpolish(self.message)
            self.message.style().polish(self.message)

    def _tab_chosen(self, index: int) -> None:
        self._shown = None
        self._refresh()

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), SweepJob) and self.tabs.currentIndex() == SENSITIVITY:
            self._refresh()


def _caption(chart: Chart, session: Session) -> str:
    """Return a chart's heading with the key of its curves."""
    titles = {method.id: method.title for method in session.methods}
    signs = ("●", "■", "▼", "◆")
    keys = [
        f'<span style="color:{series_color(place, session.theme).name()}">{signs[place % len(signs)]}</span>&nbsp;'
        f"{html.escape(titles.get(curve.method, curve.method)).replace(' ', '&nbsp;')}"
        for place, curve in enumerate(chart.curves)
    ]
    counts = {point.samples for curve in chart.curves for point in curve.points}
    samples = f", {numbers.plural(max(counts), 'sample')}" if len(counts) == 1 else ""
    what = f"<b>{html.escape(chart.title)}</b>: change of {html.escape(chart.metric)}"
    return f"{what}<br>{' &nbsp; '.join(keys)}{samples}"


def _statistics(detail: LayerDetail) -> str:
    """Return a histogram's numbers in words."""
    text = (
        f"{detail.minimum:.3g} to {detail.maximum:.3g}, mean {detail.mean:.3g}, deviation {detail.std:.3g}, "
        f"{numbers.fixed(100 * detail.zeros_ratio, 1)}\N{NO-BREAK SPACE}% zeros"
    )
    return text.replace("-", numbers.MINUS)
