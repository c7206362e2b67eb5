"""The picture of a roofline: speed against intensity, both logarithmic, with the device's roofs above all layers."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from workbench.domain.roofline import LayerRoof
from workbench.domain.staircase import STAIR_FORMS, STAIR_TITLES
from workbench.ui.models import numbers
from workbench.ui.models.roofline_view import RooflineView, bandwidth_text, point_text, roofline_csv, speed_text
from workbench.ui.panels.inspector_plots import SmallPlot, series_color
from workbench.ui.plotting import pg
from workbench.ui.theme import Theme

_HEIGHT = 216
_REACH = 18.0
_GAP = "\N{NO-BREAK SPACE}"


class RooflinePlot(SmallPlot):
    """Lines are the roofs, dots the layers; the large one is the current layer, the dashes its way to the roof.

    Coordinates are decimal logarithms.

    Signals:
        layerChosen: Name of a layer whose dot was clicked.
    """

    layerChosen = Signal(str)
    _view: RooflineView

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.setFixedHeight(_HEIGHT)

    def set_view(self, view: RooflineView) -> None:
        """Show all layers, one of them marked."""
        self._view = view
        self.setAccessibleName("Roofline")
        self.fill("Intensity (FLOP/byte)", "Speed (GFLOP/s)")

    def draw(self) -> None:
        """See SmallPlot."""
        peaks, known = self._view.report.peaks, self._view.report.known
        ridges = [peaks.ridge(entry.form) for entry in peaks.compute]
        xs = [entry.intensity for entry in known] + ridges
        ys = [entry.gflops for entry in known] + [entry.gflops for entry in peaks.compute]
        left, right = math.log10(min(xs)) - 0.25, math.log10(max(xs)) + 0.9
        low, high = math.log10(min(ys)) - 0.3, math.log10(max(ys)) + 0.45
        self.box.setXRange(left, right, padding=0)
        self.box.setYRange(low, high, padding=0)
        for name, ends in (("bottom", (left, right)), ("left", (low, high))):
            self.getAxis(name).setTicks(_decades(*ends))
        self._draw_roofs(left, right, low)
        self._draw_layers(known)

    def _draw_roofs(self, left: float, right: float, low: float) -> None:
        theme, peaks = self._theme, self._view.report.peaks
        memory = math.log10(peaks.memory.gbytes_per_s)
        highest = max(math.log10(peaks.ridge(entry.form)) for entry in peaks.compute)
        slope = pg.PlotCurveItem(
            [left, highest], [left + memory, highest + memory], pen=pg.mkPen(theme.color("muted"), width=1.5)
        )
        self.addItem(slope, ignoreBounds=True)
        for entry in peaks.compute:
            color = series_color(STAIR_FORMS.index(entry.form), theme)
            ridge, top = math.log10(peaks.ridge(entry.form)), math.log10(entry.gflops)
            self.addItem(
                pg.PlotCurveItem([ridge, right], [top, top], pen=pg.mkPen(color, width=1.5)), ignoreBounds=True
            )
            self._word(f"{STAIR_TITLES[entry.form]} {speed_text(entry.gflops)}", right, top, color, (1, 1))
        # Below the slope there is room: layers of so low an intensity are few.
        begins = max(left, low - memory)
        place = begins + 0.3 * (min(math.log10(peaks.ridge(entry.form)) for entry in peaks.compute) - begins)
        said = f"memory {bandwidth_text(peaks.memory.gbytes_per_s)}"
        self._word(said, place, place + memory, theme.color("muted"), (-0.04, 0))

    def _draw_layers(self, known: tuple[LayerRoof, ...]) -> None:
        theme, current = self._theme, self._view.current
        spots = []
        for entry in sorted(known, key=lambda entry: entry.layer == current.layer):
            chosen = entry.layer == current.layer
            color = QColor(series_color(STAIR_FORMS.index(entry.form), theme))
            if not chosen:
                color.setAlphaF(0.5)
            spots.append(
                {
                    "pos": (math.log10(entry.intensity), math.log10(entry.gflops)),
                    "size": 11 if chosen else 6,
                    "brush": color,
                    "pen": pg.mkPen(theme.color("text" if chosen else "base"), width=1.5 if chosen else 1),
                    "data": entry.layer,
                }
            )
        if not current.reason:
            x, y, roof = (math.log10(value) for value in (current.intensity, current.gflops, current.roof_gflops))
            pen = pg.mkPen(theme.color("text"), width=1, style=Qt.PenStyle.DashLine)
            self.addItem(pg.PlotCurveItem([x, x], [y, roof], pen=pen), ignoreBounds=True)
            # Below the dot, where the dashes are not; beside it where the plot ends there.
            lowest = y < self.box.viewRect().top() + 0.25 * self.box.viewRect().height()
            share = f"{numbers.fixed(100 * current.roof_share, 0)}{_GAP}% of the roof"
            self._word(share, x, y, theme.color("text"), (-0.08, 0.5) if lowest else (0.5, -0.3))
        scatter = pg.ScatterPlotItem(spots)
        scatter.sigClicked.connect(self._clicked)
        self.addItem(scatter)

    def _word(self, text: str, x: float, y: float, color: QColor, anchor: tuple[float, float]) -> None:
        back = QColor(self._theme.color("base"))
        back.setAlphaF(0.8)
        item = pg.TextItem(text, color=color, anchor=anchor, fill=back)
        item.setFont(self.font())
        item.setPos(x, y)
        self.addItem(item, ignoreBounds=True)

    def to_csv(self) -> str:
        """See SmallPlot."""
        return roofline_csv(self._view.report)

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        nearest: tuple[float, str] = (_REACH, "")
        for entry in self._view.report.known:
            at = self.box.mapViewToScene(QPointF(math.log10(entry.intensity), math.log10(entry.gflops)))
            away = at - place
            distance = float((away.x() ** 2 + away.y() ** 2) ** 0.5)
            if distance < nearest[0]:
                nearest = (distance, point_text(self._view, entry))
        return nearest[1]

    def _clicked(self, scatter: object, points: list[object], event: object) -> None:
        if len(points):
            self.layerChosen.emit(str(points[0].data()))  # type: ignore[attr-defined]  # pyqtgraph has no types


def _decades(low: float, high: float) -> list[list[tuple[float, str]]]:
    """Return ticks of a logarithmic axis: powers of ten with their text, and 2 and 5 between them without."""
    major: list[tuple[float, str]] = []
    minor: list[tuple[float, str]] = []
    for power in range(math.floor(low), math.ceil(high) + 1):
        major.append((float(power), f"{10.0**power:g}"))
        minor.extend((power + math.log10(factor), "") for factor in (2, 5))
    return [[tick for tick in ticks if low <= tick[0] <= high] for ticks in (major, minor)]
