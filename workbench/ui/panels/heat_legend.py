"""The legend of the heat colours: where colour has meaning, its scale is in sight."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from workbench.ui import colors
from workbench.ui.models import numbers
from workbench.ui.theme import Theme

_BAR = 64
_STEPS = 16


class HeatLegend(QWidget):
    """A strip of the sequential colours between its two ends."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._low = "0"
        self._high = ""
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.themeChanged.connect(self.update)

    def set_scale(self, top_drop: float, metric: str) -> None:
        """Say which loss the strongest colour stands for."""
        width = 0.05 * top_drop * numbers.metric_factor(metric)
        shown = numbers.fixed(-top_drop * numbers.metric_factor(metric), min(numbers.decimals_for(width), 2))
        self._high = f"{shown} {numbers.drop_unit(metric)}".strip()
        self.setToolTip(f"Colour: change of {numbers.metric_title(metric).lower()} when one layer is changed alone")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return the size of strip and labels."""
        metrics = self.fontMetrics()
        return QSize(
            metrics.horizontalAdvance(self._low) + _BAR + metrics.horizontalAdvance(self._high) + 16, metrics.height()
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the strip with its ends."""
        painter = QPainter(self)
        metrics = self.fontMetrics()
        left = metrics.horizontalAdvance(self._low) + 6
        painter.setPen(self._theme.color("muted"))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(self.rect(), int(middle | Qt.AlignmentFlag.AlignLeft), self._low)
        painter.drawText(self.rect(), int(middle | Qt.AlignmentFlag.AlignRight), self._high)
        for step in range(_STEPS):
            piece = QRectF(left + step * _BAR / _STEPS, self.height() / 2 - 4, _BAR / _STEPS + 0.5, 8)
            painter.fillRect(piece, QColor(*colors.heat(step / (_STEPS - 1))))
        painter.end()
