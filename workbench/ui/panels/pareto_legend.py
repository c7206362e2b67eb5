"""Says what the marks mean, always in view, with the very marks the plot draws."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from workbench.ui.models.pareto_scene import KIND_TITLES, Kind
from workbench.ui.panels.pareto_marks import draw_mark
from workbench.ui.theme import Theme

_ENTRY_GAP = 12
_MARK = 18


class MarkLegend(QWidget):
    """One row of marks with their names; narrow panels lose names from the end, the tooltip has them all."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._entries: tuple[tuple[Kind, bool, str], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.themeChanged.connect(self.update)

    def set_kinds(self, kinds: tuple[Kind, ...], *, stars: bool = False) -> None:
        """Show these kinds, and the star where there are starred candidates."""
        entries = [(kind, False, KIND_TITLES[kind]) for kind in kinds]
        if stars:
            entries.append(("front", True, "starred"))
        self._entries = tuple(entries)
        self.setToolTip("\n".join(["Bars are 95 % intervals", *(title for _, _, title in self._entries)]))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return the size that shows all entries."""
        metrics = self.fontMetrics()
        width = sum(_MARK + metrics.horizontalAdvance(title) + _ENTRY_GAP for _, _, title in self._entries)
        return QSize(width, metrics.height() + 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw as many entries as fit."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left = 0
        for kind, star, title in self._entries:
            width = self.fontMetrics().horizontalAdvance(title)
            if left + _MARK + width > self.width():
                break
            draw_mark(painter, kind, star, QPointF(left + 8, self.height() / 2), self._theme, fraction=0.4)
            painter.setPen(self._theme.color("muted"))
            painter.drawText(QRectF(left + _MARK, 0, width + 2, self.height()), Qt.AlignmentFlag.AlignVCenter, title)
            left += _MARK + width + _ENTRY_GAP
        painter.end()
