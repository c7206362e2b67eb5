"""The picture of a quantizer: numbers before it, what they are rounded to, its levels, and where it clips."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPen

from workbench.domain.distribution import DistributionReport
from workbench.ui.models import numbers
from workbench.ui.panels.inspector_plots import SmallPlot, series_color
from workbench.ui.plotting import pg

BEFORE, AFTER = 0, 1
# More ticks than this run into one line.
_MOST_TICKS = 48
# A bar this much taller than the next one would leave the others flat; rectified activations have one at zero.
_TOWER = 3.0


class LevelsPlot(SmallPlot):
    """Counts are given per step of the quantizer, so that bars of any width compare."""

    _report: DistributionReport

    def set_report(self, report: DistributionReport) -> None:
        """Show a layer's numbers and levels."""
        self._report = report
        what = "Weight" if report.of == "weights" else "Input activation"
        self.setAccessibleName(f"{what} levels")
        if report.spread.in_steps:
            x = f"{what}, in steps of its channel's scale"
        elif report.channel is not None:
            x = f"{what} of channel {report.channel} (model's own unit)"
        else:
            x = f"{what} (model's own unit)"
        many = "Weights" if report.of == "weights" else "Numbers"
        self.fill(x, f"{many} per step" if report.spread.levels else f"{many} in a bin")

    def draw(self) -> None:
        """See SmallPlot."""
        spread, theme = self._report.spread, self._theme
        before = np.array(spread.counts, np.float64) * (spread.step / spread.width)
        edges = spread.low + spread.width * np.arange(len(before) + 1)
        color = series_color(BEFORE, theme)
        soft = QColor(color)
        soft.setAlphaF(0.45)
        self.addItem(
            pg.PlotCurveItem(edges, before, stepMode="center", fillLevel=0, brush=soft, pen=pg.mkPen(color, width=1))
        )
        heights = before
        pen = pg.mkPen(series_color(AFTER, theme), width=1.5)
        if spread.levels:
            cells, after = self._cells(edges)
            self.addItem(pg.PlotCurveItem(cells, after, stepMode="center", pen=pen))
            heights = np.concatenate([before, after])
        elif spread.after:
            after = np.array(spread.after, np.float64)
            self.addItem(pg.PlotCurveItem(edges, after, stepMode="center", pen=pen))
            heights = np.concatenate([before, after])
        top = self._top(before, heights)
        if spread.levels and len(spread.levels) <= _MOST_TICKS:
            levels = np.repeat(np.array(spread.levels), 2)
            ticks = np.tile([-0.07 * top, 0.0], len(spread.levels))
            self.addItem(pg.PlotCurveItem(levels, ticks, connect="pairs", pen=pg.mkPen(series_color(AFTER, theme))))
        if spread.clip is not None:
            for end in dict.fromkeys(spread.clip):
                line = pg.InfiniteLine(end, angle=90, pen=QPen(theme.color("muted"), 0, Qt.PenStyle.DashLine))
                self.addItem(line, ignoreBounds=True)
        ends = [edges[0], edges[-1], *(spread.clip or ())]
        self.box.setXRange(min(ends), max(ends), padding=0.03)
        low = -0.09 * top if spread.levels else 0.0
        self.box.setYRange(low, 1.08 * top, padding=0)

    def to_csv(self) -> str:
        """See SmallPlot."""
        spread = self._report.spread
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("what", "from", "to", "count"))
        edges = [spread.low + spread.width * place for place in range(len(spread.counts) + 1)]
        rows = list(pairwise(edges))
        writer.writerows(("before", *ends, count) for ends, count in zip(rows, spread.counts, strict=True))
        writer.writerows(("after", *ends, count) for ends, count in zip(rows, spread.after, strict=False))
        writer.writerows(
            ("level", level, level, count) for level, count in zip(spread.levels, spread.level_counts, strict=True)
        )
        if spread.clip is not None:
            writer.writerow(("clip range", *spread.clip, spread.clipped))
        return out.getvalue()

    def text_at(self, place: QPointF) -> str:
        """See SmallPlot."""
        spread, x = self._report.spread, self.box.mapSceneToView(place).x()
        unit = " steps" if spread.in_steps else ""
        one = "weight" if self._report.of == "weights" else "number"
        said = []
        bin = int((x - spread.low) // spread.width)
        if 0 <= bin < len(spread.counts):
            low, high = spread.low + bin * spread.width, spread.low + (bin + 1) * spread.width
            said.append(f"Before: {numbers.plural(spread.counts[bin], one)} from {_text(low)} to {_text(high)}{unit}")
            if spread.after:
                said.append(f"After: {numbers.plural(spread.after[bin], one)} there")
        if spread.levels:
            nearest = int(np.argmin(np.abs(np.array(spread.levels) - x)))
            count = numbers.plural(spread.level_counts[nearest], one)
            said.append(f"After: {count} at level {_text(spread.levels[nearest])}{unit}")
        if spread.clip is not None and not spread.clip[0] <= x <= spread.clip[1]:
            said.append("Beyond the clip range")
        return "\n".join(said)

    def _cells(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of what is rounded to each level, and the numbers at each per step.

        Levels that lie closer than the bins before are counted in the same bins: one by one they would only be noise.
        """
        spread = self._report.spread
        levels, counts = np.array(spread.levels, np.float64), np.array(spread.level_counts, np.float64)
        if spread.width > spread.step:
            return edges, np.histogram(levels, bins=edges, weights=counts)[0] * (spread.step / spread.width)
        middles = (levels[1:] + levels[:-1]) / 2
        ends = (levels[0] - spread.step / 2, levels[-1] + spread.step / 2)
        cells = np.concatenate([[ends[0]], middles, [ends[1]]])
        return cells, counts * spread.step / np.diff(cells)

    def _top(self, before: np.ndarray, heights: np.ndarray) -> float:
        """Return the height of the picture; a tower is cut, and says so."""
        ordered = np.sort(before)[::-1]
        whole = float(max(heights.max(initial=0.0), 1.0))
        if len(ordered) < 2 or ordered[0] <= _TOWER * max(ordered[1], 1e-9) or ordered[1] == 0:
            return whole
        spread = self._report.spread
        tallest = int(np.argmax(before))
        middle = spread.low + (tallest + 0.5) * spread.width
        top = min(_TOWER * float(ordered[1]), whole)
        share = numbers.fixed(100 * spread.counts[tallest] / max(spread.total, 1), 0)
        word = pg.TextItem(
            f"{share} % at {_text(middle)} \N{UPWARDS ARROW}", color=self._theme.color("muted"), anchor=(0, 0)
        )
        word.setPos(middle + spread.width, 1.05 * top)
        self.addItem(word, ignoreBounds=True)
        return top


def _text(value: float) -> str:
    return f"{0.0 if abs(value) < 1e-12 else value:.3g}".replace("-", numbers.MINUS)
