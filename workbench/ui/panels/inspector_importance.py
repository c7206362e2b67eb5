"""The histogram of how important a pruning found the channels of a layer, with the line where it cut."""

from __future__ import annotations

import csv
import io

from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor

from workbench.ui.models import numbers
from workbench.ui.models.importance import Importance
from workbench.ui.panels.inspector_plots import SmallPlot, series_color
from workbench.ui.plotting import pg

STAY, GO = 0, 1


class ImportancePlot(SmallPlot):
    """Channels by importance: those that stayed and those that went, in two colours that the words above share."""

    _importance: Importance

    def set_importance(self, importance: Importance) -> None:
        """Show one step's ranking of one group."""
        self._importance = importance
        self.setAccessibleName("Importance of channels")
        self.fill("Importance", "Channels in a bin")

    def draw(self) -> None:
        """See SmallPlot."""
        found = self._importance
        edges = list(found.edges)
        both = [stays + goes for stays, goes in zip(found.kept, found.removed, strict=True)]
        # What stayed stands on what went, where a bin has both.
        for place, base, counts in ((GO, [0] * len(both), found.removed), (STAY, list(found.removed), found.kept)):
            color = series_color(place, self._theme)
            soft = QColor(color)
            soft.setAlphaF(0.45)
            shown = [bin for bin, count in enumerate(counts) if count]
            self.addItem(
                pg.BarGraphItem(
                    x0=[edges[bin] for bin in shown],
                    x1=[edges[bin + 1] for bin in shown],
                    y0=[base[bin] for bin in shown],
                    y1=[base[bin] + counts[bin] for bin in shown],
                    brush=soft,
                    pen=pg.mkPen(color, width=1),
                )
            )
        top = max([*both, 1])
        width = edges[-1] - edges[0] or 1.0
        self.box.setXRange(edges[0], edges[-1], padding=0.04)
        # Room above the bars, where the words stand, and below them that of the line.
        self.box.setYRange(0, 1.5 * top, padding=0)
        self._word(f"{sum(found.removed)} went", GO, edges[0], 1.5 * top, 0.0)
        self._word(f"{sum(found.kept)} stayed", STAY, edges[-1], 1.5 * top, 1.0)
        if found.cut is not None:
            # The highest that went lies on the line's left also where it is the end of a bin.
            self.marker(min(found.cut, edges[-1] - 1e-6 * width), f"cut {found.cut:.3g}", height=0.76)

    def to_csv(self) -> str:
        """See SmallPlot."""
        found = self._importance
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("from", "to", "stayed", "went"))
        writer.writerows(zip(found.edges[:-1], found.edges[1:], found.kept, found.removed, strict=True))
        return out.getvalue()

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        found, x = self._importance, self.box.mapSceneToView(place).x()
        for low, high, stays, goes in zip(found.edges[:-1], found.edges[1:], found.kept, found.removed, strict=True):
            if low <= x < high or x == high == found.edges[-1]:
                count = numbers.plural(stays + goes, "channel")
                return f"{count} from {low:.3g} to {high:.3g}: {stays} stayed, {goes} went"
        return ""

    def _word(self, text: str, series: int, x: float, y: float, anchor: float) -> None:
        word = pg.TextItem(text, color=series_color(series, self._theme), anchor=(anchor, 0.0))
        word.setPos(x, y)
        self.addItem(word, ignoreBounds=True)
