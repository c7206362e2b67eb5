"""Says what the colours of the graph mean, always visible while they mean something."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QLinearGradient, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from workbench.ui.graph_view.overlays import Legend
from workbench.ui.theme import Theme, body_font

_PAD = 8
_SWATCH = 12
_RAMP_WIDTH = 200
_RAMP_HEIGHT = 10
_NOTE_WIDTH = 150


class LegendView(QWidget):
    """Paints a legend: swatches in a column, or a scale with its ends."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._legend: Legend | None = None
        self._font = QFont(body_font())
        self._font.setPixelSize(11)
        self._bold = QFont(self._font)
        self._bold.setWeight(QFont.Weight.DemiBold)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def set_legend(self, legend: Legend | None) -> None:
        """Show a legend; None, or one without any colour, hides the view."""
        self._legend = legend
        useful = legend is not None and bool(legend.swatches or legend.ramp)
        self.setVisible(useful)
        if useful and legend is not None:
            self.setAccessibleName(f"Legend: {legend.title}")
            self.resize(self.sizeHint())
        self.update()

    def sizeHint(self) -> QSize:
        """Return what the text needs."""
        legend = self._legend
        if legend is None:
            return QSize(0, 0)
        plain, bold = QFontMetrics(self._font), QFontMetrics(self._bold)
        line = plain.height() + 4
        width = bold.horizontalAdvance(legend.title)
        height = line
        if legend.ramp:
            labels = sum(plain.horizontalAdvance(label) for label in legend.labels) + 24
            width = max(width, _RAMP_WIDTH, labels)
            height += _RAMP_HEIGHT + 4 + line
        else:
            widest = max(plain.horizontalAdvance(label) for _, label in legend.swatches)
            width = max(width, widest + _SWATCH + 8)
            height += line * len(legend.swatches)
        if legend.note:
            width = max(width, _NOTE_WIDTH)
            rect = plain.boundingRect(0, 0, width, 1000, int(Qt.TextFlag.TextWordWrap), legend.note)
            height += rect.height() + 2
        return QSize(width + 2 * _PAD, height + 2 * _PAD - 2)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the legend."""
        legend = self._legend
        if legend is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        back = self._theme.color("raised")
        back.setAlpha(235)
        painter.setPen(QPen(self._theme.color("border"), 1))
        painter.setBrush(back)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        line = QFontMetrics(self._font).height() + 4
        painter.setFont(self._bold)
        painter.setPen(self._theme.color("text"))
        width = self.width() - 2 * _PAD
        painter.drawText(QRectF(_PAD, _PAD - 2, width, line), Qt.AlignmentFlag.AlignVCenter, legend.title)
        painter.setFont(self._font)
        y = _PAD - 2 + line
        if legend.ramp:
            y = self._paint_ramp(painter, legend, y, width, line)
        for color, label in legend.swatches:
            painter.setPen(QPen(self._theme.color("border"), 1))
            painter.setBrush(QColor(*color))
            painter.drawRoundedRect(QRectF(_PAD + 0.5, y + (line - _SWATCH) / 2, _SWATCH, _SWATCH), 2, 2)
            painter.setPen(self._theme.color("text"))
            area = QRectF(_PAD + _SWATCH + 8, y, width - _SWATCH - 8, line)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, label)
            y += line
        if legend.note:
            painter.setPen(self._theme.color("muted"))
            below = QRectF(_PAD, y + 2, width, self.height())
            painter.drawText(below, int(Qt.TextFlag.TextWordWrap), legend.note)

    def _paint_ramp(self, painter: QPainter, legend: Legend, y: int, width: int, line: int) -> int:
        """Draw a scale with its labels and return where the next line begins."""
        gradient = QLinearGradient(_PAD, 0, _PAD + width, 0)
        for index, color in enumerate(legend.ramp):
            gradient.setColorAt(index / (len(legend.ramp) - 1), QColor(*color))
        painter.setPen(QPen(self._theme.color("border"), 1))
        painter.setBrush(gradient)
        painter.drawRect(QRectF(_PAD + 0.5, y + 0.5, width - 1, _RAMP_HEIGHT))
        painter.setPen(self._theme.color("muted"))
        area = QRectF(_PAD, y + _RAMP_HEIGHT + 2, width, line)
        aligned = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight)
        for label, alignment in zip(legend.labels, aligned, strict=True):
            painter.drawText(area, alignment | Qt.AlignmentFlag.AlignVCenter, label)
        return y + _RAMP_HEIGHT + 2 + line
