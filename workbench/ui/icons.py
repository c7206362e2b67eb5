"""Icons of one set (Phosphor, from qtawesome) that take the theme's colours whenever they are painted."""

from __future__ import annotations

import qtawesome
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QIcon, QIconEngine, QPainter, QPixmap

from workbench.ui.theme import Theme

_NAMES = {
    "open": "ph.folder-open",
    "model": "ph.cube",
    "data": "ph.database",
    "new": "ph.file-plus",
    "save": "ph.floppy-disk",
    "undo": "ph.arrow-u-up-left",
    "redo": "ph.arrow-u-up-right",
    "run": "ph.play",
    "stop": "ph.stop",
    "search": "ph.magnifying-glass",
    "zoom-in": "ph.plus",
    "zoom-out": "ph.minus",
    "fit": "ph.corners-out",
    "blocks": "ph.stack",
    "layers": "ph.rows",
    "graph": "ph.tree-structure",
    "inspector": "ph.sliders",
    "recipe": "ph.list-numbers",
    "jobs": "ph.activity",
    "pareto": "ph.chart-line",
    "compare": "ph.columns",
    "export": "ph.export",
    "close": "ph.x",
    "warning": "ph.warning",
    "error": "ph.warning-circle",
    "info": "ph.info",
    "demo": "ph.flask",
    "plugins": "ph.puzzle-piece",
    "latency": "ph.timer",
    "sensitivity": "ph.chart-bar",
    "settings": "ph.gear",
    "help": "ph.question",
    "palette": "ph.command",
    "copy": "ph.copy",
    "add": "ph.plus-circle",
    "delete": "ph.trash",
    "star": "ph.star",
    "up": "ph.arrow-up",
    "down": "ph.arrow-down",
    "grip": "ph.dots-six-vertical",
    "previous": "ph.caret-up",
    "next": "ph.caret-down",
    "done": "ph.check-circle",
    "app": "ph.arrows-in-line-vertical",
}


def icon(name: str, theme: Theme, role: str = "text") -> QIcon:
    """Return the icon called `name`, drawn in the theme's colour of `role`; KeyError for an unknown name."""
    return QIcon(_GlyphEngine(_NAMES[name], theme, role))


class _GlyphEngine(QIconEngine):
    """Asks the theme for its colour at every painting, so that icons never have to be replaced."""

    def __init__(self, glyph: str, theme: Theme, role: str) -> None:
        super().__init__()
        self._glyph = glyph
        self._theme = theme
        self._role = role

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        color = self._theme.color("faint" if mode is QIcon.Mode.Disabled else self._role)
        qtawesome.icon(self._glyph, color=color, color_active=color, color_selected=color).paint(painter, rect)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        if size.isEmpty():  # nothing can be painted on it, and Qt says so in the log
            return pixmap
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _GlyphEngine(self._glyph, self._theme, self._role)
