"""The inspector's small plots: sensitivity curves, weight histogram, channel norms; each can be copied and exported."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from workbench.domain.reports import LayerDetail
from workbench.ui.models import numbers
from workbench.ui.models.layer_curves import Chart, CurvePoint, curves_csv
from workbench.ui.plotting import pg
from workbench.ui.theme import Theme

HEIGHT = 168
_REACH = 18.0
_SYMBOLS = ("o", "s", "t", "d")
# Okabe-Ito again; its blue is too dark on the dark look, where the sky blue takes its place.
_SERIES = {False: ("#0072b2", "#d55e00", "#009e73", "#cc79a7"), True: ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")}


def series_color(place: int, theme: Theme) -> QColor:
    """Return the colour of the curve at this place."""
    colors = _SERIES[theme.dark]
    return QColor(colors[place % len(colors)])


class PlainAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """An axis that writes 12 k, not 12000, and a true minus sign."""

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """See AxisItem."""
        texts = (f"{value / 1000:g}\N{NO-BREAK SPACE}k" if abs(value) >= 1000 else f"{value:g}" for value in values)
        return [text.replace("-", numbers.MINUS) for text in texts]


class SmallPlot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """A plot within a column of text: it scrolls with it, says what lies under the pointer, and never zooms.

    Making one takes longer than drawing one, so that a plot is made before there is anything to show on it, and is
    hidden, not deleted, when there is no more. It takes the theme's colours each time that it is filled.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        axes = {name: PlainAxis(name) for name in ("left", "bottom")}
        super().__init__(parent, axisItems=axes, enableMenu=False)
        self._theme = theme
        self._labels: dict[str, str] = {}
        self._dressed: object = None
        self.hover_text = ""
        self.setFixedHeight(HEIGHT)
        self.setMinimumWidth(0)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hideButtons()
        self.setMouseTracking(True)
        self.box = self.getPlotItem().getViewBox()
        self.getPlotItem().setMenuEnabled(False)
        self.box.setMenuEnabled(False)
        self.box.setMouseEnabled(False, False)
        self.showGrid(x=False, y=True, alpha=0.15)
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickLength=-4, tickTextOffset=4, hideOverlappingLabels=True)
        self.scene().sigMouseMoved.connect(self._pointed)
        self._dress()

    def fill(self, x_label: str, y_label: str) -> None:
        """Draw the data, which a subclass has just been given, anew."""
        if self._dressed is not self._theme.roles:
            self._dress()
        for name, text in (("bottom", x_label), ("left", y_label)):
            if self._labels.get(name) != text:
                self._labels[name] = text
                self._label(name)
        self.getPlotItem().clear()
        self.draw()

    def _dress(self) -> None:
        theme = self._theme
        self._dressed = theme.roles
        self.setBackground(theme.color("base"))
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.setPen(theme.color("border"))
            axis.setTextPen(theme.color("muted"))
            axis.setTickFont(self.font())
        for name in self._labels:
            self._label(name)

    def _label(self, name: str) -> None:
        style = {"font-size": f"{self.font().pointSizeF() * 0.95:g}pt"}
        self.getAxis(name).setLabel(html.escape(self._labels[name]), color=self._theme.roles.text, **style)

    def draw(self) -> None:
        """Put the data on the empty plot."""
        raise NotImplementedError

    def to_csv(self) -> str:
        """Return the data behind the plot."""
        raise NotImplementedError

    def text_at(self, place: QPointF) -> str:
        """Return what lies at a place of the graphics scene, in words; "" for nothing."""
        raise NotImplementedError

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the panel, which scrolls."""
        event.ignore()

    def marker(self, x: float, text: str, *, low: bool = False, height: float = 0.92) -> None:
        """Draw a dashed line across the plot with a word beside it, at a share of its height or at its lower end."""
        line = pg.InfiniteLine(
            x,
            angle=90,
            pen=QPen(self._theme.color("muted"), 0, Qt.PenStyle.DashLine),
            label=text,
            labelOpts={
                "color": self._theme.color("muted"),
                "position": 0.08 if low else height,
                "anchors": [(0, 0.5), (1, 0.5)],
            },
        )
        self.addItem(line, ignoreBounds=True)

    def _pointed(self, place: QPointF) -> None:
        inside = self.box.sceneBoundingRect().contains(place)
        self.hover_text = self.text_at(place) if inside else ""
        if self.hover_text:
            QToolTip.showText(self.mapToGlobal(self.mapFromScene(place)), self.hover_text, self)
        else:
            QToolTip.hideText()


class CurvesPlot(SmallPlot):
    """Change of the metric against the settings of one knob, a curve a method, bars for the 95 % interval."""

    _chart: Chart

    def set_chart(self, chart: Chart) -> None:
        """Show these curves."""
        self._chart = chart
        self.setAccessibleName(f"Sensitivity to {chart.title.lower()}")
        self.getAxis("bottom").setTicks([list(chart.ticks)] if chart.ticks else None)
        self.fill(chart.x_label, chart.y_label)

    def draw(self) -> None:
        """See SmallPlot."""
        theme, chart = self._theme, self._chart
        self.addItem(pg.InfiniteLine(0.0, angle=0, pen=QPen(theme.color("border"), 0)), ignoreBounds=True)
        for place, curve in enumerate(chart.curves):
            color = series_color(place, theme)
            xs = [point.x for point in curve.points]
            middle = [point.change for point in curve.points]
            faint = QColor(color)
            faint.setAlphaF(0.45)
            bars = pg.ErrorBarItem(
                x=np.array(xs),
                y=np.array(middle),
                top=np.array([max(point.high - point.change, 0.0) for point in curve.points]),
                bottom=np.array([max(point.change - point.low, 0.0) for point in curve.points]),
                pen=pg.mkPen(faint, width=3),
            )
            self.addItem(bars)
            line = pg.PlotDataItem(
                xs,
                middle,
                pen=pg.mkPen(color, width=1.5),
                symbol=_SYMBOLS[place % len(_SYMBOLS)],
                symbolSize=7,
                symbolBrush=color,
                symbolPen=pg.mkPen(theme.color("base"), width=1),
            )
            self.addItem(line)
        if chart.current is not None:
            # Curves fall to the right, so that the mild end is free below and the harsh one above.
            places = [point.x for curve in chart.curves for point in curve.points]
            self.marker(chart.current, chart.current_text, low=chart.current <= (min(places) + max(places)) / 2)
        xs = [point.x for curve in chart.curves for point in curve.points]
        reach = [value for curve in chart.curves for point in curve.points for value in (point.low, point.high)]
        if chart.current is not None:
            xs.append(chart.current)
        width = max(max(xs) - min(xs), 1.0 if chart.ticks else 10.0)
        self.box.setXRange(min(xs) - 0.12 * width, max(xs) + 0.12 * width, padding=0)
        low, high = min(*reach, 0.0), max(*reach, 0.0)
        self.box.setYRange(low, high, padding=0.08)

    def to_csv(self) -> str:
        """See SmallPlot."""
        return curves_csv((self._chart,))

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        nearest: tuple[float, str] = (_REACH, "")
        for curve in self._chart.curves:
            for point in curve.points:
                distance = self._distance(place, point)
                if distance < nearest[0]:
                    nearest = (distance, f"{point.text}\n{curve.method}, 95 % interval")
        return nearest[1]

    def _distance(self, place: QPointF, point: CurvePoint) -> float:
        away = self.box.mapViewToScene(QPointF(point.x, point.change)) - place
        return float((away.x() ** 2 + away.y() ** 2) ** 0.5)


class HistogramPlot(SmallPlot):
    """How the weights of a layer are spread."""

    _detail: LayerDetail

    def set_detail(self, detail: LayerDetail) -> None:
        """Show a layer's weights."""
        self._detail = detail
        self.setAccessibleName("Weight histogram")
        self.fill("Weight", "Weights in a bin")

    def draw(self) -> None:
        """See SmallPlot."""
        color = series_color(0, self._theme)
        soft = QColor(color)
        soft.setAlphaF(0.45)
        counts, edges = list(self._detail.counts), list(self._detail.edges)
        self.addItem(
            pg.PlotCurveItem(edges, counts, stepMode="center", fillLevel=0, brush=soft, pen=pg.mkPen(color, width=1))
        )
        self.box.setXRange(edges[0], edges[-1], padding=0.02)
        self.box.setYRange(0, max([*counts, 1]), padding=0.05)

    def to_csv(self) -> str:
        """See SmallPlot."""
        detail = self._detail
        return _csv(("from", "to", "weights"), zip(detail.edges[:-1], detail.edges[1:], detail.counts, strict=True))

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        edges, x = self._detail.edges, self.box.mapSceneToView(place).x()
        for low, high, count in zip(edges[:-1], edges[1:], self._detail.counts, strict=True):
            if low <= x < high:
                return f"{numbers.plural(count, 'weight')} from {low:.4g} to {high:.4g}"
        return ""


class NormsPlot(SmallPlot):
    """The L1 norm of every output channel, weakest first: a knee shows how many channels carry little."""

    _pruned: float | None
    _ranked: list[tuple[float, int]]

    def set_detail(self, detail: LayerDetail, pruned: float | None = None) -> None:
        """Show a layer's channels.

        Args:
            detail: Of the layer.
            pruned: Share of channels that the plan removes, or None where channels can't be removed.
        """
        self._pruned = pruned
        self._ranked = sorted((norm, channel) for channel, norm in enumerate(detail.channel_l1))
        self.setAccessibleName("Channel norms")
        self.fill("Output channels, weakest first", "L1 norm")

    def draw(self) -> None:
        """See SmallPlot."""
        color = series_color(0, self._theme)
        soft = QColor(color)
        soft.setAlphaF(0.45)
        norms = [norm for norm, _ in self._ranked]
        edges = list(range(len(norms) + 1))
        pen = pg.mkPen(color, width=1)
        self.addItem(pg.PlotCurveItem(edges, norms, stepMode="center", fillLevel=0, brush=soft, pen=pen))
        if self._pruned:
            count = round(self._pruned * len(norms))
            self.marker(count, f"plan: {numbers.setting_text(self._pruned, 'share')}")
        self.box.setXRange(0, len(norms), padding=0.02)
        self.box.setYRange(0, max([*norms, 1e-12]), padding=0.05)

    def to_csv(self) -> str:
        """See SmallPlot."""
        return _csv(("rank", "channel", "l1"), ((rank, ch, norm) for rank, (norm, ch) in enumerate(self._ranked)))

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        rank = int(self.box.mapSceneToView(place).x() // 1)
        if not 0 <= rank < len(self._ranked):
            return ""
        norm, channel = self._ranked[rank]
        return f"Channel {channel}: L1 norm {norm:.4g}, rank {rank + 1} of {len(self._ranked)}"


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()
