"""The picture of a staircase: a layer's time against its number of output channels, a curve for each number format."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor

from workbench.ui.models.staircase_view import StaircaseView, point_text, staircase_csv
from workbench.ui.panels.inspector_plots import SmallPlot, series_color
from workbench.ui.plotting import pg

_REACH = 18.0


class StaircasePlot(SmallPlot):
    """Large dots are the ends of steps, small ones other counts; light bars are 95 % intervals."""

    _view: StaircaseView

    def set_view(self, view: StaircaseView) -> None:
        """Show a layer's staircase."""
        self._view = view
        self.setAccessibleName("Latency staircase")
        self.fill("Output channels", "Time (µs)")

    def draw(self) -> None:
        """See SmallPlot."""
        theme, view = self._theme, self._view
        top = 0.0
        for place, curve in enumerate(view.found.decisive):
            color = series_color(place, theme)
            faint = QColor(color)
            faint.setAlphaF(0.45)
            xs = np.array([point.channels for point in curve.points])
            ys = np.array([point.microseconds for point in curve.points])
            low, high = np.array([point.ci95 for point in curve.points]).T
            self.addItem(
                pg.ErrorBarItem(
                    x=xs,
                    y=ys,
                    top=np.maximum(high - ys, 0),
                    bottom=np.maximum(ys - low, 0),
                    pen=pg.mkPen(faint, width=3),
                )
            )
            edges = set(curve.edges)
            self.addItem(
                pg.PlotDataItem(
                    xs,
                    ys,
                    pen=pg.mkPen(color, width=1.5),
                    symbol="o",
                    symbolSize=[9 if point.channels in edges else 4 for point in curve.points],
                    symbolBrush=color,
                    symbolPen=pg.mkPen(theme.color("base"), width=1),
                )
            )
            top = max(top, float(high.max(initial=0.0)))
        own = view.found.channels
        if view.planned < own:
            self.marker(view.planned, f"plan: {view.planned}", low=view.planned <= own / 2)
        self.marker(own, f"now: {own}", low=True)
        self.box.setXRange(0, own, padding=0.06)
        self.box.setYRange(0, max(top, 1e-9), padding=0.06)

    def to_csv(self) -> str:
        """See SmallPlot."""
        return staircase_csv(self._view.found)

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        nearest: tuple[float, str] = (_REACH, "")
        for curve in self._view.found.decisive:
            for point in curve.points:
                away = self.box.mapViewToScene(QPointF(point.channels, point.microseconds)) - place
                distance = float((away.x() ** 2 + away.y() ** 2) ** 0.5)
                if distance < nearest[0]:
                    nearest = (distance, point_text(curve, point.channels))
        return nearest[1]
