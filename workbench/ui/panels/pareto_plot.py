"""The plot of the Pareto panel: axes, zoom and mouse around the marks; it knows a Scene and nothing of the document."""

from __future__ import annotations

import html
from typing import Any

from PySide6.QtCore import QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from workbench.ui.models.pareto_scene import Budget, Mark, Scene
from workbench.ui.panels.pareto_marks import MarksItem
from workbench.ui.plotting import pg
from workbench.ui.theme import Theme

_MARGIN = 28.0


class ParetoPlot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """Shows a Scene.

    Signals:
        picked: Id of the mark that was clicked; "" is the original.
        menuAsked: (id of the mark under the pointer or None, position on screen).
        budgetMoved: The user dragged a budget line; a Budget.
    """

    picked = Signal(str)
    menuAsked = Signal(object, QPoint)
    budgetMoved = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent, enableMenu=False)
        self._theme = theme
        self._fitted = True
        self.hover_text = ""
        self.hideButtons()
        self.setMouseTracking(True)
        self.setMinimumSize(160, 120)
        self.box = self.getPlotItem().getViewBox()
        self.box.setMenuEnabled(False)
        self._labels: dict[str, tuple[object, ...]] = {}
        self.box.disableAutoRange()
        self.box.setDefaultPadding(0.0)
        self.getPlotItem().setMenuEnabled(False)
        self.showGrid(x=True, y=True, alpha=0.12)
        self.marks = MarksItem(self.box, theme)
        self._lines = {"cost": pg.InfiniteLine(angle=90, movable=True), "score": pg.InfiniteLine(angle=0, movable=True)}
        for line in self._lines.values():
            self.addItem(line, ignoreBounds=True)
            line.setVisible(False)
            line.sigPositionChangeFinished.connect(self._budget_dragged)
            line.sigDragged.connect(self._budget_dragged)
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickLength=-4, tickTextOffset=4)
        self.box.sigRangeChangedManually.connect(self._moved_by_hand)
        self.box.sigRangeChanged.connect(self._range_changed)
        self.box.sigResized.connect(self._resized)
        self.scene().sigMouseClicked.connect(self._clicked)
        self.scene().sigMouseMoved.connect(self._pointed)
        theme.themeChanged.connect(self.restyle)
        self.restyle()

    def set_scene(self, scene: Scene) -> None:
        """Draw a scene; the view follows as long as the user has not moved it."""
        self.marks.scene_value = scene
        self._label_axes()
        if self._fitted:
            self.fit()
        self.marks.update()

    def select(self, id: str | None) -> None:
        """Put the ring around a mark; None for no ring."""
        self.marks.selected = id
        self.marks.update()

    def set_dimmed(self, ids: frozenset[str]) -> None:
        """Step back with these marks, which a filter leaves out."""
        self.marks.dimmed = ids
        self.marks.update()

    def set_budget(self, budget: Budget) -> None:
        """Show budget lines where the bounds are set."""
        self.marks.budget = budget
        for name, value in (("cost", budget.cost), ("score", budget.score)):
            line = self._lines[name]
            line.setVisible(value is not None)
            if value is not None and line.value() != value:
                line.blockSignals(True)
                line.setValue(value)
                line.blockSignals(False)

    @property
    def budget(self) -> Budget:
        """The bounds that the visible lines stand for."""
        cost, score = self._lines["cost"], self._lines["score"]
        return Budget(cost.value() if cost.isVisible() else None, score.value() if score.isVisible() else None)

    def fit(self) -> None:
        """Show all marks with room for their names, and keep doing so."""
        self._fitted = True
        marks, rect = self.marks.scene_value.marks, self.box.rect()
        if not marks or rect.width() < 2 * _MARGIN or rect.height() < 2 * _MARGIN:
            return
        foretold = [ghost.place for ghost in self.marks.scene_value.ghosts if ghost.place is not None]
        xs = [value for mark in marks for value in (mark.x, *(mark.x_interval or ()))] + [x for x, _ in foretold]
        # Names stand right of their points as a rule, so the right side needs room for those of the last points.
        last = max(xs) - 0.2 * (max(xs) - min(xs))
        metrics = QFontMetricsF(self.font())
        widest = max((metrics.horizontalAdvance(mark.name[:28]) for mark in marks if mark.x >= last), default=0.0)
        right = min(widest + 24, rect.width() / 3)
        ys = [value for mark in marks for value in (mark.y, *(mark.y_interval or ()))] + [y for _, y in foretold]
        self.box.setXRange(*_padded(xs, rect.width(), _MARGIN, right), padding=0)
        self.box.setYRange(*_padded(ys, rect.height(), _MARGIN, _MARGIN), padding=0)

    def restyle(self) -> None:
        """Take the theme's colours."""
        theme = self._theme
        self.setBackground(theme.color("base"))
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.setPen(theme.color("border"))
            axis.setTextPen(theme.color("muted"))
            axis.setTickFont(self.font())
        for line in self._lines.values():
            line.setPen(QPen(theme.color("warning"), 0, Qt.PenStyle.DashLine))
            line.setHoverPen(QPen(theme.color("warning"), 0, Qt.PenStyle.SolidLine))
        self._label_axes()
        self.marks.update()

    def mark_at(self, scene_place: QPointF) -> Mark | None:
        """Return the mark under a place in the graphics scene."""
        return self.marks.nearest(self.box.mapFromScene(scene_place))

    # --- within -------------------------------------------------------------------------------------------------

    def _label(self, axis: str, text: str) -> None:
        """Write an axis' label; where it is too long, without what stands in brackets, which the hover repeats."""
        metrics, item = QFontMetricsF(self.font()), self.getAxis(axis)
        room = self.box.rect().height() if axis == "left" else self.box.rect().width()
        if metrics.horizontalAdvance(text) > room:
            text = text.partition(" (")[0]
        style = {"color": self._theme.roles.text, "font-size": f"{self.font().pointSizeF():g}pt"}
        wanted = (text, room, *style.values())
        if self._labels.get(axis) == wanted:
            return
        self._labels[axis] = wanted
        item.setLabel(html.escape(text), **style)
        # An axis puts its label in the middle when it is resized, and not when the text becomes longer or shorter.
        item.resizeEvent(None)

    def _label_axes(self) -> None:
        self._label("left", self.marks.scene_value.y_label)
        self._label("bottom", self.marks.scene_value.x_label)

    def _range_changed(self, *_: object) -> None:
        self.marks.update()

    def _moved_by_hand(self, *_: object) -> None:
        self._fitted = False

    def _resized(self, *_: object) -> None:
        self.marks.prepareGeometryChange()
        self._label_axes()
        if self._fitted:
            self.fit()

    def _budget_dragged(self, *_: object) -> None:
        self.marks.budget = self.budget
        self.marks.update()
        self.budgetMoved.emit(self.budget)

    def _clicked(self, event: Any) -> None:
        """Take pyqtgraph's click, which has no type."""
        place, button = event.scenePos(), event.button()
        if not self.box.sceneBoundingRect().contains(place):
            return
        mark = self.mark_at(place)
        if button == Qt.MouseButton.RightButton:
            asked = event.screenPos()
            self.menuAsked.emit(None if mark is None else mark.id, QPoint(round(asked.x()), round(asked.y())))
        elif mark is not None:
            self.picked.emit(mark.id)
        elif event.double():
            self.fit()

    def _pointed(self, place: QPointF) -> None:
        mark = self.mark_at(place) if self.box.sceneBoundingRect().contains(place) else None
        hovered = None if mark is None else mark.id
        if hovered != self.marks.hovered:
            self.marks.hovered = hovered
            self.marks.update()
            self.setCursor(Qt.CursorShape.ArrowCursor if mark is None else Qt.CursorShape.PointingHandCursor)
        if mark is not None:
            text = mark.hover
        else:
            ghost = self.marks.ghost_at(self.box.mapFromScene(place))
            text = "" if ghost is None else ghost.hover
        self.hover_text = text
        if text:
            spaced = f'<p style="white-space: pre">{html.escape(text)}</p>'
            QToolTip.showText(self.mapToGlobal(self.mapFromScene(place)), spaced, self)
        else:
            QToolTip.hideText()


def _padded(values: list[float], pixels: float, before: float, after: float) -> tuple[float, float]:
    """Return the range that leaves so many pixels free before and after the values."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        reach = max(abs(low) * 0.1, 1e-6)
        low, high = low - reach, high + reach
    scale = (high - low) / max(pixels - before - after, pixels / 4)
    return low - before * scale, high + after * scale
